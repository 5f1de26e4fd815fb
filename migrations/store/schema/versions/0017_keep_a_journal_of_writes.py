"""A journal for each bot: what applications write through us, in the order of the commits."""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE journals (
            bot_id text NOT NULL CONSTRAINT journals_pkey PRIMARY KEY
                CONSTRAINT journals_bot_id_exists REFERENCES bots (bot_id),
            last bigint NOT NULL DEFAULT 0,
            applied bigint NOT NULL DEFAULT 0,
            applier text,
            applier_until timestamptz,
            watched_for uuid,
            watched_in_epoch integer,
            watched_from bigint,
            holds boolean NOT NULL DEFAULT false,
            wake_at timestamptz,
            waiting_for text
        )
    """)
    op.execute("""
        CREATE TABLE journal_entries (
            bot_id text NOT NULL
                CONSTRAINT journal_entries_bot_id_exists REFERENCES journals (bot_id),
            position bigint NOT NULL,
            kind text NOT NULL
                CONSTRAINT journal_entries_kind_known CHECK (kind IN ('delete', 'upsert')),
            key json NOT NULL,
            fields json NOT NULL,
            at timestamptz NOT NULL DEFAULT clock_timestamp(),
            code text,
            message text,
            CONSTRAINT journal_entries_pkey PRIMARY KEY (bot_id, position)
        )
    """)
    op.execute(
        "CREATE INDEX journal_entries_failed ON journal_entries (bot_id) WHERE code IS NOT NULL"
    )
    op.execute("""
        CREATE TABLE journal_requests (
            bot_id text NOT NULL
                CONSTRAINT journal_requests_bot_id_exists REFERENCES journals (bot_id),
            key text NOT NULL,
            digest text NOT NULL,
            after bigint NOT NULL,
            upto bigint NOT NULL,
            at timestamptz NOT NULL DEFAULT clock_timestamp(),
            CONSTRAINT journal_requests_pkey PRIMARY KEY (bot_id, key)
        )
    """)
    op.execute("CREATE INDEX journal_requests_by_bot_id_at ON journal_requests (bot_id, at)")


def downgrade() -> None:
    op.execute("DROP TABLE journal_requests")
    op.execute("DROP TABLE journal_entries")
    op.execute("DROP TABLE journals")
