"""The way back after the switch: when it is open, and the reverse run that takes it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import uuid4

from migrations.lifecycle.forward import is_carrying_over
from migrations.lifecycle.room import no_room
from migrations.model.answers import RollbackOption, WayBack
from migrations.model.bots import Bot
from migrations.model.config import DuplicateKeys, Keys, MigrationConfig, OverLong, RollbackMode
from migrations.model.errors import (
    AlreadyRolledBack,
    MigrationInProgress,
    NoActiveMigration,
    NoAnswer,
    ProviderKeyMissing,
    ReembedError,
    RequestError,
    RollbackUnavailable,
    SwitchInProgress,
    TransitionRefused,
    VectorStoreRefused,
    VectorStoreUnavailable,
)
from migrations.model.left_behind import NOT_KNOWN_IN_COMMON, HoldReason
from migrations.model.runs import Migration, NewMigration
from migrations.model.states import DRIVEN, LIVE, Kind, Phase, Status
from migrations.model.what_now import repair_of, what_now
from migrations.process.services import Services
from migrations.way_back.at_once import OTHER_KEYS, has_other_keys

#: Asks Milvus for a collection.
Exists = Callable[[str], bool]


def refused_by(
    services: Services,
    bot: Bot,
    undone: Migration,
    mode: RollbackMode,
    exists: Exists | None = None,
) -> list[ReembedError]:
    """All that refuses to take ``undone`` back in this mode now; nothing when it may be.

    The status shows it and a rollback is refused by it, so that neither says what the
    other does not. Recording the reverse run asks the same once more, under lock.
    ``exists`` is by default given all the time that Milvus is given; what Milvus does not
    answer stands in the way as VectorStoreUnavailable.
    """
    standing = _standing(services, undone, mode)
    if standing is not None:
        return [standing]
    if bot.live.generation != undone.new_generation:
        return [
            RollbackUnavailable(
                "The bot has switched again since; only its last switch can be rolled back."
            )
        ]
    if bot.previous is None:
        return [RollbackUnavailable(_why_none(services, bot))]
    return [
        *map(RollbackUnavailable, _time_blockers(services, bot)),
        *_collection_blockers(bot, exists or services.vectors.exists),
        *map(RollbackUnavailable, _model_blockers(services, bot)),
        *map(RollbackUnavailable, _proof_blockers(undone)),
        *map(RollbackUnavailable, _mode_blockers(services, undone, mode)),
        *_no_room(services, bot, undone, mode),
    ]


def _standing(
    services: Services, undone: Migration, mode: RollbackMode
) -> TransitionRefused | None:
    """Only a completed run can be taken back; everything else gets its own sentence.

    And one that still carries rows over, to the collection that has them all.
    """
    if undone.status in {Status.ROLLED_BACK, Status.ROLLING_BACK}:
        return AlreadyRolledBack()
    reverse = services.store.reverse_of(undone.id)
    if reverse is not None and reverse.status in LIVE:
        return _reverse_lives(reverse)
    if is_carrying_over(undone):
        return None if mode is RollbackMode.NOW else SwitchInProgress(STILL_ON_THEIR_WAY)
    if undone.status in {Status.SWITCHING, Status.SWITCHED}:
        return SwitchInProgress()
    if undone.status is not Status.COMPLETED:
        told = what_now(undone.id, undone.status)
        told = told or f"The migration is {undone.status.value}; there is nothing to roll back."
        return NoActiveMigration(told, **repair_of(undone.id, undone.status))
    return None


STILL_ON_THEIR_WAY = (
    "Rows that were written before the rollback are still on their way; wait until it has "
    "completed, or use mode: now, which goes back to where they are."
)


def _reverse_lives(reverse: Migration) -> AlreadyRolledBack:
    told = what_now(reverse.id, reverse.status)
    told = told or f"Its rollback {reverse.id} is running already."
    repair = repair_of(reverse.id, reverse.status)
    return AlreadyRolledBack(told, migration_id=str(reverse.id), **repair)


def _no_room(
    services: Services, bot: Bot, undone: Migration, mode: RollbackMode
) -> list[TransitionRefused]:
    """Of the bot one migration lives at a time, and of all bots so many are driven."""
    live = services.store.live(bot.bot_id)
    if live is not None and live.id != undone.id:
        return [MigrationInProgress.of(live.id, live.status)]
    if mode is RollbackMode.NOW:
        return []
    owners = [one.owner for one in services.store.active() if one.status in DRIVEN]
    settings = services.settings
    limit, of_one_owner = settings.max_concurrent_migrations, settings.max_migrations_per_owner
    refusal = no_room(owners, bot.owner, limit, of_one_owner)
    return [refusal] if refusal else []


def require_way_back(services: Services, bot: Bot, undone: Migration, mode: RollbackMode) -> None:
    """Raises the first of :func:`refused_by`, or all in one where no other time will do."""
    refused = refused_by(services, bot, undone, mode)
    if any(isinstance(one, RollbackUnavailable) for one in refused):
        raise RollbackUnavailable(" ".join(one.message for one in refused))
    if refused:
        raise refused[0]


def readiness(services: Services, bot: Bot, exists: Exists | None = None) -> WayBack:
    """Whether the bot's last switch can be taken back now; ``exists`` as :func:`refused_by`."""
    switched = services.store.switched_by(bot.bot_id, bot.live.generation)
    if switched is None:
        return WayBack(False, (_why_none(services, bot),), None, None)
    there = _once(exists or services.vectors.exists)
    refused = refused_by(services, bot, switched, RollbackMode.COMPLETE, there)
    blockers = tuple(one.message for one in refused)
    if bot.previous is None:
        return WayBack(False, blockers, None, None)
    measured = _compared_last(services, switched)
    seconds, basis = _estimate(measured)
    refused_now = refused_by(services, bot, switched, RollbackMode.NOW, there)
    return WayBack(
        ready=not refused,
        blockers=blockers,
        expires_at=bot.previous.expires_at,
        chunks_to_compare=measured.totals.get("total_chunks"),
        estimate_seconds=seconds,
        estimate_basis=basis,
        not_asked=tuple(one.message for one in refused if isinstance(one, VectorStoreUnavailable)),
        options=(
            RollbackOption(
                RollbackMode.COMPLETE, not refused, blockers, seconds, seconds, READERS_OF_COMPLETE
            ),
            RollbackOption(
                RollbackMode.NOW,
                not refused_now,
                tuple(one.message for one in refused_now),
                SECONDS_UNTIL_BACK,
                _carried_in(measured),
                READERS_OF_NOW,
            ),
        ),
    )


