"""What Celery's Redis transport has to be told: how to lose a connection."""

from __future__ import annotations

from typing import Any

import structlog
from kombu.transport import redis

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


def install() -> None:
    """For every channel this process opens from now on."""
    redis.Channel.QoS = ForgivingQoS
