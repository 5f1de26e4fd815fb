"""Embedding migrations: the domain of reembed.

"Migration" here always means moving a bot from one embedding to another.
Changes of our own database are called schema revisions; they are in
``migrations/store/schema``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from migrations.compatibility import EmbeddingCompatibilityManager
    from migrations.model.config import MigrationConfig
    from migrations.model.progress import MigrationProgress, MigrationResult
    from migrations.model.runs import RollbackInfo
    from migrations.system import EmbeddingMigrationSystem

__all__ = [
    "EmbeddingCompatibilityManager",
    "EmbeddingMigrationSystem",
    "MigrationConfig",
    "MigrationProgress",
    "MigrationResult",
    "RollbackInfo",
]

_HOMES = {
    "EmbeddingCompatibilityManager": "migrations.compatibility",
    "EmbeddingMigrationSystem": "migrations.system",
    "MigrationConfig": "migrations.model.config",
    "MigrationProgress": "migrations.model.progress",
    "MigrationResult": "migrations.model.progress",
    "RollbackInfo": "migrations.model.runs",
}


def __getattr__(name: str) -> Any:
    """Found when asked for, because every import of a module of ours comes through here."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
