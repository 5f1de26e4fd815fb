"""From messages to Celery canvases, by task name.

Task ids are made from the migration's id, so a revoke of any of them can be
understood, and the root task of a run has the migration's id itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from celery import Celery, chain, chord, group
from celery.canvas import Signature
from kombu import Connection
from kombu.exceptions import ChannelError, OperationalError
from redis.exceptions import RedisError

from migrations.model import task_names as names
from migrations.model.chunks import KeyRange
from migrations.model.errors import CheckpointsUnavailable
from migrations.model.messages import AFTER_WAVES, UP_TO_WAVES
from migrations.model.states import Phase


class CeleryDispatcher:
    def __init__(self, app: Celery) -> None:
        self._app = app

    def send(self, message: Mapping[str, Any]) -> None:
        """Publish one message. Raises CheckpointsUnavailable when the broker does not answer."""
        canvas = canvas_of(self._app, message)
        stamps = {"migration_id": message["migration_id"]}
        try:
            canvas.apply_async(stamped_headers=list(stamps), **stamps)
        except (OperationalError, ConnectionError) as error:
            raise CheckpointsUnavailable("The broker does not answer.") from error

    def waiting(self) -> int:
        """Batches that no worker has taken yet. Raises CheckpointsUnavailable."""
        try:
            with self._app.connection_or_acquire() as connection:
                return sum(_length_of(connection, queue) for queue in names.BATCH_QUEUES)
        except (OperationalError, ConnectionError, RedisError) as error:
            raise CheckpointsUnavailable("The broker does not answer.") from error


def canvas_of(app: Celery, message: Mapping[str, Any]) -> Signature:
    """The chain, group or task that a message stands for."""
    return _CANVASES[message["kind"]](app, message)


def _length_of(connection: Connection, queue: str) -> int:
    channel: Any = connection.default_channel  # typed for another transport
    try:
        return int(channel.queue_declare(queue, passive=True).message_count)
    except ChannelError:  # in Redis an empty list is no list
        return 0


def _signature(
    app: Celery,
    message: Mapping[str, Any],
    task: str,
    what: str,
    within: KeyRange | None = None,
    task_id: str | None = None,
    queue: str = names.CONTROL_QUEUE,
    **more: Any,
) -> Signature:
    migration_id, epoch = message["migration_id"], message["epoch"]
    signature = app.signature(
        task, kwargs={"migration_id": migration_id, "epoch": epoch, **more}, immutable=True
    )
    return signature.set(  # type: ignore[call-arg]  # the stubs do not know the two reprs
        task_id=task_id or names.task_id(migration_id, epoch, what.replace(" ", "_")),
        queue=queue,
        argsrepr="",
        kwargsrepr=names.described(migration_id, epoch, what, within),
    )


def _run(app: Celery, message: Mapping[str, Any]) -> Signature:
    start = Phase(message["start"])
    phases = UP_TO_WAVES if start in UP_TO_WAVES else AFTER_WAVES
    rest = phases[phases.index(start) :]
    # The root of the first chain carries the migration's own id, for Flower and for revoking.
    root = message["migration_id"] if message["epoch"] == 1 else None
    tasks = [
        _signature(app, message, names.phase_task(p), p.value, task_id=root if p is start else None)
        for p in rest
    ]
    return chain(*tasks)


def _catch_up(app: Celery, message: Mapping[str, Any]) -> Signature:
    first = _signature(app, message, names.CATCH_UP, "catch up")
    rest = [_signature(app, message, names.phase_task(p), p.value) for p in AFTER_WAVES]
    return chain(first, *rest)


def _wave(app: Celery, message: Mapping[str, Any]) -> Signature:
    number = message["number"]
    queue = names.BATCH_QUEUES[message["place"] % len(names.BATCH_QUEUES)]
    batches = [
        _signature(
            app,
            message,
            names.BATCH,
            f"batch {index}",
            KeyRange(after, upto),
            queue=queue,
            index=index,
            after=after,
            upto=upto,
        )
        for index, after, upto in message["batches"]
    ]
    body = _signature(app, message, names.ADVANCE, f"advance wave {number}", wave=number)
    return chord(group(batches), body, app=app)


def _compensate(app: Celery, message: Mapping[str, Any]) -> Signature:
    undos = [
        _signature(app, message, names.undo_task(Phase(p)), f"undo {p}") for p in message["phases"]
    ]
    return chain(
        _signature(app, message, names.QUIESCE, "quiesce"),
        *undos,
        _signature(app, message, names.FINISH_ROLLBACK, "finish rollback"),
    )


def _sweep(app: Celery, message: Mapping[str, Any]) -> Signature:
    number = message["number"]
    return _signature(app, message, names.SWEEP, f"sweep {number}", number=number)


def _retire(app: Celery, message: Mapping[str, Any]) -> Signature:
    number = message["number"]
    return _signature(app, message, names.RETIRE, f"retire {number}", number=number)


def _drop_held(app: Celery, message: Mapping[str, Any]) -> Signature:
    number, collection = message["number"], message["collection"]
    return _signature(
        app, message, names.DROP_HELD, f"drop held {number}", number=number, collection=collection
    )


_CANVASES = {
    "run": _run,
    "catch_up": _catch_up,
    "wave": _wave,
    "compensate": _compensate,
    "sweep": _sweep,
    "retire": _retire,
    "drop_held": _drop_held,
}
