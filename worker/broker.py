"""What Celery's Redis transport has to be told: to lose a connection, and to meet strangers."""

from __future__ import annotations

from queue import Empty
from typing import Any

import structlog
from kombu.transport import redis, virtual

log = structlog.get_logger(__name__)


class ForgivingQoS(redis.QoS):
    """Neither gives messages back nor acknowledges them over a connection that is gone.

    When Redis goes away, Celery 5.7 collects the connection before it closes it.
    Closing then wants to put the messages in hand back, or a task that ends later
    to acknowledge its own; they find no address to connect to, and the AttributeError
    ends the worker. Redis keeps such messages and gives them out again in time, which
    changes nothing; what is lost with them the watchdog drives again.
    """

    def ack(self, delivery_tag: str) -> None:
        if self._given_up:
            self._leave(delivery_tag)
        else:
            super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        if self._given_up:
            self._leave(delivery_tag)
        else:
            super().reject(delivery_tag, requeue)

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
    it the worker, and with the next item the next one.
    """

    QoS = ForgivingQoS
    Message = OurMessage

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]  # the stubs leave it out
        except ValueError as error:  # not UTF-8, not JSON, or not a message
            log.error("message_dropped", reason=str(error)[:200])
            raise Empty from error


def install() -> None:
    """For every channel this process opens from now on."""
    redis.Transport.Channel = Channel
