"""What strangers say stands in a log line and never makes one."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator

import pytest
import structlog

from migrations.process.logs import configure
from tests.fakes.world import World

Written = Callable[[], list[str]]
#: Ends a line and begins one, colours a terminal, in both sets of control characters, and
#: turns a text round.
NASTY = "a\nforged\r\x1b[31m\x9b0m\x7f\u2028\u202eb"


@pytest.fixture(params=["console", "json"])
def written(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Written]:
    """The lines of a process that logs in one of the two forms."""
    root, to = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr("sys.stderr", to)
    settings = World(0).services.settings.model_copy(update={"log_format": request.param})
    configure(settings)
    yield lambda: to.getvalue().rstrip("\n").split("\n")
    root.handlers[:], root.level = handlers, level


def test_a_field_never_begins_a_line_nor_steers_a_terminal(written: Written) -> None:
    fields = {"path": NASTY, "owner": "\x1b[31mred", "details": {"said": NASTY}}
    structlog.get_logger("t").info("request_answered", **fields)
    (line,) = written()
    assert line.isprintable()
    assert {True} == {said in line for said in ("forged", "[31mred")}


def test_a_message_of_a_package_never_begins_a_line(written: Written) -> None:
    logging.getLogger("package").warning("It says %s.", NASTY)
    (line,) = written()
    assert line.isprintable()
    assert "forged" in line


def test_an_error_says_its_words_and_looks_like_no_entry(written: Written) -> None:
    try:
        raise ValueError(NASTY)
    except ValueError as error:
        structlog.get_logger("t").error("request_crashed", exc_info=error)
    first, *more = written()
    assert "request_crashed" in first
    assert all(line.isprintable() for line in (first, *more))
    assert [] == [line for line in more if not line.startswith("    ")]
    assert "forged" in "".join((first, *more))


def test_ordinary_words_are_written_as_they_are(written: Written) -> None:
    structlog.get_logger("t").info("bot_registered", owner="Ümit")
    (line,) = written()
    assert "Ümit" in (json.loads(line)["owner"] if line.startswith("{") else line)
