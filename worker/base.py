"""The base of every task: options in one place, a typo in one is an error."""

from __future__ import annotations

from typing import Any

import structlog
from celery import Task
from celery.exceptions import Ignore, Reject

from migrations.model.errors import PutDown, Superseded
from migrations.process.at_hand import AtHand

#: What this worker is at, for those who ask who works and at what.
at_hand = AtHand()


class MigrationTask(Task):  # type: ignore[type-arg]  # celery's stubs are not at hand
    """Fenced, idempotent, thin.

    Tasks take ids and numbers and call one use case. A task whose epoch is gone
    is ignored, which also ends the chain it is part of. One that an ending worker
    puts down goes back to the queue with the rest of its chain.
    """

    #: What a task may set about itself; Celery would keep a misspelt option silently.
    allowed_options = frozenset({"name", "bind"})

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        unknown = {name for name in vars(cls) if not name.startswith("_")} - _KNOWN
        if unknown:
            raise TypeError(f"Task {cls.__name__} has unknown options: {sorted(unknown)}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        structlog.contextvars.bind_contextvars(
            task=self.name, migration_id=kwargs.get("migration_id"), epoch=kwargs.get("epoch")
        )
        try:
            with at_hand.at(self.name, kwargs.get("migration_id")):
                return super().__call__(*args, **kwargs)
        except Superseded as error:
            raise Ignore(error.message) from error
        except PutDown as error:
            raise Reject(error.message, requeue=True) from error
        finally:
            structlog.contextvars.clear_contextvars()


#: Attributes Celery itself puts on the class it makes for a task, and ours.
_KNOWN = frozenset(dir(Task)) | {"run", "name", "allowed_options", "bind"}
