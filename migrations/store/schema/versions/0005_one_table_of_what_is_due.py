"""One table of what is due: sweeping, retiring and dropping, each with its time.

The columns it takes the place of stay for workers of before, which may be at work beside
workers of now; a later revision drops them.
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

#: What was never claimed has no time yet and gets its row when it is first looked for.
UP = """
CREATE TABLE due (
    what text NOT NULL CONSTRAINT due_what_known CHECK (what IN ('drop', 'retire', 'sweep')),
    migration_id uuid NOT NULL CONSTRAINT due_migration_id_exists REFERENCES migrations (id),
    collection text NOT NULL,
    at timestamptz NOT NULL,
    times integer NOT NULL DEFAULT 0,
    CONSTRAINT due_pkey PRIMARY KEY (what, migration_id, collection)
);
INSERT INTO due (what, migration_id, collection, at, times)
    SELECT 'sweep', id, source_collection, sweep_at, sweeps
        FROM migrations WHERE sweep_at IS NOT NULL
    UNION ALL SELECT 'retire', id, source_collection, retire_at, retirings
        FROM migrations WHERE retire_at IS NOT NULL
    UNION ALL SELECT 'drop', migration_id, collection, coalesce(drop_at, drop_after), drops
        FROM held_collections
"""

DOWN = """
UPDATE migrations SET sweep_at = at, sweeps = times
    FROM due WHERE what = 'sweep' AND migration_id = id;
UPDATE migrations SET retire_at = at, retirings = times
    FROM due WHERE what = 'retire' AND migration_id = id;
UPDATE held_collections AS held SET drop_at = at, drops = times
    FROM due WHERE what = 'drop' AND due.collection = held.collection
    AND due.migration_id = held.migration_id;
DROP TABLE due
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
