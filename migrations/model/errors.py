"""Every error of the domain, arranged by what the system does next.

The first line of a class's docstring is the message a person reads when
nothing more precise is known; instances usually carry a more precise one.
Vendor exceptions never leave the adapters: they arrive here as ``__cause__``.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from migrations.model.states import Status
from migrations.model.what_now import repair_of, what_now


class ReembedError(Exception):
    """Something went wrong in reembed; see the cause."""

    #: Stable word for logs, events, problem documents and metrics.
    code = "error"
    #: What a provider bills for the answer this is about; 0 where there was none.
    billed_tokens = 0

    def __init__(self, message: str | None = None, **details: Any) -> None:
        super().__init__(message or first_sentence(type(self)))
        self.details = details

    @property
    def message(self) -> str:
        return str(self.args[0])


def first_sentence(error_class: type) -> str:
    doc = error_class.__doc__ or error_class.__name__
    return doc.strip().splitlines()[0]


# --- the caller's fault: answered, never retried ------------------------------


class RequestError(ReembedError):
    """The request breaks a rule; change it and send it again."""

    code = "request-refused"


class BotNotFound(RequestError):
    """There is no such bot, or it is not yours; list yours with GET /bots."""

    code = "bot-not-found"


class BotExists(RequestError):
    """A bot of this id is registered already; choose another bot_id."""

    code = "bot-exists"


class CollectionInUse(RequestError):
    """A migration fills this collection or has left it to be kept; register another one."""

    code = "collection-in-use"


class MigrationNotFound(RequestError):
    """There is no such migration, or its bot is not yours."""

    code = "migration-not-found"


class CursorInvalid(RequestError):
    """This is no cursor of this list; send the 'next_cursor' of an answer as it was."""

    code = "cursor-invalid"


class UnknownProvider(RequestError):
    """The provider is neither built in nor named in REEMBED_PROVIDERS."""

    code = "unknown-provider"


class UnknownModel(RequestError):
    """The provider does not know this model; check its spelling."""

    code = "unknown-model"


class ProviderKeyMissing(RequestError):
    """The provider's key is not set in the environment of this process."""

    code = "provider-key-missing"


class SameModel(RequestError):
    """The bot uses this model and dimension already; name another one."""

    code = "same-model"


class UnusualRoles(RequestError):
    """The model is known to take documents or queries in other roles; leave them out to take those.

    Texts in a wrong role are found less often and nothing fails, so whoever means it says so.
    """

    code = "unusual-roles"


class CollectionUnsupported(RequestError):
    """The collection has features that cannot be carried over exactly."""

    code = "collection-unsupported"


class InvalidConfiguration(RequestError):
    """The migration's configuration contradicts the bot or itself."""

    code = "invalid-configuration"


class CollectionNotFound(RequestError):
    """Milvus has no collection or alias of this name; check its spelling."""

    code = "collection-not-found"


class TokensUnknown(RequestError):
    """Texts were sent as ids of a vocabulary that is not known here."""

    code = "tokens-unknown"


class DimensionNotLive(RequestError):
    """Vectors of another dimension were asked for than the bot's model gives now."""

    code = "dimension-not-live"


class SearchRefused(RequestError):
    """The collection cannot be searched as asked; Milvus' own words say why."""

    code = "search-refused"


class QuestionRefused(RequestError):
    """The model takes no such text; send another one."""

    code = "question-refused"


class WritesUnsupported(RequestError):
    """Chunks of this collection cannot be written through reembed; write to Milvus yourself."""

    code = "writes-unsupported"


class ChunksInvalid(RequestError):
    """The collection cannot take these chunks; 'errors' says of each what is wrong with it."""

    code = "chunks-invalid"


class NotAuthenticated(RequestError):
    """Send a valid token as 'Authorization: Bearer <token>'."""

    code = "not-authenticated"


class TokenEnded(NotAuthenticated):
    """The token is expired or revoked; an admin can issue another."""

    code = "token-ended"


class NotAllowed(RequestError):
    """The token's role does not allow this; the sentence says which does."""

    code = "not-allowed"


class CollectionNotGranted(NotAllowed):
    """Registering this collection needs the role admin, or an admin's grant for all its names."""

    code = "collection-not-granted"


class NothingLearned(RequestError):
    """No provider of this name was called in the last day; list those with GET /paces."""

    code = "nothing-learned"


