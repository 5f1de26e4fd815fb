"""Roles of tokens that only look (read) and that only ask (query).

An API process of before cannot tell what such a token may do, and answers it with an error.
"""

from __future__ import annotations

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _let_be("'admin', 'query', 'read', 'user'")


def downgrade() -> None:
    # A role of before allows more than they were given for: they end.
    op.execute(
        "UPDATE tokens SET role = 'user', revoked_at = coalesce(revoked_at, clock_timestamp())"
        " WHERE role IN ('query', 'read')"
    )
    _let_be("'admin', 'user'")


def _let_be(roles: str) -> None:
    op.execute(
        "ALTER TABLE tokens DROP CONSTRAINT tokens_role_known,"
        f" ADD CONSTRAINT tokens_role_known CHECK (role IN ({roles}))"
    )
