"""What can be done to a run that is on its way, without taking it off it."""

from __future__ import annotations

from flask import Response

from api.answers import accepted
from api.auth import current_caller
from api.description import refusals
from api.routes.guarded import guarded_blueprint
from api.schemas import (
    ExtendRequest,
    MigrationActionRequest,
    MigrationActionResponse,
    MigrationPath,
    PauseRequest,
    ThrottleRequest,
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


@steering.post(
    "/embeddings/migration/<migration_id>/extend",
    endpoint="extend",
    responses={
        202: MigrationActionResponse,
        **refusals(
            errors.MigrationNotFound, *_NOT_ANY_MORE, errors.InvalidConfiguration, body=True
        ),
    },
)
def extend_migration(path: MigrationPath, body: ExtendRequest) -> Response:
    """Give a migration more time before its switch

    `timeout_seconds` is its whole time, so that a request that is sent again changes nothing;
    it can only become longer. A paused migration has so much more left.
    """
    system = services().system
    extended = system.extend(current_caller(), path.migration_id, body.timeout_seconds)
    seconds = extended.config.timeout_seconds
    message = f"The migration may take {seconds} seconds until its switch."
    return accepted(MigrationActionResponse.of(extended, message))


_REFUSED_PACES = (errors.MigrationNotFound, errors.NotSteerable)


@steering.post(
    "/embeddings/migration/<migration_id>/throttle",
    endpoint="throttle",
    responses={
        202: MigrationActionResponse,
        **refusals(*_REFUSED_PACES, errors.InvalidConfiguration, body=True),
    },
)
def throttle_migration(path: MigrationPath, body: ThrottleRequest) -> Response:
    """Let a migration use less of its provider

    In every worker within seconds, and until it ends or the pace is taken away (DELETE). What it
    leaves is free for other migrations at once. It takes the place of an earlier pace.
    """
    slowed = services().system.throttle(current_caller(), path.migration_id, body.pace)
    message = "The migration asks its provider less often, in every worker within seconds."
    return accepted(MigrationActionResponse.of(slowed, message))


@steering.delete(
    "/embeddings/migration/<migration_id>/throttle",
    endpoint="unthrottle",
    responses={202: MigrationActionResponse, **refusals(*_REFUSED_PACES)},
)
def unthrottle_migration(path: MigrationPath) -> Response:
    """Let a migration use its provider's whole limit again"""
    freed = services().system.throttle(current_caller(), path.migration_id, None)
    message = "The migration asks its provider as often as the limit allows."
    return accepted(MigrationActionResponse.of(freed, message))


@steering.post(
    "/embeddings/migration/<migration_id>/retry",
    endpoint="retry",
    responses={
        202: MigrationActionResponse,
        **refusals(
            errors.MigrationNotFound,
            errors.NotSteerable,
            errors.MigrationInProgress,
            errors.SameModel,
            errors.UnknownProvider,
            errors.UnknownModel,
            errors.ProviderKeyMissing,
            errors.InvalidConfiguration,
            errors.TooManyMigrations,
            body=True,
        ),
    },
)
def retry_migration(path: MigrationPath, body: MigrationActionRequest) -> Response:
    """Try a migration again that has failed or was rolled back

    Starts a migration with the same wishes, from where the bot is now; a target that is kept is
    taken over, and what it holds is not embedded again. Sent again, it is answered with the
    migration that it started, `created: false` and the header `Idempotent-Replayed: true`.
    """
    started = services().system.retry(current_caller(), path.migration_id)
    if started.created:
        message = "A migration with the same wishes is enqueued."
    else:
        message = "It was tried again before: by this migration."
    action = MigrationActionResponse.of(started.migration, message, created=started.created)
    return accepted(action, replayed=not started.created)
