"""Migrations on the page: those that are live, and one with all that is known of it."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from flask import Response, redirect, url_for
from werkzeug.wrappers import Response as AnyResponse

from api.auth import current_caller
from api.dashboard import problems
from api.dashboard.actions import possible
from api.dashboard.blueprints import page, pages
from api.dashboard.views import MigrationView, migration_view
from api.report_page import report_values
from api.schemas import MigrationReportResponse
from api.services import services

_ONE = "/migrations/<uuid:migration_id>"


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
        system.history(caller, migration_id),
        datetime.now(UTC),
    )
