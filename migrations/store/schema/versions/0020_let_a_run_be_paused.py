"""A run may be paused before its switch; what somebody sets on its way is kept with it.

Workers of before know no such status. They drive nothing that is paused, because they ask for the
states they know, and the index keeps them from starting another run of its bot. What they still
do for a run when it is paused ends with their next heartbeat: its epoch is gone.
"""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_BEFORE = """'completed', 'failed', 'needs_operator', 'pending', 'rolled_back', 'rolling_back',
    'running', 'switched', 'switching', 'waiting'"""
_AFTER = _BEFORE.replace("'pending'", "'paused', 'pending'")
_LIVE_BEFORE = """'needs_operator', 'pending', 'rolling_back', 'running', 'switched', 'switching',
    'waiting'"""
_LIVE_AFTER = _LIVE_BEFORE.replace("'pending'", "'paused', 'pending'")

STATUSES = """
ALTER TABLE migrations DROP CONSTRAINT migrations_status_known;
ALTER TABLE migrations ADD CONSTRAINT migrations_status_known CHECK (status IN ({all}));
DROP INDEX one_live_migration_per_bot;
CREATE UNIQUE INDEX one_live_migration_per_bot ON migrations (bot_id) WHERE status IN ({live});
"""

UP = """
ALTER TABLE migrations ADD COLUMN controls jsonb NOT NULL DEFAULT '{}';
"""

#: What is paused goes on from where it stands: a worker of before has no way to resume it.
DOWN = """
UPDATE migrations SET status = 'running', epoch = epoch + 1, runner = NULL, runner_until = NULL,
    started_at = coalesce(started_at, clock_timestamp()), heartbeat_at = clock_timestamp(),
    waiting_for = NULL, step = CASE WHEN step = 'catching_up' THEN step END,
    deadline_at = clock_timestamp()
        + make_interval(secs => (controls->'paused'->>'seconds_left')::double precision)
    WHERE status = 'paused';
ALTER TABLE migrations DROP COLUMN controls;
"""


def upgrade() -> None:
    op.execute(STATUSES.format(all=_AFTER, live=_LIVE_AFTER) + UP)


def downgrade() -> None:
    op.execute(DOWN + STATUSES.format(all=_BEFORE, live=_LIVE_BEFORE))
