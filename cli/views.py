"""A run that is watched: a picture on a terminal, lines in a log, answers for a script."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import click

from cli.client import Answer
from cli.endings import Ended
from cli.plain import lasting, plain, when
from cli.shown import console
from cli.watching import Sight, moves_chunks

if TYPE_CHECKING:
    from rich.table import Table

#: Errors and warnings that are shown while it runs; the status has all.
_SHOWN = 5
#: Between two lines of a log that tell nothing but how far it is.
_LINE_PERCENT = 5.0


class JsonView:
    """Each answer that differs from the one before, one a line."""

    def __init__(self) -> None:
        self._last = ""

    def show(self, answer: Answer, sight: Sight) -> None:
        if answer.text != self._last:
            click.echo(answer.text)
        self._last = answer.text

    def show_away(self, error: Ended, seconds: float) -> None:
        click.echo(away(error, seconds), err=True)


class LineView:
    """A line whenever something else is to be told, or it is five per cent further."""

    def __init__(self) -> None:
        self._told: Any = None
        self._percent = 0.0
        self._trouble: set[str] = set()

    def show(self, answer: Answer, sight: Sight) -> None:
        now = sight.progress
        facts = (now["status"], now["phase"], sight.why_nothing_moves)
        if facts != self._told or now["percent"] >= self._percent + _LINE_PERCENT:
            click.echo(f"{when(now['updated_at'])}  {_far(sight)}")
            self._told, self._percent = facts, now["percent"]
        for line in _trouble(now):
            if line not in self._trouble:
                self._trouble.add(line)
                click.echo(f"  {line}")

    def show_away(self, error: Ended, seconds: float) -> None:
        click.echo(away(error, seconds), err=True)


class LiveView:
    """A bar with all that is known, drawn anew at each look."""

    def __init__(self) -> None:
        from rich.live import Live

        self._live = Live(console=console(), auto_refresh=False)
        self._picture: Table | None = None

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def show(self, answer: Answer, sight: Sight) -> None:
        self._live.update(picture(sight), refresh=True)

    def show_away(self, error: Ended, seconds: float) -> None:
        self._live.update(away(error, seconds), refresh=True)


def picture(sight: Sight) -> Table:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    now = sight.progress
    made = Table.grid(padding=(0, 2))
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    made.add_row("migration", now["migration_id"])
    made.add_row("bot", plain(now["bot_id"]))
    made.add_row("status", f"{now['status']}, {now['phase']}")
    made.add_row(f"{now['percent']:.1f} %", ProgressBar(100, now["percent"], width=40))
    made.add_row("chunks", _chunks(sight))
    if moves_chunks(now):
        made.add_row("rate", _rate(sight))
    if sight.seconds_left is not None:
        made.add_row("all chunks in", lasting(sight.seconds_left))
    if sight.why_nothing_moves:
        made.add_row("waits for", sight.why_nothing_moves)
    for line in _trouble(now)[:_SHOWN]:
        made.add_row("", line)
    return made


def _far(sight: Sight) -> str:
    now = sight.progress
    parts = [f"{now['status']}, {now['phase']}", f"{now['percent']:.1f} %", _chunks(sight)]
    if sight.moves:
        parts.append(_rate(sight))
    if sight.seconds_left is not None:
        parts.append(f"all chunks in {lasting(sight.seconds_left)}")
    if sight.why_nothing_moves:
        parts.append(f"waits for: {sight.why_nothing_moves}")
    return "; ".join(parts)


def _chunks(sight: Sight) -> str:
    now = sight.progress
    failed = f", {now['failed_chunks']} failed" if now["failed_chunks"] else ""
    on_their_way = now["rows_on_their_way"]
    follows = f", {on_their_way} rows on their way" if on_their_way else ""
    return f"{now['processed_chunks']} of {now['total_chunks']} chunks{failed}{follows}"


def _rate(sight: Sight) -> str:
    return "not known yet" if sight.rate is None else f"{sight.rate:.1f} chunks/s (last minute)"


def _trouble(progress: dict[str, Any]) -> list[str]:
    wrong = [f"{error['message']} ({error['code']})" for error in progress["errors"]]
    failed = [f"{f['key']}: {f['message']}" for f in progress["failed_chunk_errors"]]
    return [plain(line) for line in (*wrong, *failed, *progress["warnings"])]


def away(error: Ended, seconds: float) -> str:
    return f"{error.format_message()} Away for {lasting(seconds)}; trying on."
