"""What Celery's Redis transport has to be told: to lose a connection, and to meet strangers."""

from __future__ import annotations

import time
from collections.abc import Callable
from queue import Empty
from typing import Any

import structlog
from kombu.transport import redis, virtual
from redis.exceptions import ResponseError

log = structlog.get_logger(__name__)

#: Between two tries of a Redis that takes no writes.
REFUSED_SECONDS = 0.5


class ForgivingQoS(redis.QoS):
    """Neither gives messages back nor acknowledges them over a connection that is gone.

    When Redis goes away, Celery 5.7 collects the connection before it closes it.
    Closing then wants to put the messages in hand back, or a task that ends later
    to acknowledge its own; they find no address to connect to, and the AttributeError
    ends the worker. Redis keeps such messages and gives them out again in time, which
    changes nothing; what is lost with them the watchdog drives again.

    Whatever becomes of an acknowledgement, its message is no more in hand: one that stayed would
    take the place of another for as long as the worker lives.
    """

    def ack(self, delivery_tag: str) -> None:
        self._unless_refused(delivery_tag, super().ack, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        self._unless_refused(delivery_tag, super().reject, delivery_tag, requeue)

    def _unless_refused(self, delivery_tag: str, act: Callable[..., None], *given: Any) -> None:
        if self._given_up:
            self._leave(delivery_tag)
            return
        try:
            act(*given)
        except ResponseError as error:  # it takes no writes
            log.error("broker_refuses", reason=str(error)[:200])
            self._leave(delivery_tag)
        except Exception:  # Celery says so; the connection that messages come by may be well
            self._leave(delivery_tag)
            raise

    def _leave(self, delivery_tag: str) -> None:
        log.warning("message_not_acknowledged", tag=delivery_tag)
        super(redis.QoS, self).ack(delivery_tag)

    @property
    def _given_up(self) -> bool:
        connection = self.channel.connection
        return connection is None or connection.client is None

    def restore_unacked(self, client: Any = None) -> None:
        if client is None and self._given_up:
            in_hand: dict[str, Any] = self._delivered or {}
            log.warning("messages_not_given_back", messages=len(in_hand))
            in_hand.clear()
            return
        super().restore_unacked(client)


class OurMessage(virtual.Message):
    """Whatever lies in a queue of ours, if it can be a message at all."""

    def __init__(self, payload: Any, channel: Any = None, **more: Any) -> None:
        try:
            where = payload["properties"]["delivery_info"]
            _ = where["exchange"], where["routing_key"]  # what is acknowledged by
            super().__init__(payload, channel=channel, **more)
        except (LookupError, TypeError, AttributeError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error


class Channel(redis.Channel):
    """Lets nothing that somebody else has put into a queue end the worker.

    Celery refuses a task it does not know; what is no message ends its loop, and with
    it the worker, and with the next item the next one. So does a Redis that takes no
    writes, because its disk or its memory is full or it has become a replica: taking a
    message is a write. It is asked again until it does.
    """

    QoS = ForgivingQoS
    Message = OurMessage

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]  # the stubs leave it out
        except ValueError as error:  # not UTF-8, not JSON, or not a message
            log.error("message_dropped", reason=str(error)[:200])
            raise Empty from error
        except ResponseError as error:  # a message in hand is lost with it, and driven again
            log.error("broker_refuses", reason=str(error)[:200])
            time.sleep(REFUSED_SECONDS)
            raise Empty from error


def install() -> None:
    """For every channel this process opens from now on."""
    redis.Transport.Channel = Channel
