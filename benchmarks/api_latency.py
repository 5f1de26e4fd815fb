"""api_latency: how soon status and progress answer while a migration runs at full speed.

Against the same questions about a migration that has ended, with idle workers.
"""

from __future__ import annotations

from benchmarks.answers import Ways, answers
from benchmarks.figures import Figure
from benchmarks.lab import Lab
from benchmarks.runs import Bot, Run

#: Between two questions: somebody who watches, not a load.
_PAUSE_SECONDS = 0.02
_IDLE_QUESTIONS = 300


def api_latency(lab: Lab) -> list[Figure]:
    headline = ("api_latency", "progress", 99)
    return answers(headline, lab.site(), _asked, _PAUSE_SECONDS, _IDLE_QUESTIONS)


def _asked(bot: Bot, run: Run) -> Ways:
    return {"progress": run.progress, "status": bot.status}
