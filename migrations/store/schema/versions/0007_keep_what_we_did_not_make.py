"""Keep what we did not make: bots say whether their originals may be dropped; off by default."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

#: An original that is kept already is put away by the drop that is due next.
UP = """
ALTER TABLE bots ADD COLUMN drop_originals boolean NOT NULL DEFAULT false;
ALTER TABLE held_collections ALTER COLUMN drop_after DROP NOT NULL
"""

#: What stays is forgotten, not given a time: it would be dropped then.
DOWN = """
DELETE FROM due USING held_collections AS held
    WHERE due.what = 'drop' AND due.collection = held.collection AND held.drop_after IS NULL;
DELETE FROM held_collections WHERE drop_after IS NULL;
ALTER TABLE held_collections ALTER COLUMN drop_after SET NOT NULL;
ALTER TABLE bots DROP COLUMN drop_originals
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute(DOWN)
