"""One table for people, one file for machines."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Literal

import orjson
from rich.console import Console
from rich.table import Table

Outcome = Literal["passed", "failed", "left out"]
_COLOURS: dict[Outcome, str] = {"passed": "green", "failed": "red", "left out": "dim"}


@dataclass(frozen=True)
class Result:
    id: str
    outcome: Outcome
    detail: str
    what: str = ""
    seconds: float = 0.0


@dataclass
class Totals:
    """What the random kills came to."""

    missing: int = 0
    duplicated: int = 0
    wrong_model: int = 0
    #: Texts that data migration had embedded more than once, each once too often or more.
    embedded_twice: int = 0
    #: What that may be: one batch for each slot that was killed.
    embedded_twice_allowed: int = 0
    kills: int = 0
    #: The longest time without progress after each SIGKILL of a whole worker, default settings.
    resume_seconds: list[float] = field(default_factory=list)

    @property
    def summary(self) -> dict[str, float]:
        told: dict[str, float] = {k: v for k, v in asdict(self).items() if k != "resume_seconds"}
        told["resumes_measured"] = len(self.resume_seconds)
        told["resume_seconds_p50"] = round(median(self.resume_seconds or [0.0]), 1)
        told["resume_seconds_max"] = round(max(self.resume_seconds, default=0.0), 1)
        return told


def write(folder: Path, results: list[Result], totals: Totals, seed: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "chaos.json"
    rows = [asdict(result) for result in results]
    body = {"seed": seed, "rows": rows, **totals.summary}
    file.write_bytes(orjson.dumps(body, option=orjson.OPT_INDENT_2))
    return file


def show(results: list[Result], totals: Totals, seed: int) -> None:
    table = Table("row", "what", "outcome", "s", "detail", title=f"Chaos, seed {seed}")
    for result in results:
        outcome = f"[{_COLOURS[result.outcome]}]{result.outcome}[/]"
        table.add_row(result.id, result.what, outcome, f"{result.seconds:.0f}", result.detail)
    table.add_section()
    for name, value in totals.summary.items():
        table.add_row(name, "", "", "", f"{value:g}")
    Console().print(table)
