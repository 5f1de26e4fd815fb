"""How tables and facts are laid out, with and without a window that is too narrow."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from cli import shown
from cli.columns import cells_wide, laid_out


def test_columns_are_as_wide_as_what_is_in_them() -> None:
    assert [["a    b"], ["long c"]] == laid_out([["a", "b"], ["long", "c"]], gap=" ")


def test_a_cell_of_several_lines_stands_beside_its_neighbours() -> None:
    assert [["a  one", "   two"]] == laid_out([["a", "one\ntwo"]])


def test_wide_and_combining_letters_take_the_cells_that_they_take() -> None:
    assert (6, 1, 4) == (cells_wide("日本語"), cells_wide("e\u0301"), cells_wide("abcd"))


def test_a_table_that_fits_is_shown_without_rich(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shown, "_print_folded", not_called)
    shown.table([{"a": "x", "b": None}], {"A": "a", "heading": "b"})
    shown.facts([("bot", "docs"), ("nothing", None), ("rows", 5)])
    assert "A  heading\nx  -\nbot   docs\nrows  5\n" == capsys.readouterr().out


def not_called(*_: Any) -> None:
    raise AssertionError


def test_what_is_too_wide_for_a_window_is_folded_within_its_column(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "20")
    shown.table([{"a": "x" * 30, "b": "y"}], {"A": "a", "B": "b"})
    lines = capsys.readouterr().out.splitlines()
    assert 3 == len(lines)
    assert 30 == sum(line.count("x") for line in lines)


def test_what_takes_long_to_import_is_left_to_those_who_need_it() -> None:
    asked = "import sys, cli.commands, cli.http, cli.shown; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", asked], env=dict(os.environ), capture_output=True, check=True
    )
    loaded = {name.partition(".")[0] for name in run.stdout.decode().split()}
    assert set() == loaded & {"rich", "pydantic", "asyncio", "importlib_metadata"}


def test_the_command_line_needs_click_and_rich_alone() -> None:
    """As it is installed for itself (docs/howto/cli.md): whatever else it would find is hidden."""
    run = subprocess.run(
        [sys.executable, "-c", ALONE], env=dict(os.environ), capture_output=True, text=True
    )
    assert "Usage: reembed" in run.stdout, run.stderr


#: Imports every module of ours in an interpreter that finds nothing but these.
ALONE = """
import pkgutil, sys
ALLOWED = {"cli", "click", "rich", "pygments", "markdown_it", "mdurl"}

class Hidden:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in ALLOWED and top not in sys.stdlib_module_names:
            raise ModuleNotFoundError(f"hidden: {name}", name=name)

sys.meta_path.insert(0, Hidden())
import cli
for module in pkgutil.walk_packages(cli.__path__, "cli."):
    if module.name != "cli.__main__":
        __import__(module.name)
import rich.live, rich.progress_bar, rich.table
from cli.commands import reembed
reembed(["--help"], prog_name="reembed")
"""
