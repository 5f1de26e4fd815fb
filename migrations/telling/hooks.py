"""Asking before a switch: hooks of the operator's, each of which may say no.

They are asked when everything is verified, so that they can be told what was found, and before
finalization begins: a switch waits for nobody outside. A veto is a gate like any other; a person
who accepts it overrules it, with a reason, and that hook is not asked again. A way back is not
asked about: whoever has to go back must not depend on a service that may be down as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import structlog

from migrations.lifecycle.change import storable
from migrations.model.errors import NoAnswer
from migrations.model.notifications import Verdict
from migrations.model.report import GATE, Report, Severity
from migrations.model.runs import VETO_OF, Migration
from migrations.model.states import Kind
from migrations.process.briefly import Briefly
from migrations.process.services import Services
from migrations.settings import HookSettings
from migrations.telling.catalogue import VERSION, facts_of

log = structlog.get_logger(__name__)

#: The type of the question.
BEFORE_SWITCH = "migration.before_switch"
CHECK = "switch_hook"
#: Between two tries; a hook is started anew meanwhile, perhaps.
PAUSE_SECONDS = 1.0
#: What of a check's details is told: numbers, and which gate.
_TOLD = ("gate", "found", "least")


def ask_hooks(
    services: Services, migration: Migration, report: Report, wait: Callable[[float], None]
) -> None:
    """Add a check for each hook: passed, a gate that waits for a person, or a warning.

    ``wait`` as :meth:`Run.wait`, whose errors come through: a cancel is noticed.
    """
    if migration.kind is not Kind.FORWARD:
        return
    accepted = (migration.decision.get("accepted") or {"of": []})["of"]
    question = _question(services, migration, report)
    for name, hook in services.settings.switch_hooks.items():
        if hook.is_about(migration.owner):
            gate = f"{VETO_OF}{name}"
            if gate in accepted:
                report.add(CHECK, True, f"The hook {name!r} was overruled and not asked again.")
                continue
            verdict = _ask(services, migration, name, hook, question, wait)
            log.info("hook_asked", hook=name, switch=verdict.switch, reason=verdict.reason)
            _judge(report, name, gate, hook, verdict)


def _question(services: Services, migration: Migration, report: Report) -> Mapping[str, Any]:
    checks = [
        {
            "name": check.name,
            "passed": check.passed,
            "severity": check.severity,
            **{told: check.details[told] for told in _TOLD if told in check.details},
        }
        for check in report.checks
    ]
    return {
        "type": BEFORE_SWITCH,
        "timestamp": services.now().isoformat(),
        "version": VERSION,
        "sentence": f"{migration.bot_id}: may it answer from {migration.config.target.model}?",
        "data": {
            **facts_of(migration),
            "epoch": migration.epoch,
            "totals": dict(migration.totals),
            "checks": checks,
        },
    }


def _ask(
    services: Services,
    migration: Migration,
    name: str,
    hook: HookSettings,
    question: Mapping[str, Any],
    wait: Callable[[float], None],
) -> Verdict:
    """Its answer, or why there was none within its time."""
    message_id = f"ask_{migration.id.hex}_{migration.epoch}"
    clock = services.clock
    until = clock.monotonic() + hook.timeout_seconds
    while True:
        left = max(until - clock.monotonic(), 0.1)
        try:
            verdict = Briefly(left).ask(
                partial(services.courier.ask, name, message_id, question, left)
            )
        except NoAnswer as error:
            verdict = Verdict(None, error.message)
        if verdict.switch is not None or clock.monotonic() + PAUSE_SECONDS >= until:
            return verdict
        wait(PAUSE_SECONDS)


def _judge(report: Report, name: str, gate: str, hook: HookSettings, verdict: Verdict) -> None:
    because = storable(f": {verdict.reason}" if verdict.reason else ".")
    if verdict.switch:
        report.add(CHECK, True, f"The hook {name!r} agrees{because}", gate=gate)
    elif verdict.switch is False:
        message = f"The hook {name!r} has vetoed the switch{because}"
        report.add(CHECK, False, message, severity=GATE, gate=gate)
    else:
        severity: Severity = GATE if hook.if_unreachable == "wait" else "warning"
        message = f"The hook {name!r} has not said whether to switch{because}"
        report.add(CHECK, False, message, severity=severity, gate=gate)
