"""Look again at what was written: the rows that catching up has written to a target.

And what phases hand over to each other has a column of its own, beside progress.
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

WRITTEN_ROWS = """
CREATE TABLE written_rows (
    migration_id uuid NOT NULL
        CONSTRAINT written_rows_migration_id_exists REFERENCES migrations (id),
    key_digest text NOT NULL,
    key json NOT NULL,
    was bytea[] NOT NULL,
    now bytea,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT written_rows_pkey PRIMARY KEY (migration_id, key_digest)
)
"""

CAME_BACK = """
ALTER TABLE conflicts
    DROP CONSTRAINT conflicts_reason_known,
    ADD CONSTRAINT conflicts_reason_known
        CHECK (reason IN ('came_back', 'live_is_newer', 'not_embedded'))
"""

#: The two reasons there were say nothing that would fit.
FORGET_CAME_BACK = """
DELETE FROM conflicts WHERE reason = 'came_back';
ALTER TABLE conflicts
    DROP CONSTRAINT conflicts_reason_known,
    ADD CONSTRAINT conflicts_reason_known CHECK (reason IN ('live_is_newer', 'not_embedded'))
"""


HANDOVER = "ALTER TABLE migrations ADD COLUMN handover jsonb NOT NULL DEFAULT '{}'"


def upgrade() -> None:
    op.execute(HANDOVER)
    op.execute(WRITTEN_ROWS)
    op.execute(CAME_BACK)


def downgrade() -> None:
    op.execute(FORGET_CAME_BACK)
    op.execute("DROP TABLE written_rows")
    op.execute("ALTER TABLE migrations DROP COLUMN handover")
