"""Workers say of themselves that they are there, from where, and at what they are.

Workers of before say nothing, and are not known; nothing but what is shown depends on it.
"""

from __future__ import annotations

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE workers (
            id text NOT NULL CONSTRAINT workers_pkey PRIMARY KEY,
            name text NOT NULL,
            host text NOT NULL,
            pid integer NOT NULL,
            queues text[] NOT NULL,
            version text NOT NULL,
            work jsonb NOT NULL,
            clock_ahead_seconds double precision NOT NULL,
            started_at timestamptz NOT NULL,
            heartbeat_at timestamptz NOT NULL
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE workers")
