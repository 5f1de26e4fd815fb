"""Watchdogs share their rounds: when each may begin, and after which bot it goes on.

Workers of before take an advisory lock instead; beside workers of now both look.
"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

ROUNDS = """
CREATE TABLE rounds (
    what text NOT NULL
        CONSTRAINT rounds_what_known CHECK (what IN ('aliases', 'judging', 'orphans')),
    at timestamptz NOT NULL,
    after text,
    CONSTRAINT rounds_pkey PRIMARY KEY (what)
)
"""


def upgrade() -> None:
    op.execute(ROUNDS)


def downgrade() -> None:
    op.execute("DROP TABLE rounds")
