"""A check for a person to judge: it holds the run back where less is found than its gate asks."""

from __future__ import annotations

from typing import Any

from migrations.model.gates import Gates
from migrations.model.report import GATE, Report
from migrations.run.run import Run


def gates_of(run: Run) -> Gates:
    """As the settings say, and what was asked otherwise at the start."""
    return run.services.settings.gates.but(run.migration.config.gates)


def judge_share(
    run: Run,
    report: Report,
    name: str,
    gate: str,
    found: float,
    message: str,
    *,
    of: float = 1.0,
    among: str | None = None,
    **details: Any,
) -> None:
    """Add a check that passes where ``found`` is at least the gate's share of ``of``.

    On a way back it only warns: the bot has answered from there before, and whoever wants
    to go back has judged already. ``among`` names the part of the rows that it is about, so
    that accepting it of one is not accepting it of another.
    """
    least = gates_of(run).least(gate) * of
    report.add(
        name,
        found >= least,
        f"{message} At least {least:.3f} is wanted.",
        severity="warning" if run.migration.target_is_kept else GATE,
        gate=gate if among is None else f"{gate} among {among}",
        found=round(found, 4),
        least=round(least, 4),
        **details,
    )
