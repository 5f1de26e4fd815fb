"""The batch worker with nothing to do: ``celery -A benchmarks.empty_batches worker``.

Its batches find no chunk in their range, so what is left of them is the
orchestration: the message, the lease, the mark, the result, the next wave.
"""

from __future__ import annotations

from typing import Any

from migrations.adapters.milvus import MilvusVectorStore
from migrations.model.chunks import Chunk
from worker import app

__all__ = ["app"]


def _nothing(*_: Any, **__: Any) -> list[Chunk]:
    return []


MilvusVectorStore.read = _nothing  # type: ignore[method-assign]  # what this module is for
