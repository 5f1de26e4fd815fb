"""Answers as tables. Ids and names are never shortened: they are there to be copied."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from cli.columns import cells_wide, laid_out
from cli.plain import embedding, plain, told, when

if TYPE_CHECKING:
    from rich.console import Console

Column = str | Callable[[dict[str, Any]], Any]

#: Where nobody's window has a width.
_ENDLESS = 100_000


def console() -> Console:
    from rich.console import Console  # takes as long to import as all else

    width = None if sys.stdout.isatty() else _ENDLESS
    return Console(markup=False, highlight=False, emoji=False, width=width)


def table(rows: Iterable[dict[str, Any]], columns: Mapping[str, Column]) -> None:
    """Each column by its heading: the name of a member, or what is made of a row."""
    cells = [[told(_cell(row, column)) for column in columns.values()] for row in rows]
    lines = laid_out([list(columns), *cells])
    if not _fits(line for row in lines for line in row):
        _print_folded(columns, cells)
        return
    click.secho("\n".join(lines[0]), bold=True)
    for row in lines[1:]:
        click.echo("\n".join(row))


def _cell(row: dict[str, Any], column: Column) -> Any:
    return row[column] if isinstance(column, str) else column(row)


def facts(pairs: Iterable[tuple[str, Any]]) -> None:
    """What is not known of it is left out."""
    cells = [[name, told(value)] for name, value in pairs if value is not None and value != []]
    if not cells:
        return
    lines = laid_out(cells)
    if not _fits(line for row in lines for line in row):
        _print_folded(None, cells)
        return
    for (name, _), row in zip(cells, lines, strict=True):
        named = click.style(name, bold=True) + row[0][len(name) :]
        click.echo("\n".join([named, *row[1:]]))


def _fits(lines: Iterable[str]) -> bool:
    """Whether no line must be folded; where nobody's window has a width, none is."""
    if not sys.stdout.isatty():
        return True
    import shutil

    width = shutil.get_terminal_size().columns
    return all(cells_wide(line) <= width for line in lines)


def _print_folded(headings: Iterable[str] | None, cells: Iterable[Sequence[str]]) -> None:
    """Within the width of the window, each cell in its column. Without headings, of facts."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, show_header=headings is not None, header_style="bold")
    if headings is None:
        made.add_column(style="bold", no_wrap=True)
        made.add_column(overflow="fold")
    for heading in headings or ():
        made.add_column(heading, overflow="fold")
    for row in cells:
        made.add_row(*row)
    console().print(made)


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
            ("pace", found["pace"] and _pace(found["pace"])),
            ("rows on their way", found["rows_on_their_way"]),
        ]
    )
    if found.get("what_now"):
        sentences("What may be done:", [found["what_now"]])
    sentences("Went wrong:", [error["message"] for error in found["errors"]])
    sentences("To know about:", found["warnings"])


def _pace(found: dict[str, Any]) -> str:
    per_minute = {"requests": found["requests_per_minute"], "tokens": found["tokens_per_minute"]}
    said = [f"{found['share']:.0%} of the provider's limit"] if found["share"] else []
    said += [f"{number:g} {kind} a minute" for kind, number in per_minute.items() if number]
    return f"{', '.join(said)}, set by {found['by']}"


def checks(found: Sequence[dict[str, Any]]) -> None:
    """Each thing that was looked at, what has not passed in its own words."""
    table(found, {"check": "name", "passed": "passed", "if not": "severity", "found": "message"})
