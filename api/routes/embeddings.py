"""One bot's embedding: can it change, what would it take, start, watch and cancel."""

from __future__ import annotations

from flask import Response, request

from api.answers import accepted, answer, answer_unless_known, tag_of
from api.auth import current_caller
from api.description import NOT_MODIFIED, refusals
from api.routes.guarded import guarded_blueprint
from api.schemas import (
    BotPath,
    DimensionInfoResponse,
    EmbeddingValidationRequest,
    EmbeddingValidationResponse,
    IdempotencyHeader,
    KnownHeader,
    LiveQuery,
    LiveResponse,
    MigrationActionRequest,
    MigrationActionResponse,
    MigrationEstimateRequest,
    MigrationEstimateResponse,
    MigrationStartRequest,
    MigrationStatusResponse,
    TextDiagnosisResponse,
)
from api.services import services
from api.turns import turn
from api.waiting import wait_until
from migrations.model import errors
from migrations.model.agreed import Agreed
from migrations.model.bots import Bot

embeddings = guarded_blueprint("embeddings", __name__, "What a bot is embedded with.")

#: The pair that was live stays searchable after a switch: who keeps an answer for so long sees
#: what was written before.
_MAY_BE_KEPT = "private, max-age=5"

_TARGET_REFUSALS = (
    errors.BotNotFound,
    errors.UnknownProvider,
    errors.UnknownModel,
    errors.ProviderKeyMissing,
    errors.InvalidConfiguration,
    errors.ProviderAuthenticationFailed,
    errors.ProviderUnavailable,
    errors.VectorStoreUnavailable,
    errors.TooManyAtOnce,
)


@embeddings.get(
    "/bots/<bot_id>/embeddings/live",
    endpoint="live",
    responses={200: LiveResponse, 304: NOT_MODIFIED, **refusals(errors.BotNotFound)},
)
def get_live(path: BotPath, header: KnownHeader, query: LiveQuery) -> Response:
    """See what the bot answers from, as one fact

    The collection, how the documents in it are embedded, and how questions must be. All three
    change in one transaction, so what one answer says belongs together. With `wait` the answer
    comes when there is something new, or when the time is over; sooner, with nothing new, while
    very many wait.
    """
    milvus_db, known = services().settings.milvus_db, request.if_none_match

    def is_new(bot: Bot) -> bool:
        if query.generation is None and not known:
            return True
        if query.is_new(bot.live.generation):
            return True
        return bool(known) and not known.contains_weak(tag_of(LiveResponse.of(bot, milvus_db)))

    bot = services().system.bot(current_caller(), path.bot_id)
    if query.wait and not is_new(bot):
        wait_until(bot.bot_id, lambda now: now != bot and is_new(now), query.wait)
    return answer_unless_known(
        LiveResponse.of(bot, milvus_db), "no-cache" if query.wait else _MAY_BE_KEPT
    )


@embeddings.post(
    "/bots/<bot_id>/embeddings/validate-change",
    responses={
        200: EmbeddingValidationResponse,
        **refusals(*_TARGET_REFUSALS, errors.SameModel, errors.UnusualRoles, body=True),
    },
)
def validate_change(path: BotPath, body: EmbeddingValidationRequest) -> Response:
    """Check whether a bot could change its embedding

    Makes the checks that open a migration, and changes nothing. That the bot cannot change
    is an answer (200 with `compatible: false`), not a problem.
    """
    with turn():
        found = services().compatibility.validate_change(
            current_caller(),
            path.bot_id,
            body.provider,
            body.model,
            body.dimension,
            body.how,
            index=body.index,
            timeout_seconds=body.timeout_seconds,
            agreed=Agreed(
                keys=body.keys,
                unproven_text=body.unproven_text,
                old_model_gone=body.old_model_gone,
                vector_lengths=body.vector_lengths,
                unusual_roles=body.unusual_roles,
                slice_by=body.slice_by,
            ),
        )
    return answer(EmbeddingValidationResponse.of(found))


