"""What a bot's vectors are compared by, so that readers are told without asking Milvus.

No migration changes it, so workers of before may switch without it. Of bots that were migrated
before, a backup has written it down.
"""

from __future__ import annotations

from alembic import op

revision = "0019"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE bots ADD COLUMN metric text")
    op.execute(
        """
        UPDATE bots SET metric = (
            SELECT index->'params'->>'metric_type'
            FROM migrations,
                jsonb_path_query(rollback_info, '$.collection_schema.indexes[*]') AS index
            WHERE migrations.bot_id = bots.bot_id
                AND index->>'field_name' = bots.vector_field
            ORDER BY migrations.created_at DESC
            LIMIT 1
        )
        """
    )


def downgrade() -> None:
    op.execute("ALTER TABLE bots DROP COLUMN metric")