def _why_none(services: Services, bot: Bot) -> str:
    held = services.store.kept_of(bot.bot_id)
    retired = next((one for one in held if one.reason is HoldReason.RETIRED), None)
    if retired is None:
        return "The bot has no previous collection."
    return (
        f"The retention window has closed: the previous collection {retired.collection!r} was "
        f"retired at {retired.held_at.isoformat()} and can no longer be rolled back to."
    )


#: Phases of the last run that a reverse run repeats on the same chunks, with how often:
#: validation and the backup read one side; verification and the last catching up compare
#: both; catching up compares at least twice, which verification's own time stands for.
MEASURED = {
    Phase.VALIDATION: 1,
    Phase.BACKUP_CREATION: 1,
    Phase.VERIFICATION: 3,
    Phase.FINALIZATION: 1,
}


def _once(exists: Exists) -> Exists:
    """It may take a moment, and both modes are to say the same, also of a Milvus that is away."""
    answers: dict[str, bool | ReembedError] = {}

    def asked(collection: str) -> bool:
        if collection not in answers:
            try:
                answers[collection] = exists(collection)
            except ReembedError as error:
                answers[collection] = error
        answer = answers[collection]
        if isinstance(answer, ReembedError):
            raise answer
        return answer

    return asked


READERS_OF_COMPLETE = (
    "Readers are answered from the present collection until everything that was written since is "
    "in the previous one and was compared; then from that."
)
READERS_OF_NOW = (
    "Readers are answered from the previous collection at once, at first without what was written "
    "since the switch: that is carried over after it, and the rows on their way are counted down."
)
#: Of a switch that comes first, whatever the size (benchmarks/back_at_once.py).
SECONDS_UNTIL_BACK = 2.0


def _compared_last(services: Services, switched: Migration) -> Migration:
    """The run that compared both collections last: one that switched back first did not."""
    while switched.switches_first and switched.reverses is not None:
        switched = services.store.migration(switched.reverses)
    return switched


def _carried_in(measured: Migration) -> float | None:
    """Seconds from the request: the collection that is left is read twice, as by a comparison."""
    seconds = _seconds(measured, Phase.VERIFICATION)
    return None if seconds is None else round(SECONDS_UNTIL_BACK + seconds, 1)


