"""What can be done with a migration: when, what follows of it, and what it needs.

One table, which the buttons, the pages that ask once more and the deeds themselves come from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from flask import request

from api.auth import current_caller
from api.dashboard import forms
from api.dashboard.views import gates_failed
from api.dashboard.wording import duration
from api.schemas import ExtendRequest, PauseRequest, ThrottleRequest
from api.services import services
from migrations.lifecycle.pausing import PAUSED
from migrations.model.config import RollbackMode
from migrations.model.errors import NotAccepted
from migrations.model.runs import Migration
from migrations.model.states import BEFORE_SWITCH, COMPENSABLE, Kind, Status


@dataclass(frozen=True)
class Done:
    """What is said of it afterwards, and which migration is to be watched."""

    sentence: str
    watch: UUID


@dataclass(frozen=True)
class Action:
    name: str
    #: On the button.
    label: str
    #: On the page that asks once more.
    question: str
    #: Sentences, of this migration.
    follows: Callable[[Migration], Sequence[str]]
    needs: Callable[[Migration], Sequence[str]]
    is_possible: Callable[[Migration], bool]
    #: Reads what the form has beside the button.
    do: Callable[[Migration], Done]
    undoes: bool = False


def possible(migration: Migration) -> list[Action]:
    return [action for action in ACTIONS.values() if action.is_possible(migration)]


# --- cancel ---------------------------------------------------------------------


def _cancelled(migration: Migration) -> Sequence[str]:
    return (
        "Its batches stop within seconds, and what was done so far is undone, newest first.",
        "The bot goes on answering from the collection it has now: readers notice nothing.",
        (
            "What was embedded is kept for "
            f"{services().settings.hold_hours:g} hours. A new run to the same model takes it over, "
            "so that it is not paid twice; after that it is dropped."
        ),
        "It cannot be taken back; a new migration can be started when it has ended.",
    )


def _cancel(migration: Migration) -> Done:
    services().system.cancel_migration(migration.id, by=current_caller().owner)
    return Done("It stops; what it has done so far is being undone.", migration.id)


# --- switch -----------------------------------------------------------------------


def _switched(migration: Migration) -> Sequence[str]:
    retention = services().settings.retention_hours
    return (
        (
            "What was written meanwhile is caught up, everything is verified once more, and the "
            "bot is switched."
        ),
        (
            f"From then on it answers from {migration.target_collection}, with "
            f"{migration.config.to_provider}/{migration.config.to_model}; its alias follows within "
            "seconds."
        ),
        f"The present collection is kept for {retention:g} hours, in which one can go back.",
    )


def _accepting_needs(migration: Migration) -> Sequence[str]:
    gates = gates_failed(migration)
    if not gates:
        return ("Nothing more: it was asked to wait here at its start.",)
    return (
        (
            f"Less was found than wanted ({', '.join(gates)}). Look at the report first, and say "
            "why it may switch all the same: the reason is kept."
        ),
    )


def _switch(migration: Migration) -> Done:
    reason = forms.text("reason")
    if gates_failed(migration) and reason is None:
        raise NotAccepted(waits_for=gates_failed(migration))
    services().system.accept(current_caller(), migration.id, reason)
    return Done("It goes on: caught up, verified, and switched.", migration.id)


# --- rollback ---------------------------------------------------------------------


def _rolled_back(migration: Migration) -> Sequence[str]:
    config = migration.config
    return (
        (
            f"The bot answers from {migration.source_collection} with {config.from_provider}/"
            f"{config.from_model} again."
        ),
        "It is a migration of its own, the way back, which can be watched here.",
        (
            f"{migration.target_collection} is kept for the retention window, so that one can go "
            "forward once more."
        ),
    )


def _rollback_needs(migration: Migration) -> Sequence[str]:
    return (
        (
            "The previous model: rows that were written since the switch are embedded with it, and "
            "paid. Where nothing was written, nothing is."
        ),
    )


def _rollback(migration: Migration) -> Done:
    mode = RollbackMode(request.form.get("mode", RollbackMode.COMPLETE))
    started = services().system.rollback(current_caller(), migration.id, mode)
    sentence = "The way back is enqueued."
    if started.migration.id == migration.id:  # it had not switched yet
        sentence = "It stops; what it has done so far is being undone."
    return Done(sentence, started.migration.id)


def _nothing(_: Migration) -> Sequence[str]:
    return ("Nothing.",)


# --- pause and resume ---------------------------------------------------------------


def _paused(_: Migration) -> Sequence[str]:
    return (
        "Its work stops within seconds, and nothing is undone.",
        "What the provider is answering just now is still stored; nothing more is asked or paid.",
        "Its deadline stands still until it is resumed.",
        (
            "The bot goes on answering from the collection it has now; what is written meanwhile "
            "is caught up later."
        ),
    )


def _pause(migration: Migration) -> Done:
    wish = forms.to_request(PauseRequest, {"reason": forms.text("reason")})
    services().system.pause(current_caller(), migration.id, wish.reason)
    return Done("It is paused; its work stops within seconds.", migration.id)


def _resumed(migration: Migration) -> Sequence[str]:
    left = migration.controls.get(PAUSED, {}).get("seconds_left")
    time = f"It has {duration(left)} until it would be rolled back by itself." if left else ""
    said = "It goes on from where it stands; what is embedded is not embedded again."
    return tuple(one for one in (said, time) if one)


def _resume(migration: Migration) -> Done:
    services().system.resume(current_caller(), migration.id)
    return Done("It goes on.", migration.id)


# --- pace and time --------------------------------------------------------------------


def _throttled(migration: Migration) -> Sequence[str]:
    return (
        (
            f"It asks {migration.config.to_provider} less often, in every worker within seconds, "
            "until it ends or the pace is taken away."
        ),
        "What it leaves is free for questions and for other migrations at once.",
        "It takes longer: give it more time where its deadline comes too soon.",
    )


def _throttling_needs(migration: Migration) -> Sequence[str]:
    return (
        (
            "For a share: limits of the provider that are set, announced or learned. Numbers can "
            "be given without any."
        ),
    )


def _throttle(migration: Migration) -> Done:
    system, caller = services().system, current_caller()
    if forms.flag("whole"):
        system.throttle(caller, migration.id, None)
        return Done("It asks as often as the provider's limit allows.", migration.id)
    percent = forms.decimal("percent")
    values = {
        "share": percent / 100 if isinstance(percent, float) else percent,
        "requests_per_minute": forms.decimal("requests_per_minute"),
        "tokens_per_minute": forms.decimal("tokens_per_minute"),
    }
    system.throttle(caller, migration.id, forms.to_request(ThrottleRequest, values).pace)
    return Done("It asks its provider less often, within seconds.", migration.id)


def _extended(migration: Migration) -> Sequence[str]:
    return (
        (
            f"It may take {duration(migration.config.timeout_seconds)} until its switch now; when "
            "that is over it is rolled back by itself. It can only be given more."
        ),
    )


def _extending_needs(_: Migration) -> Sequence[str]:
    most = services().settings.max_timeout_seconds
    return (f"At most {duration(most)} in all, unless an admin says more.",)


def _extend(migration: Migration) -> Done:
    hours = forms.decimal("hours")
    seconds = round(hours * 3600) if isinstance(hours, float) else hours
    wish = forms.to_request(ExtendRequest, {"timeout_seconds": seconds})
    services().system.extend(current_caller(), migration.id, wish.timeout_seconds)
    return Done(f"It may take {duration(wish.timeout_seconds)} until its switch.", migration.id)


# --- once more ------------------------------------------------------------------------


def _retried(migration: Migration) -> Sequence[str]:
    config = migration.config
    return (
        (
            f"A new migration to {config.to_provider}/{config.to_model} is started with the same "
            "wishes, from where the bot is now."
        ),
        "What this one had embedded is taken over where it is kept yet, and not paid again.",
    )


def _retry(migration: Migration) -> Done:
    started = services().system.retry(current_caller(), migration.id)
    sentence = "It is enqueued." if started.created else "It was tried again before, by this one."
    return Done(sentence, started.migration.id)


_RETRIABLE = frozenset({Status.ROLLED_BACK, Status.FAILED})

ACTIONS = {
    action.name: action
    for action in (
        Action(
            "switch",
            "Accept and switch",
            "Let it switch?",
            follows=_switched,
            needs=_accepting_needs,
            is_possible=lambda migration: migration.status is Status.WAITING,
            do=_switch,
        ),
        Action(
            "resume",
            "Resume",
            "Let it go on?",
            follows=_resumed,
            needs=_nothing,
            is_possible=lambda migration: migration.status is Status.PAUSED,
            do=_resume,
        ),
        Action(
            "pause",
            "Pause",
            "Pause this migration?",
            follows=_paused,
            needs=_nothing,
            is_possible=lambda migration: migration.status in BEFORE_SWITCH,
            do=_pause,
        ),
        Action(
            "throttle",
            "Change its pace",
            "How much of its provider may it use?",
            follows=_throttled,
            needs=_throttling_needs,
            is_possible=lambda migration: migration.status in COMPENSABLE,
            do=_throttle,
        ),
        Action(
            "extend",
            "Give it more time",
            "Give it more time?",
            follows=_extended,
            needs=_extending_needs,
            is_possible=lambda migration: migration.status in COMPENSABLE,
            do=_extend,
        ),
        Action(
            "rollback",
            "Roll back",
            "Go back to the previous collection?",
            follows=_rolled_back,
            needs=_rollback_needs,
            is_possible=lambda migration: (
                migration.status is Status.COMPLETED
                or (migration.status is Status.SWITCHED and migration.kind is Kind.REVERSE)
            ),
            do=_rollback,
            undoes=True,
        ),
        Action(
            "retry",
            "Try again",
            "Try it again?",
            follows=_retried,
            needs=_nothing,
            is_possible=lambda migration: (
                migration.status in _RETRIABLE and migration.kind is Kind.FORWARD
            ),
            do=_retry,
        ),
        Action(
            "cancel",
            "Cancel",
            "Cancel this migration?",
            follows=_cancelled,
            needs=_nothing,
            is_possible=lambda migration: migration.status in COMPENSABLE,
            do=_cancel,
            undoes=True,
        ),
    )
}
