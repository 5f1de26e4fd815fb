"""Embedding migrations: the domain of reembed.

"Migration" here always means moving a bot from one embedding to another.
Changes of our own database are called schema revisions; they are in
``migrations/store/schema``.
"""

from __future__ import annotations

from migrations.compatibility import EmbeddingCompatibilityManager
from migrations.config import MigrationConfig
from migrations.progress import MigrationProgress
from migrations.results import MigrationResult, RollbackInfo
from migrations.system import EmbeddingMigrationSystem

__all__ = [
    "EmbeddingCompatibilityManager",
    "EmbeddingMigrationSystem",
    "MigrationConfig",
    "MigrationProgress",
    "MigrationResult",
    "RollbackInfo",
]
