"""All of reembed at work on the embedded stack: servers, schema, a token, processes."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devstack.processes import Processes, inherited_environment
from devstack.server import PROJECT, free_port, write_secret
from devstack.stack import EmbeddedStack

#: How Flower is told its login, as <user>:<password>.
FLOWER_LOGIN = "FLOWER_BASIC_AUTH"


@dataclass(frozen=True)
class RunningSystem:
    """What one needs to use it: the API's URL, an admin's token, and its parts."""

    url: str
    flower_url: str
    token: str
    environment: Mapping[str, str]
    stack: EmbeddedStack
    processes: Processes

    def check(self) -> None:
        """Raise ChildDied if a server or a process has ended by itself."""
        for server in self.stack.servers:
            server.check()
        self.processes.check()


@contextmanager
def running_system(
    data: Path, settings: Mapping[str, str] | None = None, procfile: Path = PROJECT / "Procfile"
) -> Iterator[RunningSystem]:
    """Start everything, wait until the API is ready, stop everything on leaving.

    ``settings`` are further environment variables; ports not named there are
    free ones. Call from the main thread. Nothing of the caller's own
    ``REEMBED_…`` variables and ``.env`` is used.

    Raises:
        DataInUse, ChildDied, TimeoutError: with a sentence, or the end of a log.
    """
    with EmbeddedStack(data) as stack:
        ports = {"REEMBED_PORT": str(free_port()), "REEMBED_FLOWER_PORT": str(free_port())}
        asked = inherited_environment() | ports | dict(settings or {})
        environment = asked | made_secrets(asked, stack.data) | stack.environment()
        token = _prepare_database(environment, stack.data / "admin.token")
        with Processes(environment, logs=stack.logs, procfile=procfile) as processes:
            processes.wait_ready()
            yield RunningSystem(
                url=processes.url,
                flower_url=f"http://127.0.0.1:{environment['REEMBED_FLOWER_PORT']}",
                token=token,
                environment=environment,
                stack=stack,
                processes=processes,
            )


def made_secrets(asked: Mapping[str, str], data: Path) -> dict[str, str]:
    """What signs the page's cookies and what opens Flower, unless somebody has said so."""
    made = {}
    if not any(asked.get(name) for name in ("REEMBED_SECRET_KEY", "REEMBED_SECRET_KEY_FILE")):
        made["REEMBED_SECRET_KEY"] = _kept_secret(data / "page.key")
    if not asked.get(FLOWER_LOGIN):
        made[FLOWER_LOGIN] = f"reembed:{_kept_secret(data / 'flower.password')}"
    return made


def _kept_secret(file: Path) -> str:
    """Made at the first start and kept, so that logins outlast a restart."""
    if not file.exists():
        write_secret(file, secrets.token_urlsafe(32))
    return file.read_text()


def _prepare_database(environment: Mapping[str, str], token_file: Path) -> str:
    """Bring the schema up to date; an admin's token, made at the first start and kept."""
    from migrations.bootstrap import issue_token, upgrade_schema
    from migrations.model.bots import Role
    from migrations.settings import get_settings

    with _environment(environment):
        settings = get_settings()
    upgrade_schema(settings)
    if not token_file.exists():
        token = issue_token(settings, "devstack", "admin", Role.ADMIN)
        write_secret(token_file, token)
    return token_file.read_text()


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
