"""Migrations on the page: a list of them, and one with all that is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from flask import Response, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from api.auth import current_caller
from api.dashboard import problems
from api.dashboard.actions import possible
from api.dashboard.blueprints import page, pages
from api.dashboard.forms import Refused, to_request
from api.dashboard.views import MigrationView, migration_view
from api.report_page import report_values
from api.schemas import MigrationListQuery, MigrationReportResponse
from api.services import services
from migrations.model.errors import CursorInvalid
from migrations.model.history import RunSummary
from migrations.model.states import Status

_ONE = "/migrations/<uuid:migration_id>"
#: A run has some twenty, and one more each time it is driven again.
_MOST_EVENTS = 500
_PAGE = 50
_FILTERS = ("bot_id", "status", "kind", "since", "until", "cursor")


@pages.get("/migrations")
def migrations() -> Response:
    """Now and past, by filters and in pages."""
    given = {name: request.args[name] for name in _FILTERS if request.args.get(name)}
    runs, following, errors = _searched(given)
    return page(
        "migrations.html",
        422 if errors else 200,
        runs=runs,
        following=following,
        errors=errors,
        given=given,
        first={name: value for name, value in given.items() if name != "cursor"},
        statuses=list(Status),
    )


def _searched(given: dict[str, str]) -> tuple[Sequence[RunSummary], str | None, list[str]]:
    asked: dict[str, object] = {**given, "limit": _PAGE}
    match asked.pop("status", None):
        case None:
            pass
        case "live":
            asked["live"] = True
        case status:
            asked["status"] = [status]
    try:
        search = to_request(MigrationListQuery, asked).search()
        found = services().history.runs(current_caller(), search)
    except Refused as refused:
        return [], None, refused.sentences
    except CursorInvalid as error:
        return [], None, [error.message]
    return found.runs, found.next.cursor if found.next else None, []


@pages.get(_ONE)
def migration(migration_id: UUID) -> Response:
    view = _view(migration_id)
    return page("migration.html", view=view, actions=possible(view.migration))


@pages.get(f"{_ONE}/live")
def migration_live(migration_id: UUID) -> AnyResponse:
    """The part of the page that moves, for htmx."""
    if not problems.is_fragment():
        return redirect(url_for("dashboard.migration", migration_id=migration_id))
    view = _view(migration_id)
    return page("_migration.html", view=view, actions=possible(view.migration))


@pages.get(f"{_ONE}/report")
def report(migration_id: UUID) -> Response:
    found = services().system.report(current_caller(), migration_id)
    return page("report.html", **report_values(MigrationReportResponse.of(found)))


def _view(migration_id: UUID) -> MigrationView:
    system, caller = services().system, current_caller()
    return migration_view(
        system.progress(caller, migration_id),
        system.migration(caller, migration_id),
        services().history.events(caller, migration_id, 0, _MOST_EVENTS),
        services().spend.of_migration(caller, migration_id),
        datetime.now(UTC),
    )
