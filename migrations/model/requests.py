"""What callers ask of the use cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from migrations.model.bots import Bot
from migrations.model.config import (
    DuplicateKeys,
    Keys,
    Manner,
    OverLong,
    TargetIndex,
    VectorLengths,
)
from migrations.model.proofs import Proof
from migrations.model.roles import TextRole
from migrations.model.texts import Recipe


@dataclass(frozen=True, kw_only=True)
class HowEmbedded:
    """How a model is asked, where that is stated; None leaves a role to what is found or known."""

    document_role: TextRole | None = None
    query_role: TextRole | None = None
    version: str | None = None
    normalized: bool = False
    #: That roles are meant which are not those known of the model.
    unusual_roles: bool = False

    @property
    def says_nothing(self) -> bool:
        asked = (self.document_role, self.query_role, self.version)
        return asked == (None, None, None) and not self.normalized


UNSAID = HowEmbedded()


@dataclass(frozen=True)
class BotRegistration(HowEmbedded):
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
    #: Likewise, of the vector field.
    metric: str | None = None
    #: Of the live embedding.
    document_role: TextRole | None = None
    query_role: TextRole | None = None
    version: str | None = None
    unusual_roles: bool = False
    #: The bot's, when what is asked for was found to be so.
    of_generation: int | None = None

    def values(self, bot: Bot) -> dict[str, Any]:
        """The fields of ``bot`` that become others; the manner of its live embedding is one."""
        asked = {name: getattr(self, name) for name in _OF_BOT} | {"manner": self._manner(bot)}
        return {n: v for n, v in asked.items() if v is not None and v != getattr(bot, n)}

    def _manner(self, bot: Bot) -> Manner:
        asked = {name: getattr(self, name) for name in _OF_MANNER}
        return bot.manner.model_copy(update={n: v for n, v in asked.items() if v is not None})


_OF_BOT = ("owner", "recipe", "key_field", "vector_field", "drop_originals", "proof", "metric")
_OF_MANNER = ("document_role", "query_role", "version")


#: What a run that is on its way has read already.
READ_BY_RUNS = frozenset({"recipe", "key_field", "vector_field", "manner"})


@dataclass(frozen=True)
class StartRequest(HowEmbedded):
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
    slice_by: str | None = None
    postpone: bool = False
    rollback_on_breach: bool = False


#: Chunks of a trial: fewer say nothing, for more a migration is the way.
FEWEST_TRIED, USUALLY_TRIED, MOST_TRIED = 20, 200, 1000


@dataclass(frozen=True)
class TrialRequest(HowEmbedded):
    """Some chunks to be moved to an embedding and looked at, and nothing else."""

    bot_id: str
    provider: str
    model: str
    dimension: int | None = None
    chunks: int = USUALLY_TRIED
    index: TargetIndex | None = None
    over_long: OverLong = OverLong.REFUSE
    vector_lengths: VectorLengths = VectorLengths.REFUSE
    #: Nothing is asked of the present model.
    old_model_gone: bool = False


@dataclass(frozen=True)
class EstimateRequest(HowEmbedded):
    bot_id: str
    provider: str | None = None
    model: str | None = None
    dimension: int | None = None
    batch_size: int | None = None
    timeout_seconds: int | None = None
