"""What Celery's Redis transport has to be told so that a lost connection does not end a worker."""

from __future__ import annotations

from typing import Any

import structlog
from kombu.transport import redis

log = structlog.get_logger(__name__)


class ForgivingQoS(redis.QoS):
    """Does not give messages back over a connection that is gone.

    When Redis goes away, Celery 5.7 collects the connection before it closes it.
    Closing then wants to put the messages in hand back, finds no address to
    connect to, and the AttributeError ends the worker. Their work goes on in its
    threads; what is lost with them the watchdog drives again.
    """

    def restore_unacked(self, client: Any = None) -> None:
        if client is None and self.channel.connection.client is None:
            in_hand: dict[str, Any] = self._delivered or {}
            log.warning("messages_not_given_back", messages=len(in_hand))
            in_hand.clear()
            return
        super().restore_unacked(client)


def install() -> None:
    """For every channel this process opens from now on."""
    redis.Channel.QoS = ForgivingQoS
