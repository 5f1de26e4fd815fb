"""Find runs by when they were asked for, of everybody and of an owner, without reading all."""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX migrations_by_created_at_id ON migrations (created_at, id)")
    op.execute(
        "CREATE INDEX migrations_by_owner_created_at_id ON migrations (owner, created_at, id)"
    )


def downgrade() -> None:
    op.execute("DROP INDEX migrations_by_owner_created_at_id")
    op.execute("DROP INDEX migrations_by_created_at_id")
