"""Asking once more, with what follows of it, and doing it: for each of the actions."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from flask import Response, flash, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from api.auth import current_caller
from api.dashboard.actions import ACTIONS, Action
from api.dashboard.blueprints import page, pages
from api.dashboard.forms import Refused
from api.dashboard.views import gates_failed
from api.problems import kind_of
from api.services import services
from api.turns import turn
from migrations.model.errors import ReembedError
from migrations.model.pace import Pace
from migrations.model.runs import Migration


def _ask(
    action: Action, migration: Migration, status: int = 200, error: str | None = None
) -> Response:
    return page(
        "action.html",
        status,
        action=action,
        migration=migration,
        error=error,
        gates=gates_failed(migration) if action.name == "switch" else [],
        modes=_modes(migration) if action.name == "rollback" else [],
        pace=Pace.of(migration.controls),
        given=request.form,
        is_possible=action.is_possible(migration),
    )


def _modes(migration: Migration) -> list[object]:
    status = services().system.status(current_caller(), migration.bot_id)
    return list(status.rollback.options)


def _asking(action: Action) -> Callable[[UUID], Response]:
    def ask(migration_id: UUID) -> Response:
        return _ask(action, services().system.migration(current_caller(), migration_id))

    return ask


def _doing(action: Action) -> Callable[[UUID], AnyResponse]:
    def do(migration_id: UUID) -> AnyResponse:
        migration = services().system.migration(current_caller(), migration_id)
        try:
            with turn():
                done = action.do(migration)
        except Refused as refused:
            return _ask(action, migration, 422, " ".join(refused.sentences))
        except ReembedError as error:
            return _ask(action, migration, kind_of(type(error)).status, error.message)
        flash(done.sentence)
        return redirect(url_for("dashboard.migration", migration_id=done.watch), 303)

    return do


for _action in ACTIONS.values():
    _rule = f"/migrations/<uuid:migration_id>/{_action.name}"
    pages.add_url_rule(_rule, f"ask_{_action.name}", _asking(_action), methods=["GET"])
    pages.add_url_rule(_rule, f"do_{_action.name}", _doing(_action), methods=["POST"])
