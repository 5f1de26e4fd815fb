"""What shows that a text is what was embedded, and recipes that do something with it.

Rows of before have none, and workers of before write none: then nothing is known, and
what was so before goes on. Where a recipe says more than workers of before can read, it
stands in a column of its own, and they find no text.
"""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE bots ADD COLUMN changed_recipe jsonb")
    op.execute("ALTER TABLE bots ADD COLUMN proof jsonb")
    op.execute("ALTER TABLE migrations ADD COLUMN proof jsonb")


def downgrade() -> None:
    op.execute("ALTER TABLE migrations DROP COLUMN proof")
    op.execute("ALTER TABLE bots DROP COLUMN proof")
    op.execute("ALTER TABLE bots DROP COLUMN changed_recipe")
