"""Migrations by their id, and all that are live."""

from __future__ import annotations

from flask import Response, request

from api.answers import accepted, answer
from api.auth import current_caller
from api.description import refusals
from api.report_page import page_of
from api.routes.guarded import guarded_blueprint
from api.schemas import (
    ActiveMigrationsResponse,
    ActivePageQuery,
    KeyMapResponse,
    KeyPageQuery,
    MigrationActionResponse,
    MigrationPath,
    MigrationProgressResponse,
    MigrationReportResponse,
    ReportQuery,
    RollbackRequest,
    SwitchRequest,
)
from api.services import services
from api.turns import turn
from migrations.model import errors
from migrations.model.config import RollbackMode
from migrations.model.states import Kind

migrations = guarded_blueprint("migrations", __name__, "Runs from one embedding to another.")


@migrations.get(
    "/embeddings/migration/<migration_id>/progress",
    endpoint="progress",
    responses={200: MigrationProgressResponse, **refusals(errors.MigrationNotFound)},
)
def get_progress(path: MigrationPath) -> Response:
    """See how far a migration is"""
    found = services().system.progress(current_caller(), path.migration_id)
    return answer(MigrationProgressResponse.of(found))


@migrations.get(
    "/embeddings/migration/<migration_id>/keys",
    endpoint="key_map",
    responses={200: KeyMapResponse, **refusals(errors.MigrationNotFound)},
)
def get_key_map(path: MigrationPath, query: KeyPageQuery) -> Response:
    """Tell which keys belong together where Milvus gives them

    The new collection of a migration with `keys: reassign` has other keys than the old one.
    """
    system, caller = services().system, current_caller()
    migration = system.migration(caller, path.migration_id)
    found = system.key_map(caller, path.migration_id, after=query.after, limit=query.limit + 1)
    return answer(KeyMapResponse.of(migration, found, query.limit))


@migrations.get(
    "/embeddings/migration/<migration_id>/report",
    endpoint="report",
    responses={
        200: {
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/MigrationReportResponse"}
                },
                "text/html": {},
            },
            "description": "The report, as JSON or as a page.",
        },
        **refusals(errors.MigrationNotFound),
    },
)
def get_report(path: MigrationPath, query: ReportQuery) -> Response:
    """See what verification compared, found, and did not look at

    As JSON, or as a page with plots that works without scripts: `?format=html`, or an `Accept`
    that prefers `text/html`.
    """
    found = services().system.report(current_caller(), path.migration_id)
    report = MigrationReportResponse.of(found)
    accepts = request.accept_mimetypes.best_match(["application/json", "text/html"])
    wants_page = query.format == "html" or (query.format is None and accepts == "text/html")
    response = page_of(report) if wants_page else answer(report)
    response.headers["Vary"] = "Accept"
    return response


_GOING_BACK = {
    RollbackMode.COMPLETE: "A reverse run is enqueued; it keeps what was written since the switch.",
    RollbackMode.NOW: "A reverse run is enqueued; it switches back first, and what was written "
    "since the switch follows.",
}


@migrations.post(
    "/embeddings/migration/<migration_id>/rollback",
    endpoint="rollback",
    responses={
        202: MigrationActionResponse,
        **refusals(
            errors.MigrationNotFound,
            errors.AlreadyRolledBack,
            errors.RollbackUnavailable,
            errors.NoActiveMigration,
            errors.MigrationInProgress,
            errors.SwitchInProgress,
            errors.TooManyMigrations,
            errors.VectorStoreUnavailable,
            errors.TooManyAtOnce,
            body=True,
        ),
    },
)
def rollback_migration(path: MigrationPath, body: RollbackRequest) -> Response:
    """Take a migration back

    Before the switch this undoes what was done. After it, within the retention window, a
    reverse run returns to the old collection and keeps what was written since: that run is
    the migration in the answer, and `Location` is where to watch it. With `mode: now` the bot
    switches back first, and what was written since follows.
    """
    with turn():
        started = services().system.rollback(current_caller(), path.migration_id, body.mode)
    if started.migration.kind is Kind.REVERSE and started.created:
        message = _GOING_BACK[body.mode]
    else:
        message = "The migration stops; what it has done so far is being undone."
    return accepted(MigrationActionResponse.of(started.migration, message, created=started.created))


@migrations.post(
    "/embeddings/migration/<migration_id>/switch",
    endpoint="switch",
    responses={
        202: MigrationActionResponse,
        **refusals(errors.MigrationNotFound, errors.NotWaiting, errors.NotAccepted, body=True),
    },
)
def accept_switch(path: MigrationPath, body: SwitchRequest) -> Response:
    """Let a migration that waits before its switch go on

    Where a gate has failed, send `accept: true` and a `reason`; both are kept. What was written
    meanwhile is caught up, everything is verified once more, and the bot is switched. Sent
    again, it is answered as the first time.
    """
    accepted_run = services().system.accept(
        current_caller(), path.migration_id, body.accepted_because
    )
    message = "It goes on: what was written meanwhile is caught up, verified, and switched."
    return accepted(MigrationActionResponse.of(accepted_run, message))


@migrations.get(
    "/embeddings/migrations/active",
    endpoint="active",
    responses={
        200: ActiveMigrationsResponse,
        **refusals(errors.NotAllowed, errors.MigrationNotFound),
    },
)
def list_active_migrations(query: ActivePageQuery) -> Response:
    """List every live migration (admin)

    More than `limit` come in pages, see `next_cursor`.
    """
    found = services().system.active(current_caller(), after=query.cursor, limit=query.limit + 1)
    return answer(ActiveMigrationsResponse.of(found, query.limit))