@embeddings.post(
    "/bots/<bot_id>/embeddings/diagnose",
    responses={200: TextDiagnosisResponse, **refusals(*_TARGET_REFUSALS)},
)
def diagnose(path: BotPath) -> Response:
    """Find out which text was embedded

    Embeds texts of up to a hundred rows with the bot's model, for each way of making a text
    that the rows suggest, and compares the vectors with the stored ones. Changes nothing.
    """
    with turn():
        found = services().compatibility.diagnose(current_caller(), path.bot_id)
    return answer(TextDiagnosisResponse.of(found))


@embeddings.post(
    "/bots/<bot_id>/embeddings/estimate-migration",
    responses={
        200: MigrationEstimateResponse,
        **refusals(*_TARGET_REFUSALS, errors.UnusualRoles, body=True),
    },
)
def estimate_migration(path: BotPath, body: MigrationEstimateRequest) -> Response:
    """Estimate tokens, money and time of a migration

    Without provider and model, and without a body at all, the estimate is for the
    embedding the bot has now.
    """
    with turn():
        found = services().compatibility.estimate_migration_time(
            current_caller(), body.estimate(path.bot_id)
        )
    return answer(MigrationEstimateResponse.of(found))


@embeddings.post(
    "/bots/<bot_id>/embeddings/start-migration",
    responses={
        202: MigrationActionResponse,
        **refusals(
            *_TARGET_REFUSALS,
            errors.SameModel,
            errors.UnusualRoles,
            errors.IdempotencyConflict,
            errors.MigrationInProgress,
            errors.TooManyMigrations,
            body=True,
        ),
    },
)
def start_migration(
    path: BotPath, header: IdempotencyHeader, body: MigrationStartRequest
) -> Response:
    """Start a migration

    Answers at once; the work is done by workers and watched at the `Location`. A request
    repeated with its `Idempotency-Key` starts nothing: it is answered 202 as the first was,
    with the same migration, `created: false` and the header `Idempotent-Replayed: true`.
    """
    with turn():
        started = services().system.start_migration(
            current_caller(), body.start(path.bot_id), idempotency_key=header.idempotency_key
        )
    if started.created:
        message = "The migration is enqueued; the bot keeps answering from its old collection."
    else:
        message = "An earlier request with this Idempotency-Key started this migration."
    action = MigrationActionResponse.of(started.migration, message, created=started.created)
    return accepted(action, replayed=not started.created)


@embeddings.get(
    "/bots/<bot_id>/embeddings/migration-status",
    endpoint="migration_status",
    responses={200: MigrationStatusResponse, **refusals(errors.BotNotFound)},
)
def get_migration_status(path: BotPath) -> Response:
    """See a bot, its newest migration and the way back

    Answered also while Milvus is away: `not_asked` says what is missing then.
    """
    found = services().system.status(current_caller(), path.bot_id)
    return answer(MigrationStatusResponse.of(found))


@embeddings.post(
    "/bots/<bot_id>/embeddings/cancel-migration",
    responses={
        202: MigrationActionResponse,
        **refusals(
            errors.BotNotFound,
            errors.NoActiveMigration,
            errors.SwitchInProgress,
            errors.AlreadySwitched,
            body=True,
        ),
    },
)
def cancel_migration(path: BotPath, body: MigrationActionRequest) -> Response:
    """Cancel the bot's live migration

    Its batches stop, then what was done is undone: it ends as `rolled_back`. After the
    switch use its rollback.
    """
    cancelled = services().system.cancel(current_caller(), path.bot_id)
    message = "The migration stops; what it has done so far is being undone."
    return accepted(MigrationActionResponse.of(cancelled, message))


@embeddings.get(
    "/bots/<bot_id>/embeddings/dimension-info",
    endpoint="dimension_info",
    responses={
        200: DimensionInfoResponse,
        **refusals(
            errors.BotNotFound,
            errors.CollectionNotFound,
            errors.VectorStoreUnavailable,
            errors.TooManyAtOnce,
        ),
    },
)
def get_dimension_info(path: BotPath) -> Response:
    """See the bot's dimension and those known models can give"""
    with turn():
        found = services().compatibility.dimension_info(current_caller(), path.bot_id)
    return answer(DimensionInfoResponse.of(found))
