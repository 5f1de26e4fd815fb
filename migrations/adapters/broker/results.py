"""Celery's Redis results, for processes that send tasks and never wait for one.

By default whoever sends a task subscribes to the channel of its result, and keeps an
object for it until the result is there. Batches leave none, so it never is: a worker that
had sent 20,000 batches had 20,000 subscriptions and as many objects.
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
