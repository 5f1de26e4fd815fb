"""What an event of a run's history means, in a sentence for a person."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from migrations.model.runs import Event

_Sentence = Callable[[Event, dict[str, Any]], str]


def sentence(event: Event) -> str:
    """One sentence; of an event of a later version its name, and who asked for it."""
    told = SENTENCES.get(event.name, _unknown)
    return told(event, event.detail)


def _unknown(event: Event, detail: dict[str, Any]) -> str:
    by = f" by {detail['by']}" if "by" in detail else ""
    return f"{event.name.replace('_', ' ').capitalize()}{by}."


def _phase(event: Event) -> str:
    return event.phase.value.replace("_", " ") if event.phase else "a phase"


def _listed(found: Any) -> str:
    return ", ".join(map(str, found or []))


def _code(detail: dict[str, Any]) -> str:
    return f" ({detail['code']})" if detail.get("code") else ""


def _reason(detail: dict[str, Any]) -> str:
    """As somebody has written it, without the stop that the sentence has."""
    return f": {str(detail['reason']).rstrip('.')}" if detail.get("reason") else ""


def _accepted(event: Event, detail: dict[str, Any]) -> str:
    return f"{detail.get('by')} accepted {_listed(detail.get('of'))}{_reason(detail)}; it goes on."


def _completed(event: Event, detail: dict[str, Any]) -> str:
    if "by" in detail:
        return f"Completed, because migration {detail['by']} goes back to what holds all rows."
    return "Completed."


def _rolled_back(event: Event, detail: dict[str, Any]) -> str:
    if "by" in detail:
        return f"Taken back by migration {detail['by']}."
    return "Rolled back: the bot is as it was before."


def _operator_needed(event: Event, detail: dict[str, Any]) -> str:
    return f"A person is needed: the undo of {_listed(detail.get('undo_errors'))} failed."


def _paused(event: Event, detail: dict[str, Any]) -> str:
    return f"{detail.get('by')} paused it{_reason(detail)}."


def _resumed(event: Event, detail: dict[str, Any]) -> str:
    lasted = f" after {detail['paused_seconds']:.0f} s" if "paused_seconds" in detail else ""
    return f"{detail.get('by')} let it go on{lasted}."


def _throttled(event: Event, detail: dict[str, Any]) -> str:
    set_ = [f"{name.replace('_', ' ')} {value}" for name, value in detail.items() if value]
    pace = ", ".join(one for one in set_ if not one.startswith("by "))
    return f"{detail.get('by')} set its pace: {pace}."


def _extended(event: Event, detail: dict[str, Any]) -> str:
    return (
        f"{detail.get('by')} gave it {detail.get('to_seconds')} s instead of "
        f"{detail.get('from_seconds')} s."
    )


def _kept_longer(event: Event, detail: dict[str, Any]) -> str:
    until = f"until {detail['until']}" if detail.get("until") else "for good"
    return f"{detail.get('by')} asked to keep {detail.get('collection')} {until}."


SENTENCES: Mapping[str, _Sentence] = {
    "started": lambda _, d: f"{d.get('by')} asked for it.",
    "phase_begun": lambda e, _: f"Began {_phase(e)}.",
    "phase_completed": lambda e, _: f"Completed {_phase(e)}.",
    "step_taken": lambda e, d: f"Within {_phase(e)}: {str(d.get('step')).replace('_', ' ')}.",
    "waits": lambda _, d: f"Waits before the switch for: {_listed(d.get('for'))}.",
    "accepted": _accepted,
    "paused": _paused,
    "resumed": _resumed,
    "throttled": _throttled,
    "unthrottled": lambda _, d: f"{d.get('by')} took the pace back that was set.",
    "extended": _extended,
    "switch_begun": lambda _, __: "Began the switch, which cannot be interrupted.",
    "switched": lambda _, d: (
        f"The bot answers from {d.get('collection')}, as generation {d.get('generation')}."
    ),
    "completed": _completed,
    "cancel_requested": lambda _, d: f"{d.get('by')} cancelled it; what was done is being undone.",
    "rollback_begun": lambda _, d: f"An error{_code(d)} ended it; what was done is being undone.",
    "failed": lambda _, d: f"An error{_code(d)} ended it; nothing is undone, as was asked.",
    "undone": lambda e, _: f"Undid {_phase(e)}.",
    "undo_failed": lambda e, d: f"Could not undo {_phase(e)}: {d.get('error')}",
    "rolled_back": _rolled_back,
    "operator_needed": _operator_needed,
    "repaired": lambda _, __: "Somebody had its undo tried again.",
    "redriven": lambda e, _: f"Driven again from {_phase(e)}: nobody had spoken of it for a while.",
    "conflicts_kept": lambda _, d: f"{d.get('conflicts')} late writes are kept as conflicts.",
    "conflicts_settled": lambda _, d: (
        f"{d.get('by')} settled {d.get('conflicts')} conflicts; {d.get('left')} are left."
    ),
    "canaries_breached": lambda _, d: f"After the switch: {' '.join(d.get('breaches', []))}",
    "target_held": lambda _, d: (
        f"Its new collection {d.get('collection')} is kept with {d.get('chunks')} chunks, for a "
        "new start to the same model."
    ),
    "way_back_ends": lambda _, d: f"The way back closes at {d.get('expires_at')}.",
    "retired": lambda _, d: f"The way back has closed; {d.get('collection')} is kept for a while.",
    "original_kept": lambda _, d: (
        f"The original {d.get('collection')} was released from memory; it stays."
    ),
    "held_dropped": lambda _, d: f"The kept collection {d.get('collection')} is gone.",
    "kept_longer": _kept_longer,
    "drop_asked": lambda _, d: f"{d.get('by')} asked to have {d.get('collection')} dropped now.",
    "drop_refused": lambda _, d: str(d.get("reason")),
}
