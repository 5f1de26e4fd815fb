"""What a change of embedding would mean for a bot, before and while it happens."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from migrations.bots.recipe_search import Candidate, diagnose
from migrations.embedding.estimate import estimate
from migrations.embedding.prices import price_of
from migrations.embedding.work import Errand
from migrations.model.agreed import NOTHING_AGREED, Agreed
from migrations.model.answers import (
    BotEstimate,
    ChangeValidation,
    DimensionInfo,
    Started,
    TextCandidate,
    TextDiagnosis,
    Trial,
)
from migrations.model.bots import Caller
from migrations.model.config import EmbeddingRef, RollbackMode, TargetIndex
from migrations.model.errors import SameModel
from migrations.model.known_models import ModelInfo
from migrations.model.looked_up import read_with_texts
from migrations.model.progress import MigrationProgress
from migrations.model.report import Estimate
from migrations.model.requests import (
    UNSAID,
    EstimateRequest,
    HowEmbedded,
    StartRequest,
    TrialRequest,
)
from migrations.process.services import Services
from migrations.proof.fidelity import ECHOED, spread_of
from migrations.proof.preflight import FIDELITY_SAMPLE, Haste, examine
from migrations.proof.role_check import TEXTS_ASKED
from migrations.proof.target_schema import MadeAs
from migrations.proof.trial import try_out
from migrations.system import EmbeddingMigrationSystem
from migrations.way_back.free import free_instead


class EmbeddingCompatibilityManager:
    """Validation, dimensions and estimates, and the way to start, watch and take back."""

    def __init__(self, services: Services, system: EmbeddingMigrationSystem) -> None:
        self._services = services
        self._system = system

    def validate_change(
        self,
        caller: Caller,
        bot_id: str,
        provider: str,
        model: str,
        dimension: int | None = None,
        how: HowEmbedded = UNSAID,
        *,
        index: TargetIndex | None = None,
        agreed: Agreed = NOTHING_AGREED,
        timeout_seconds: int | None = None,
    ) -> ChangeValidation:
        """Run the checks that open a migration as if so much was ``agreed``.

        They warn where ``timeout_seconds``, or the default, is too short for it.

        Nothing of the bot's is touched.

        Raises:
            BotNotFound, SameModel, UnknownProvider, UnknownModel, ProviderKeyMissing,
            InvalidConfiguration, UnusualRoles.
        """
        bot = self._system.bot(caller, bot_id)
        errand, live = Errand.of(self._services, bot), bot.live.embedding
        target = self._system.target_of(errand, provider, model, dimension, how, live)
        _must_differ(target, live)
        settings = self._services.settings
        seconds = timeout_seconds or settings.default_timeout_seconds
        haste = Haste(seconds, settings.default_batch_size)
        made_as = MadeAs(index)
        exam = examine(errand, bot, target, agreed=agreed, haste=haste, made_as=made_as)
        if instead := free_instead(self._services, bot, target):
            exam.report.add("free_instead", False, instead, severity="warning")
        return ChangeValidation(bot, target, exam.report)

    def diagnose(self, caller: Caller, bot_id: str) -> TextDiagnosis:
        """Which text of its rows the bot's model turns into the stored vectors.

        Raises:
            BotNotFound, InvalidConfiguration: the model cannot be asked.
        """
        bot = self._system.bot(caller, bot_id)
        schema = self._services.vectors.describe(bot.live.collection, bot.vector_field)
        schema = read_with_texts(schema, bot.recipe)
        found = diagnose(Errand.of(self._services, bot), bot.live.embedding, schema)
        told = tuple(_told(candidate) for candidate in found.candidates)
        return TextDiagnosis(bot, len(found.rows), told, found.tokens)

    def known_models(self) -> tuple[ModelInfo, ...]:
        """Those of the configured providers; others may be asked for as well."""
        return self._services.embedders.catalogue()

    def dimension_info(self, caller: Caller, bot_id: str) -> DimensionInfo:
        bot = self._system.bot(caller, bot_id)
        embedders, live = self._services.embedders, bot.live.embedding
        schema = self._services.vectors.describe(bot.live.collection, bot.vector_field)
        return DimensionInfo(
            bot=bot,
            collection_dimension=schema.dimension,
            current=self._priced(embedders.known(live.provider, live.model)),
            known_models=tuple(filter(None, map(self._priced, embedders.catalogue()))),
        )

    def _priced(self, info: ModelInfo | None) -> ModelInfo | None:
        """With the operator's price, where one is stated."""
        if info is None:
            return None
        price = price_of(self._services, info.provider, info.model)
        return replace(info, price_per_million_tokens_usd=price)

    def estimate_migration_time(self, caller: Caller, request: EstimateRequest) -> BotEstimate:
        """Chunks, tokens, money and time; without a model, for the present one once more."""
        bot = self._system.bot(caller, request.bot_id)
        errand, live = Errand.of(self._services, bot), bot.live.embedding
        target = live
        if request.provider or request.model or not request.says_nothing:
            target = self._system.target_of(
                errand,
                request.provider or live.provider,
                request.model or live.model,
                request.dimension,
                request,
                live,
            )
        batch_size = request.batch_size or self._services.settings.default_batch_size
        validated = FIDELITY_SAMPLE + ECHOED
        found = estimate(errand, bot, target, batch_size, validated, TEXTS_ASKED)
        timeout = request.timeout_seconds or self._services.settings.default_timeout_seconds
        warnings = [free_instead(self._services, bot, target), _too_short(found, timeout)]
        return BotEstimate(bot, target, found, tuple(filter(None, warnings)))

    def trial(self, caller: Caller, request: TrialRequest) -> Trial:
        """Move some chunks into a scratch collection, judge them, and drop it.

        Raises:
            BotNotFound, SameModel, UnusualRoles and as :func:`migrations.proof.trial.try_out`.
        """
        bot = self._system.bot(caller, request.bot_id)
        errand, live = Errand.of(self._services, bot), bot.live.embedding
        target = self._system.target_of(
            errand, request.provider, request.model, request.dimension, request, live
        )
        _must_differ(target, live)
        return try_out(self._services, bot, target, request)

    def start_migration_with_progress(
        self, caller: Caller, request: StartRequest, idempotency_key: str | None = None
    ) -> MigrationProgress:
        """Start a migration and answer its first progress. Raises as ``start_migration``."""
        started = self._system.start_migration(caller, request, idempotency_key)
        return self._system.progress(caller, started.migration.id)

    def get_migration_progress_detailed(
        self, caller: Caller, migration_id: UUID
    ) -> MigrationProgress:
        return self._system.progress(caller, migration_id)

    def rollback_migration(
        self,
        caller: Caller,
        migration_id: UUID,
        mode: RollbackMode = RollbackMode.COMPLETE,
    ) -> Started:
        return self._system.rollback(caller, migration_id, mode)


def _must_differ(target: EmbeddingRef, live: EmbeddingRef) -> None:
    if target == live:
        raise SameModel(f"The bot uses {target} already; name another model, dimension or role.")


def _too_short(found: Estimate, timeout_seconds: int) -> str | None:
    if found.duration_seconds <= timeout_seconds:
        return None
    return (
        f"It takes about {found.duration_seconds:,.0f} s, and would have {timeout_seconds:,} s: "
        "start it with a larger timeout_seconds, or it is taken back when that is over, and what "
        "was embedded by then is paid for."
    )


def _told(candidate: Candidate) -> TextCandidate:
    verdict = candidate.verdict
    return TextCandidate(
        recipe=candidate.recipe,
        prefix=candidate.prefix,
        fits=candidate.fits,
        judged=len(verdict.cosines),
        strangers=len(verdict.strangers),
        threshold=verdict.threshold,
        cosines=spread_of(verdict.cosines.values()),
    )
