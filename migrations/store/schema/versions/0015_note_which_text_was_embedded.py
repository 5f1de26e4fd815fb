"""Note which text a row's vector is of, where the texts stand in a table of the user's own.

The recipe of such a bot has a column of its own: workers of before read none of the others as
one, and embed what the text_field names, which is nothing.
"""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE bots ADD COLUMN sql_recipe jsonb")
    op.execute(
        """
        CREATE TABLE embedded_texts (
            collection text NOT NULL,
            key text NOT NULL,
            writer bigint NOT NULL,
            digest bytea,
            CONSTRAINT embedded_texts_pkey PRIMARY KEY (collection, key)
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE embedded_texts")
    op.execute("ALTER TABLE bots DROP COLUMN sql_recipe")
