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
from api.services import services
from migrations.model.config import RollbackMode
from migrations.model.errors import NotAccepted
from migrations.model.runs import Migration
from migrations.model.states import COMPENSABLE, Kind, Status


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