def _estimate(switched: Migration) -> tuple[float | None, str | None]:
    """Seconds a reverse run would take if nothing was written since, and the basis."""
    took = {phase: _seconds(switched, phase) for phase in MEASURED}
    if None in took.values():
        return None, None
    seconds = sum(times * (took[phase] or 0.0) for phase, times in MEASURED.items())
    chunks = switched.totals.get("total_chunks", 0)
    basis = (
        f"From the times that migration {switched.id} took to read, compare and verify {chunks} "
        "chunks. Chunks written since are embedded again with the old model, which comes on top."
    )
    return round(seconds, 1), basis


def _seconds(migration: Migration, phase: Phase) -> float | None:
    times = migration.phase_times.get(phase.value, {})
    if not {"started_at", "finished_at"} <= times.keys():
        return None
    begun, ended = (datetime.fromisoformat(times[w]) for w in ("started_at", "finished_at"))
    return (ended - begun).total_seconds()


def _time_blockers(services: Services, bot: Bot) -> list[str]:
    assert bot.previous is not None  # noqa: S101 # the caller looked
    if services.now() <= bot.previous.expires_at:
        return []
    return [f"The retention window closed at {bot.previous.expires_at.isoformat()}."]


def _collection_blockers(bot: Bot, exists: Exists) -> list[ReembedError]:
    assert bot.previous is not None  # noqa: S101 # the caller looked
    name = bot.previous.collection
    try:
        if exists(name):
            return []
    except (VectorStoreUnavailable, VectorStoreRefused, NoAnswer) as error:
        asked = f"whether the previous collection {name!r} is still there"
        return [VectorStoreUnavailable(f"Milvus could not be asked {asked}: {error.message}")]
    return [RollbackUnavailable(f"The previous collection {name!r} is gone.")]


def _model_blockers(services: Services, bot: Bot) -> list[str]:
    assert bot.previous is not None  # noqa: S101 # the caller looked
    try:
        services.embedders.get(bot.previous.embedding, bot.previous.embedding.document_role)
    except (ProviderKeyMissing, RequestError) as error:
        return [f"The previous model cannot be used: {error.message}"]
    return []


def _proof_blockers(undone: Migration) -> list[str]:
    """What was found when the bot left the vectors it would go back to."""
    proof = undone.proof
    return [proof.closes_way_back] if proof and proof.closes_way_back else []


def _mode_blockers(services: Services, undone: Migration, mode: RollbackMode) -> list[str]:
    """What only a switch that comes first cannot do without."""
    if mode is not RollbackMode.NOW:
        return []
    if has_other_keys(services, undone):
        return [OTHER_KEYS]
    return [] if services.store.has_whole_snapshot(undone.id) else [NOT_KNOWN_IN_COMMON]


def reverse_run(bot: Bot, undone: Migration, requested_by: str, mode: RollbackMode) -> NewMigration:
    """The run that takes ``undone`` back, which :func:`require_way_back` has allowed."""
    assert bot.previous is not None  # noqa: S101 # it has been looked at
    return NewMigration(
        id=uuid4(),
        bot_id=bot.bot_id,
        requested_by=requested_by,
        kind=Kind.REVERSE,
        config=_turned(undone.config, mode),
        source_collection=bot.live.collection,
        target_collection=bot.previous.collection,
        source_generation=bot.live.generation,
        reverses=undone.id,
        target_is_kept=True,
        target_adopted=True,
    )


def _turned(config: MigrationConfig, mode: RollbackMode) -> MigrationConfig:
    return config.model_copy(
        update={
            "from_provider": config.to_provider,
            "from_model": config.to_model,
            "from_dimension": config.to_dimension,
            "from_manner": config.to_manner,
            "to_provider": config.from_provider,
            "to_model": config.from_model,
            "to_dimension": config.from_dimension,
            "to_manner": config.from_manner,
            "enable_rollback": True,
            "rollback_mode": mode,
            # What a writer has doubled meanwhile, a model that is gone, or texts that only the
            # model that is left takes whole are no reasons to stay.
            "duplicate_keys": DuplicateKeys.KEEP_ONE,
            "keys": Keys.REASSIGN,
            "unproven_text": True,
            "index": None,
            "old_model_gone": False,
            "over_long": OverLong.TRUNCATE
            if config.over_long is OverLong.REFUSE
            else config.over_long,
            "postpone": False,
            # What the bot had before is what it had, however its roles look.
            "unusual_roles": True,
        }
    )