class NameInvalid(RequestError):
    """The name is empty, too long, or has characters that nobody can see."""

    code = "name-invalid"


class GrantNotFound(RequestError):
    """There is no such grant; list them with GET /grants."""

    code = "grant-not-found"


class TokenNotFound(RequestError):
    """There is no such token; list them with GET /tokens."""

    code = "token-not-found"


class IdempotencyConflict(RequestError):
    """The Idempotency-Key was used before with another request; use a new key."""

    code = "idempotency-conflict"


# --- the state does not allow it now ------------------------------------------


class KeptNotFound(RequestError):
    """No such collection is kept, or it is not yours; list yours with GET /kept-collections."""

    code = "kept-not-found"


class TransitionRefused(ReembedError):
    """The migration is not in a state that allows this."""

    code = "transition-refused"


class MigrationInProgress(TransitionRefused):
    """The bot has a live migration; wait for it or cancel it first."""

    code = "migration-in-progress"

    @classmethod
    def of(cls, migration_id: UUID, status: Status) -> MigrationInProgress:
        """Names the migration that is in the way, and what may be done with it."""
        told = f"The bot's migration {migration_id} is {status}; wait for it or cancel it first."
        if status is Status.ROLLING_BACK:
            told = f"The bot's migration {migration_id} is being undone; wait until it is."
        told = what_now(migration_id, status) or told
        repair = repair_of(migration_id, status)
        return cls(told, migration_id=str(migration_id), **repair)


class TooManyMigrations(TransitionRefused):
    """The limit of concurrent migrations, or of those of one owner, is reached; try again later."""

    code = "too-many-migrations"


class OriginalStays(TransitionRefused):
    """reembed did not make this collection and does not drop it unless its bot lets originals go:
    PATCH the bot with drop_originals: true, or drop it in Milvus."""

    code = "original-stays"


class NoActiveMigration(TransitionRefused):
    """The bot has no live migration to cancel."""

    code = "no-active-migration"


class NotWaiting(TransitionRefused):
    """The migration waits for no decision."""

    code = "not-waiting"


class NotAccepted(TransitionRefused):
    """Less was found than wanted; look at the report, then send accept and a reason."""

    code = "not-accepted"


class NotSteerable(TransitionRefused):
    """The migration is not in a state in which it can be paused, resumed or given other terms."""

    code = "not-steerable"


class SwitchInProgress(TransitionRefused):
    """The switch is completing and cannot be interrupted; roll back once it is done."""

    code = "switch-completing"


class AlreadySwitched(TransitionRefused):
    """The migration has switched; use its rollback to go back."""

    code = "already-switched"


class AlreadyRolledBack(TransitionRefused):
    """The migration is rolled back already, or its rollback is running."""

    code = "already-rolled-back"


class RollbackUnavailable(TransitionRefused):
    """This migration cannot be rolled back; the blockers say why."""

    code = "rollback-unavailable"


class NoLongerKept(TransitionRefused):
    """The held collection was dropped or taken over meanwhile; a new one is made."""

    code = "no-longer-held"


class TokenRevoked(TransitionRefused):
    """A token that was revoked cannot be rotated; issue a new one."""

    code = "token-revoked"


class Superseded(TransitionRefused):
    """Another worker or a newer epoch owns this migration now; this work stops."""

    code = "superseded"


class Postponed(TransitionRefused):
    """The provider's limit left no room for this batch for long; it is opened again later."""

    code = "postponed"


class PutDown(TransitionRefused):
    """This worker is ending; the work goes back to the queue, for another one to take up."""

    code = "put-down"


# --- passing faults: wait and try again ---------------------------------------


class TransientError(ReembedError):
    """A dependency failed in a way that usually passes; it is tried again."""

    code = "transient"

    def __init__(
        self,
        message: str | None = None,
        *,
        retry_after_seconds: float | None = None,
        **details: Any,
    ) -> None:
        super().__init__(message, **details)
        self.retry_after_seconds = retry_after_seconds


class ProviderUnavailable(TransientError):
    """The embedding provider does not answer or answers with a server error."""

    code = "provider-unavailable"


class ProviderTooSlow(ProviderUnavailable):
    """The embedding provider did not answer in time; fewer texts at once may do."""

    code = "provider-too-slow"


class ProviderRateLimited(TransientError):
    """The embedding provider's rate limit is reached."""

    code = "provider-rate-limited"


class VectorStoreUnavailable(TransientError):
    """Milvus does not answer or asks to slow down."""

    code = "vector-store-unavailable"


