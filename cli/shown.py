"""Answers as tables. Ids and names are never shortened: they are there to be copied."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from cli.plain import embedding, plain, told, when

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Column = str | Callable[[dict[str, Any]], Any]

#: Columns of ids that are copied from here, however narrow the window is.
_COPIED, _ID_LETTERS = {"migration", "run"}, 36
#: Where nobody's window has a width, no line is broken.
_ENDLESS = 100_000


def console() -> Console:
    from rich.console import Console  # takes as long to import as all else

    width = None if sys.stdout.isatty() else _ENDLESS
    return Console(markup=False, highlight=False, emoji=False, width=width)


def _print(made: Table) -> None:
    shown = console()
    if shown.is_terminal:
        shown.print(made)
        return
    with shown.capture() as captured:
        shown.print(made)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def table(rows: Iterable[dict[str, Any]], columns: Mapping[str, Column]) -> None:
    """Each column by its heading: the name of a member, or what is made of a row."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, header_style="bold")
    for heading in columns:
        if heading in _COPIED:
            made.add_column(heading, no_wrap=True, min_width=_ID_LETTERS)
        else:
            made.add_column(heading, overflow="fold")
    for row in rows:
        made.add_row(*(told(_cell(row, column)) for column in columns.values()))
    _print(made)


def _cell(row: dict[str, Any], column: Column) -> Any:
    return row[column] if isinstance(column, str) else column(row)


def facts(pairs: Iterable[tuple[str, Any]]) -> None:
    """What is not known of it is left out."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, show_header=False)
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs:
        if value is not None and value != []:
            made.add_row(name, told(value))
    _print(made)


def sentences(heading: str, lines: Sequence[str]) -> None:
    if lines:
        click.echo(f"\n{heading}")
    for line in lines:
        click.echo(f"  {plain(line)}")


def bot(found: dict[str, Any]) -> None:
    previous = found["previous"]
    facts(
        [
            ("bot", found["bot_id"]),
            ("owner", found["owner"]),
            ("alias", found["alias"]),
            ("collection", found["collection"]),
            ("embedding", embedding(found["embedding"])),
            ("generation", found["generation"]),
            ("key field", found["key_field"]),
            ("text", found["text_field"] or found["text"]),
            ("vector field", found["vector_field"]),
            ("originals may be dropped", found["drop_originals"]),
            ("previous collection", previous and previous["collection"]),
            ("previous embedding", previous and embedding(previous["embedding"])),
            ("way back until", previous and when(previous["expires_at"])),
            ("registered", when(found["created_at"])),
        ]
    )


def migration(found: dict[str, Any]) -> None:
    """A run as status and the answers to start, cancel and rollback have it."""
    facts(
        [
            ("migration", found["migration_id"]),
            ("bot", found["bot_id"]),
            ("kind", found["kind"]),
            ("status", found["status"]),
            ("phase", found["phase"]),
            ("from", embedding(found["source"])),
            ("to", embedding(found["target"])),
            ("new collection", found["target_collection"]),
            ("asked for", f"{when(found['created_at'])} by {found['requested_by']}"),
            ("switched", found["switched_at"] and when(found["switched_at"])),
            ("ended", found["finished_at"] and when(found["finished_at"])),
            ("waits for", found["waiting_for"]),
            ("rows on their way", found["rows_on_their_way"]),
        ]
    )
    if found.get("what_now"):
        sentences("What may be done:", [found["what_now"]])
    sentences("Went wrong:", [error["message"] for error in found["errors"]])
    sentences("To know about:", found["warnings"])


def checks(found: Sequence[dict[str, Any]]) -> None:
    """Each thing that was looked at, what has not passed in its own words."""
    table(found, {"check": "name", "passed": "passed", "if not": "severity", "found": "message"})
