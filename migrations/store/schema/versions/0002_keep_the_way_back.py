"""Keep the way back: frozen parts, conflicts, held collections and when their work is due."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MIGRATIONS = """
ALTER TABLE migrations
    ADD COLUMN sweep_at timestamptz,
    ADD COLUMN sweeps integer NOT NULL DEFAULT 0,
    ADD COLUMN sweeper text,
    ADD COLUMN sweeper_until timestamptz,
    ADD COLUMN retire_at timestamptz,
    ADD COLUMN retirings integer NOT NULL DEFAULT 0
"""

FROZEN_PARTS = """
CREATE TABLE frozen_parts (
    migration_id uuid NOT NULL
        CONSTRAINT frozen_parts_migration_id_exists REFERENCES migrations (id),
    part integer NOT NULL,
    after json,
    upto json,
    rows integer NOT NULL,
    digests bytea NOT NULL,
    CONSTRAINT frozen_parts_pkey PRIMARY KEY (migration_id, part)
);
-- Hashes do not compress; trying to would only cost time.
ALTER TABLE frozen_parts ALTER COLUMN digests SET STORAGE EXTERNAL
"""

CONFLICTS = """
CREATE TABLE conflicts (
    migration_id uuid NOT NULL
        CONSTRAINT conflicts_migration_id_exists REFERENCES migrations (id),
    key_digest text NOT NULL,
    key text NOT NULL,
    fields jsonb,
    reason text NOT NULL
        CONSTRAINT conflicts_reason_known CHECK (reason IN ('live_is_newer', 'not_embedded')),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT conflicts_pkey PRIMARY KEY (migration_id, key_digest)
)
"""

HELD_COLLECTIONS = """
CREATE TABLE held_collections (
    collection text CONSTRAINT held_collections_pkey PRIMARY KEY,
    bot_id text NOT NULL CONSTRAINT held_collections_bot_id_exists REFERENCES bots (bot_id),
    migration_id uuid NOT NULL
        CONSTRAINT held_collections_migration_id_exists REFERENCES migrations (id),
    reason text NOT NULL
        CONSTRAINT held_collections_reason_known CHECK (reason IN ('retired', 'rolled_back')),
    provider text NOT NULL,
    model text NOT NULL,
    dimension integer NOT NULL,
    source_collection text,
    chunks bigint,
    content_digest text,
    held_at timestamptz NOT NULL,
    drop_after timestamptz NOT NULL,
    drop_at timestamptz,
    drops integer NOT NULL DEFAULT 0,
    CONSTRAINT held_collections_digest_with_count
        CHECK (chunks IS NOT NULL OR content_digest IS NULL)
);
CREATE INDEX held_collections_by_bot_id ON held_collections (bot_id)
"""


def upgrade() -> None:
    for statements in (MIGRATIONS, FROZEN_PARTS, CONFLICTS, HELD_COLLECTIONS):
        op.execute(statements)


def downgrade() -> None:
    op.execute("DROP TABLE held_collections, conflicts, frozen_parts")
    op.execute(
        "ALTER TABLE migrations DROP COLUMN sweep_at, DROP COLUMN sweeps, DROP COLUMN sweeper,"
        " DROP COLUMN sweeper_until, DROP COLUMN retire_at, DROP COLUMN retirings"
    )
