"""Keep what errands cost: answers of providers that no migration pays for."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ERRAND_SPEND = """
CREATE TABLE errand_spend (
    owner text NOT NULL,
    bot_id text NOT NULL,
    provider text NOT NULL,
    model text NOT NULL,
    purpose text NOT NULL,
    writer text NOT NULL,
    requests bigint NOT NULL,
    tokens bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT errand_spend_pkey
        PRIMARY KEY (owner, bot_id, provider, model, purpose, writer)
)
"""


def upgrade() -> None:
    op.execute(ERRAND_SPEND)


def downgrade() -> None:
    op.execute("DROP TABLE errand_spend")
