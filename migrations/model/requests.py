"""What callers ask of the use cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from migrations.model.bots import Bot
from migrations.model.config import DuplicateKeys, Keys, OverLong, TargetIndex, VectorLengths
from migrations.model.proofs import Proof
from migrations.model.texts import Recipe


@dataclass(frozen=True)
class BotRegistration:
    """An existing collection to be looked after as a bot.

    ``collection`` may be an alias or a physical name. Without ``alias`` the given
    alias is kept; a physical collection gets ``<collection>_live``. Fields left
    out are found by introspection; ``dimension`` must be the collection's own.
    """

    bot_id: str
    collection: str
    provider: str
    model: str
    dimension: int | None = None
    alias: str | None = None
    recipe: Recipe | None = None
    vector_field: str | None = None
    #: Whether the collection's name becomes the alias, and it is called otherwise.
    adopt_name: bool = False
    #: Whether the collection may be dropped once the bot has left it and cannot go back.
    drop_originals: bool = False


@dataclass(frozen=True)
class BotChange:
    """What is to be otherwise with a bot; None leaves it as it is."""

    owner: str | None = None
    recipe: Recipe | None = None
    key_field: str | None = None
    vector_field: str | None = None
    drop_originals: bool | None = None
    #: Of the recipe, if that is to be another one: what was found, nothing that is asked for.
    proof: Proof | None = None

    def values(self, bot: Bot) -> dict[str, Any]:
        """The fields of ``bot`` that become others."""
        asked = {one.name: getattr(self, one.name) for one in fields(self)}
        return {n: v for n, v in asked.items() if v is not None and v != getattr(bot, n)}


#: What a run that is on its way has read already.
READ_BY_RUNS = frozenset({"recipe", "key_field", "vector_field"})


@dataclass(frozen=True)
class StartRequest:
    """A wish to move a bot to another embedding; None takes the system's default."""

    bot_id: str
    provider: str
    model: str
    dimension: int | None = None
    batch_size: int | None = None
    max_retries: int | None = None
    retry_delay: float | None = None
    timeout_seconds: int | None = None
    enable_rollback: bool = True
    verify_migration: bool = True
    max_failed_ratio: float = 0.0
    over_long: OverLong = OverLong.REFUSE
    duplicate_keys: DuplicateKeys = DuplicateKeys.REFUSE
    keys: Keys = Keys.KEEP
    unproven_text: bool = False
    old_model_gone: bool = False
    vector_lengths: VectorLengths = VectorLengths.REFUSE
    index: TargetIndex | None = None
    #: Gates of :class:`migrations.model.gates.Gates` that shall be otherwise; lower ones need
    #: the reason.
    gates: Mapping[str, float] = field(default_factory=dict)
    gates_reason: str | None = None
    postpone: bool = False


@dataclass(frozen=True)
class EstimateRequest:
    bot_id: str
    provider: str | None = None
    model: str | None = None
    dimension: int | None = None
    batch_size: int | None = None
