"""In which roles texts are embedded: words put round them, parameters of the request.

Rows of before have none: their texts were embedded as they are. What is told names its
collection, because workers of before switch without it.
"""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE bots ADD COLUMN manner jsonb, ADD COLUMN previous_manner jsonb")
    op.execute("ALTER TABLE held_collections ADD COLUMN manner jsonb")


def downgrade() -> None:
    op.execute("ALTER TABLE held_collections DROP COLUMN manner")
    op.execute("ALTER TABLE bots DROP COLUMN previous_manner, DROP COLUMN manner")
