"""What can be done to a run that is on its way, without taking it off it."""

from __future__ import annotations

from flask import Response

from api.answers import accepted
from api.auth import current_caller
from api.description import refusals
from api.routes.guarded import guarded_blueprint
from api.schemas import (
    MigrationActionRequest,
    MigrationActionResponse,
    MigrationPath,
    PauseRequest,
)
from api.services import services
from migrations.model import errors

steering = guarded_blueprint("steering", __name__, "What can be done to a run on its way.")

_NOT_ANY_MORE = (errors.NotSteerable, errors.SwitchInProgress, errors.AlreadySwitched)


@steering.post(
    "/embeddings/migration/<migration_id>/pause",
    endpoint="pause",
    responses={
        202: MigrationActionResponse,
        **refusals(errors.MigrationNotFound, *_NOT_ANY_MORE, body=True),
    },
)
def pause_migration(path: MigrationPath, body: PauseRequest) -> Response:
    """Pause a migration before its switch

    Its work stops within seconds, and nothing is undone. Answers of the provider that are under
    way are still stored; nothing more is asked for. Its deadline stands still. Sent again, it is
    answered as the first time.
    """
    paused = services().system.pause(current_caller(), path.migration_id, body.reason)
    message = "The migration is paused; its work stops within seconds, and nothing is undone."
    return accepted(MigrationActionResponse.of(paused, message))


@steering.post(
    "/embeddings/migration/<migration_id>/resume",
    endpoint="resume",
    responses={
        202: MigrationActionResponse,
        **refusals(errors.MigrationNotFound, errors.NotSteerable, body=True),
    },
)
def resume_migration(path: MigrationPath, body: MigrationActionRequest) -> Response:
    """Let a paused migration go on from where it stands

    What is embedded is not embedded again, and it has the time that it had left. Sent again, it
    is answered as the first time.
    """
    resumed = services().system.resume(current_caller(), path.migration_id)
    return accepted(MigrationActionResponse.of(resumed, "The migration goes on."))
