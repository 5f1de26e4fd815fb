"""``reembed`` in a terminal of its own, talking to the API on fakes without a socket."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from cli.client import Reply, Request
from cli.commands import reembed
from cli.endings import Away
from cli.session import Surroundings
from tests.fakes.api_client import ACME_TOKEN, Api

URL = "http://reembed.test"


class CommandLine:
    """``turned`` is what happens whenever a command sleeps; nothing does by itself."""

    def __init__(self, api: Api, home: Path, token: str | None = ACME_TOKEN) -> None:
        self.api = api
        self.environ = {"REEMBED_CONFIG": str(home / "reembed" / "login.json")}
        if token is not None:
            self.environ |= {"REEMBED_URL": URL, "REEMBED_TOKEN": token}
        self.asked: list[Request] = []
        #: What the API has answered, in order.
        self.answered: list[str] = []
        self.is_away = False
        self.slept: list[float] = []
        #: What becomes of a path on its way.
        self.rewritten: Callable[[str], str] = lambda path: path
        self.turned: Callable[[], object] = lambda: None

    @property
    def config(self) -> Path:
        return Path(self.environ["REEMBED_CONFIG"])

    def run(self, *arguments: str, typed: str | None = None) -> Result:
        here = Surroundings(self._send, self._sleep, lambda: sum(self.slept), self.environ)
        return CliRunner().invoke(reembed, arguments, input=typed, obj=here)

    def done(self, *arguments: str, typed: str | None = None) -> str:
        """What it prints; it ends with 0."""
        result = self.run(*arguments, typed=typed)
        assert result.exit_code == 0, result.output
        return result.stdout

    def told(self, *arguments: str) -> Any:
        """As ``done``, with ``--json``: the last answer of the API, as it came."""
        said = self.done(*arguments, "--json")
        assert said == self.answered[-1] + "\n"
        return said

    def _send(self, request: Request) -> Reply:
        self.asked.append(request)
        if self.is_away:
            raise Away("The API is away.")
        with redirect_stdout(StringIO()):  # the API's log is printed here, and not over there
            response = self.api.client.open(
                self.rewritten(request.url.removeprefix(URL)),
                method=request.method,
                headers=dict(request.headers),
                data=request.body,
            )
        self.answered.append(response.text)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Reply(response.status_code, headers, response.data)

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        with redirect_stdout(StringIO()):
            self.turned()
