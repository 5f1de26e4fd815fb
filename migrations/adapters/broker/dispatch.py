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

from migrations.lifecycle import sequence
from migrations.model import task_names as names
from migrations.model.errors import CheckpointsUnavailable

#: By then the watchdog has sent another one.
WAKING_EXPIRES_SECONDS = 60


class CeleryDispatcher:
    def __init__(self, app: Celery) -> None:
        self._app = app

    def send(self, message: Mapping[str, Any]) -> None:
        """Publish one message. Raises CheckpointsUnavailable when the broker does not answer."""
        canvas = celery_canvas(self._app, message)
        stamps = {"migration_id": message["migration_id"]}
        try:
            canvas.apply_async(stamped_headers=list(stamps), **stamps)
        except (OperationalError, ConnectionError) as error:
            raise CheckpointsUnavailable("The broker does not answer.") from error

    def wake_applier(self, bot_id: str) -> None:
        """Have a worker apply what was written to a bot. Raises CheckpointsUnavailable."""
        signature = self._app.signature(
            names.APPLY_JOURNAL, kwargs={"bot_id": bot_id}, immutable=True
        )
        try:
            signature.apply_async(
                queue=names.CONTROL_QUEUE,
                expires=WAKING_EXPIRES_SECONDS,
                argsrepr="",
                kwargsrepr=f"bot {bot_id}",
            )
        except (OperationalError, ConnectionError) as error:
            raise CheckpointsUnavailable("The broker does not answer.") from error

    def waiting(self) -> int:
        """Batches that no worker has taken yet. Raises CheckpointsUnavailable."""
        try:
            with self._app.connection_or_acquire() as connection:
                return sum(_length_of(connection, queue) for queue in names.BATCH_QUEUES)
        except (OperationalError, ConnectionError, RedisError) as error:
            raise CheckpointsUnavailable("The broker does not answer.") from error


def _length_of(connection: Connection, queue: str) -> int:
    channel: Any = connection.default_channel  # typed for another transport
    try:
        return int(channel.queue_declare(queue, passive=True).message_count)
    except ChannelError:  # in Redis an empty list is no list
        return 0


def celery_canvas(app: Celery, message: Mapping[str, Any]) -> Signature:
    """The chain, or the group and its chord, that a message stands for."""
    canvas = sequence.canvas_of(message)
    chained = [_signature(app, message, link, names.CONTROL_QUEUE) for link in canvas.then]
    if message["kind"] == "run" and message["epoch"] == 1:
        # The root of a run carries the migration's own id, for Flower and for revoking.
        chained[0].set(task_id=message["migration_id"])
    then = chain(*chained) if len(chained) > 1 else chained[0]
    if not canvas.together:
        return then
    queue = names.BATCH_QUEUES[message["place"] % len(names.BATCH_QUEUES)]
    batches = [_signature(app, message, link, queue) for link in canvas.together]
    return chord(group(batches), then, app=app)


def _signature(
    app: Celery, message: Mapping[str, Any], link: sequence.Link, queue: str
) -> Signature:
    migration_id, epoch = message["migration_id"], message["epoch"]
    signature = app.signature(
        link.task,
        kwargs={"migration_id": migration_id, "epoch": epoch, **link.arguments},
        immutable=True,
    )
    return signature.set(  # type: ignore[call-arg]  # the stubs do not know the two reprs
        task_id=names.task_id(migration_id, epoch, link.what.replace(" ", "_")),
        queue=queue,
        argsrepr="",
        kwargsrepr=names.described(migration_id, epoch, link.what, link.within),
    )