class VectorStoreLoginRefused(VectorStoreUnavailable):
    """Milvus does not know the user or the password; correct REEMBED_MILVUS_TOKEN.

    Passing, because a run that could not go on without could not be undone without either.
    """

    code = "vector-store-login"


class CollectionNotLoaded(VectorStoreUnavailable):
    """The collection is not loaded; load it in Milvus and try again."""

    code = "collection-not-loaded"


class TextsUnavailable(TransientError):
    """The database with the texts does not answer."""

    code = "texts-unavailable"


class StateStoreUnavailable(TransientError):
    """PostgreSQL does not answer."""

    code = "state-store-unavailable"


class CheckpointsUnavailable(TransientError):
    """Redis does not answer."""

    code = "checkpoints-unavailable"


class LimiterAway(TransientError):
    """Redis does not answer, so what the limiter has learned is not known."""

    code = "limiter-away"


class NoAnswer(TransientError):
    """The service has not answered in the time that anybody waits for it."""

    code = "no-answer"


class TooManyAtOnce(TransientError):
    """Too many requests that ask Milvus or a provider are being answered; try again soon."""

    code = "too-many-at-once"


class AliasMoves(TransientError):
    """The bot's alias is being moved to another collection; ask again in a moment."""

    code = "alias-moves"


class JournalFull(TransientError):
    """Too many writes of this bot wait to be applied; see why in its journal and send it later."""

    code = "journal-full"


class SweepPostponed(TransientError):
    """The old collection could not be swept now; the next sweep tries again."""

    code = "sweep-postponed"


class CheckpointsLost(TransientError):
    """Redis no longer holds this migration's batch borders; they are planned again."""

    code = "checkpoints-lost"


# --- lasting faults: the migration compensates --------------------------------


class PermanentError(ReembedError):
    """The migration cannot succeed as it is configured; it is rolled back."""

    code = "permanent"


class ProviderAuthenticationFailed(PermanentError):
    """The embedding provider refuses the key; replace it and start again."""

    code = "provider-authentication"


class ProviderQuotaExhausted(PermanentError):
    """The embedding provider's quota or credit is used up; top it up and start again."""

    code = "provider-quota"


class ProviderRefuses(PermanentError):
    """The embedding provider refuses every request, whatever its text; its words say why."""

    code = "provider-refuses"


class DimensionMismatch(PermanentError):
    """The model answers with vectors of another dimension than configured."""

    code = "dimension-mismatch"


class InvalidVectors(PermanentError):
    """The model answered with vectors that cannot be stored (NaN, zero, too few, empty)."""

    code = "invalid-vectors"


class TextRefused(PermanentError):
    """The provider refuses this text; the chunk is recorded as failed."""

    code = "text-refused"


class TextTooLong(TextRefused):
    """The text is longer than the model takes, as is known or as the provider says."""

    code = "text-too-long"


class ValidationFailed(PermanentError):
    """The bot cannot be migrated as it is; the report names the reasons."""

    code = "validation-failed"


class VerificationFailed(PermanentError):
    """The new collection does not hold what the old one holds; nothing was switched."""

    code = "verification-failed"


class TooManyFailedChunks(PermanentError):
    """More chunks failed than max_failed_ratio allows; nothing was switched."""

    code = "too-many-failed-chunks"


class ForeignCollection(PermanentError):
    """A collection of the target's name exists and is not this migration's own."""

    code = "foreign-collection"


class StillRead(PermanentError):
    """An alias points to the collection, so somebody may be reading it; move or drop the alias."""

    code = "still-read"


class SchemaNotReproduced(PermanentError):
    """The created collection differs from the source in more than its dimension."""

    code = "schema-not-reproduced"


class ScanInconsistent(PermanentError):
    """Two ways of counting the same key range disagree; reading on would lose chunks."""

    code = "scan-inconsistent"


class SourceChanged(PermanentError):
    """The bot's live collection is no longer the one this migration started from."""

    code = "source-changed"


class VectorStoreRefused(PermanentError):
    """Milvus refuses the request; the cause has its words."""

    code = "vector-store-refused"


class AnswerTooLarge(VectorStoreRefused):
    """Milvus has more to answer than it may put into one message; fewer rows would do."""

    code = "answer-too-large"


class TimedOut(PermanentError):
    """The migration took longer than its timeout_seconds."""

    code = "timed-out"
