"""What Celery's threads have to be told: to end every task that they have begun."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
from billiard.einfo import ExceptionInfo
from celery.concurrency import thread

log = structlog.get_logger(__name__)

#: As Celery's own tracing tells it: failed, with what, after so many seconds.
_Ended = tuple[int, Any, float]


class TaskPool(thread.TaskPool):
    """Tells of a task as failed when what is around it has failed.

    A task whose end cannot be recorded, because Redis takes no writes, raises out of Celery's
    tracing, and Celery's threads drop what is raised (5.7). Then its message is never let go and
    counts as in hand: after as many as there are slots the worker takes nothing any more, for
    ever, and says that it is well. What such a task was for, the watchdog drives again.
    """

    def on_apply(self, target: Callable[..., _Ended], *given: Any, **more: Any) -> Any:
        return super().on_apply(partial(_ended, target), *given, **more)


def _ended(target: Callable[..., _Ended], *args: Any, **kwargs: Any) -> _Ended:
    try:
        return target(*args, **kwargs)
    except Exception as error:
        log.error("task_not_recorded", reason=f"{type(error).__name__}: {error}"[:200])
        return 1, ExceptionInfo(), 0.0


def install() -> None:
    """For a worker of this process that is started with ``--pool threads``."""
    thread.TaskPool = TaskPool  # type: ignore[misc]
