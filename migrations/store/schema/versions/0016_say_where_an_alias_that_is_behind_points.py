"""Where a bot's alias points while it does not follow a switch, and since when it is moved.

Both are empty as long as it follows, so what workers of before switch is taken for followed.
"""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE bots ADD COLUMN alias_collection text, ADD COLUMN alias_moves_at timestamptz"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE bots DROP COLUMN alias_moves_at, DROP COLUMN alias_collection")
