"""A run may wait before its switch until somebody has decided; a bot may have golden queries.

Workers of before know no such status. They drive nothing that waits, because they ask for the
states they know, and the index keeps them from starting another run of its bot.
"""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_BEFORE = """'completed', 'failed', 'needs_operator', 'pending', 'rolled_back', 'rolling_back',
    'running', 'switched', 'switching'"""
_LIVE_BEFORE = """'needs_operator', 'pending', 'rolling_back', 'running', 'switched', 'switching'"""

STATUSES = """
ALTER TABLE migrations DROP CONSTRAINT migrations_status_known;
ALTER TABLE migrations ADD CONSTRAINT migrations_status_known CHECK (status IN ({all}));
DROP INDEX one_live_migration_per_bot;
CREATE UNIQUE INDEX one_live_migration_per_bot ON migrations (bot_id) WHERE status IN ({live});
"""

UP = """
ALTER TABLE migrations ADD COLUMN decision jsonb NOT NULL DEFAULT '{}';
CREATE TABLE golden_queries (
    bot_id text NOT NULL CONSTRAINT golden_queries_bot_id_exists REFERENCES bots (bot_id),
    id text NOT NULL,
    place integer NOT NULL,
    text text NOT NULL,
    relevant json NOT NULL,
    CONSTRAINT golden_queries_pkey PRIMARY KEY (bot_id, id)
);
"""

#: What waits is as before it was verified: a worker of before drives and verifies it.
DOWN = """
DROP TABLE golden_queries;
UPDATE migrations SET status = 'running', epoch = epoch + 1, phase = 'data_migration',
    step = 'catching_up', runner = NULL, runner_until = NULL,
    completed_phases = array_remove(array_remove(completed_phases, 'verification'),
        'data_migration')
    WHERE status = 'waiting';
ALTER TABLE migrations DROP COLUMN decision;
"""


def upgrade() -> None:
    op.execute(STATUSES.format(all=f"{_BEFORE}, 'waiting'", live=f"{_LIVE_BEFORE}, 'waiting'") + UP)


def downgrade() -> None:
    op.execute(DOWN + STATUSES.format(all=_BEFORE, live=_LIVE_BEFORE))
