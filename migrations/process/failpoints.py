"""Named points where a test may decide what happens; off and free in production.

With ``REEMBED_FAILPOINTS`` set to the address of a test driver, reaching a
point asks the driver over HTTP what to do: go on, raise, sleep, or be killed
or stopped by signal. Without it, :func:`failpoint` returns at once.
"""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from migrations.model.errors import PermanentError, ReembedError, TransientError

_ADDRESS = os.environ.get("REEMBED_FAILPOINTS")
#: A paused test may hold a worker for long; a forgotten one must not hold it for ever.
_PATIENCE_SECONDS = 300


class InjectedFailure(PermanentError):
    """A test asked for this failure."""

    code = "injected-failure"


class InjectedOutage(TransientError):
    """A test asked for this passing failure."""

    code = "injected-outage"


class ReplyLost(ReembedError):
    """A test asked that the answer of what was just done be lost."""

    code = "reply-lost"


def failpoint(name: str, **facts: Any) -> None:
    """Let the test driver act here. ``facts`` tell it where in the run this is."""
    if _ADDRESS is None:
        return
    _ACTIONS[_ask(_ADDRESS, name, facts)["action"]]()


def _ask(address: str, name: str, facts: dict[str, Any]) -> dict[str, Any]:
    body = json.dumps({"name": name, "pid": os.getpid(), **facts}, default=str).encode()
    request = urllib.request.Request(  # noqa: S310 # the address is a test's own, http only
        address, body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=_PATIENCE_SECONDS) as reply:  # noqa: S310 # as above
        answer: dict[str, Any] = json.load(reply)
    time.sleep(float(answer.get("sleep_seconds", 0)))
    return answer


def _fail() -> None:
    raise InjectedFailure


def _fall_out() -> None:
    raise InjectedOutage


def _lose_reply() -> None:
    raise ReplyLost


def _signal(number: signal.Signals) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


_ACTIONS: dict[str, Callable[[], None]] = {
    "go": lambda: None,
    "raise": _fail,
    "outage": _fall_out,
    "drop_reply": _lose_reply,
    "kill": _signal(signal.SIGKILL),
    "stop": _signal(signal.SIGSTOP),
}
