"""Celery's Redis results, for processes that send tasks and never wait for one.

Whoever sends a task is subscribed to the channel of its result, and is held a result
object, until somebody asks for it. Batches leave no results, so nobody ever does: a
worker that sent the waves of 20,000 batches had 20,000 subscriptions and 20,000 objects.
"""

from __future__ import annotations

from typing import Any

from celery.backends.redis import RedisBackend
from celery.result import AsyncResult


class UnawaitedResults(RedisBackend):
    """Results can be looked up; ``get()`` of one that is not there yet would not hear of it."""

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Subscribe to nothing."""

    def add_pending_result(
        self, result: AsyncResult[Any], weak: bool = False, start_drainer: bool = True
    ) -> AsyncResult[Any]:
        """Keep nothing."""
        return result
