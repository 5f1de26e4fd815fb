"""PgBouncer in transaction mode in front of a PostgreSQL of ours, from Debian's package."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import psycopg2
from sqlalchemy import make_url

from devstack.child import Child
from devstack.postgres import unprivileged
from devstack.server import LOOPBACK, Server, free_port

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")


class PgBouncer(Server):
    """Every transaction gets any of a few sessions."""

    name = "pgbouncer"

    def __init__(
        self, data: Path, upstream: str, more: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._upstream = make_url(upstream)
        self._more = more
        super().__init__(data)

    def _new_child(self, log: Path) -> Child:
        return Child(self.name, log, uid=unprivileged())

    @property
    def url(self) -> str:
        through = self._upstream.set(host=LOOPBACK, port=self.port)
        return through.render_as_string(hide_password=False)

    def healthy(self) -> bool:
        plain = make_url(self.url).set(drivername="postgresql")
        try:
            psycopg2.connect(plain.render_as_string(hide_password=False), connect_timeout=2).close()
        except psycopg2.OperationalError:
            return False
        return True

    def _prepare(self) -> None:
        super()._prepare()
        upstream = self._upstream
        users, settings = self.data / "users.txt", self._settings
        users.write_text(f'"{upstream.username}" "{upstream.password}"\n')
        settings.write_text(
            f"""\
[databases]
* = host={upstream.host} port={upstream.port}
[pgbouncer]
listen_addr = {LOOPBACK}
listen_port = {self.port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
default_pool_size = 4
max_client_conn = 500
{"".join(f"{name} = {value}" for name, value in self._more.items())}
"""
        )

    def launch(self) -> None:
        # The port stands in the file of settings, which is written before a start.
        self.port = self.port or free_port()
        super().launch()

    @property
    def _settings(self) -> Path:
        return self.data / "pgbouncer.ini"

    def _command(self) -> list[str | Path]:
        assert PROGRAM is not None
        return [PROGRAM, self._settings]
