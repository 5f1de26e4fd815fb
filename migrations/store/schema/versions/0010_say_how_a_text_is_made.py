"""How the text that is embedded is made of a row: a field, a template, a framework's way.

Rows of before have none: their text is what stands in text_field. Workers of before read
text_field alone; of a bot whose text is made otherwise they find no text, and embed nothing.
"""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE bots ADD COLUMN recipe jsonb")


def downgrade() -> None:
    op.execute("ALTER TABLE bots DROP COLUMN recipe")
