"""What a caller asks for: one migration's configuration."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, field_validator

from migrations.model.errors import SameModel
from migrations.model.roles import PLAIN, Roles, TextRole

MAX_BATCH_SIZE = 2048  # the largest number of inputs one OpenAI embeddings request takes
#: Keeps the deadline a date that PostgreSQL and Python can both hold.
MAX_TIMEOUT_SECONDS = 30 * 24 * 3600


class OverLong(StrEnum):
    """What becomes of a text that is longer than the model takes."""

    #: It is recorded as failed, before anything is paid for it.
    REFUSE = "refuse"
    #: Its beginning is embedded.
    TRUNCATE = "truncate"
    #: Its pieces are embedded; its vector is their mean, weighted by tokens.
    SPLIT = "split"


class DuplicateKeys(StrEnum):
    """What becomes of a collection in which a key stands more than once."""

    #: It is not migrated, and says which keys.
    REFUSE = "refuse"
    #: One row of each is carried: the newest where it can be told.
    KEEP_ONE = "keep_one"


class Keys(StrEnum):
    """What becomes of keys that Milvus has given."""

    #: A collection whose keys cannot be kept is not migrated.
    KEEP = "keep"
    #: Milvus gives others in the new collection; a map tells which belong together.
    REASSIGN = "reassign"


#: What Milvus, JSON and PostgreSQL all take for the name and the text of a parameter.
_NAME = re.compile(r"[A-Za-z0-9_.]{1,64}")
_WORDS = re.compile(r"[ -~]{0,256}")
_MOST_NUMBER = 2**53
Parameters = dict[str, bool | int | float | str]


class TargetIndex(BaseModel):
    """The index of the new collection's embedded vector, where it is not to be the old one's.

    The metric stays: readers ask for it by name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    index_type: str = Field(description="As Milvus calls it.", examples=["IVF_PQ"])
    params: Parameters = Field(
        default_factory=dict,
        max_length=32,
        description="Its parameters, as Milvus calls them.",
        examples=[{"nlist": 128, "m": 16, "nbits": 8}],
    )
    search: Parameters = Field(
        default_factory=dict,
        max_length=32,
        description="Parameters of the searches by which the new collection is judged before the "
        "switch: those that the bot's readers are going to send.",
        examples=[{"nprobe": 16}],
    )

    @field_validator("index_type")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError("it must have 1 to 64 letters, digits, '_' or '.'")
        return name

    @field_validator("params", "search")
    @classmethod
    def _can_be_stored(cls, parameters: Parameters) -> Parameters:
        for name, value in parameters.items():
            cls._is_a_name(name)
            if isinstance(value, str) and not _WORDS.fullmatch(value):
                raise ValueError("a text must have at most 256 printable ASCII characters")
            if not isinstance(value, str) and not abs(value) <= _MOST_NUMBER:
                raise ValueError("a number must be between -2^53 and 2^53")
        return parameters


class VectorLengths(StrEnum):
    """What becomes of a model whose vectors differ in length, where the metric minds."""

    #: It is not migrated to.
    REFUSE = "refuse"
    #: They are stored as they come.
    KEEP = "keep"


#: Hex digits of a fingerprint.
FINGERPRINT_LENGTH = 16


class Manner(BaseModel):
    """How a model is asked, beside its name and dimension: as it comes, nothing is said.

    Raises:
        pydantic.ValidationError: a role that would change what is asked.
    """

    model_config = ConfigDict(frozen=True)

    document_role: TextRole = PLAIN
    query_role: TextRole = PLAIN
    #: A word of the caller's, for a model that changes under its name.
    version: str | None = None
    #: Whether each vector is brought to length 1 after the model has answered.
    normalized: bool = False

    @property
    def roles(self) -> Roles:
        return Roles(self.document_role, self.query_role)

    @property
    def manner(self) -> Manner:
        """This, and nothing else."""
        return Manner(**{name: getattr(self, name) for name in Manner.model_fields})

    @property
    def says_nothing(self) -> bool:
        return self.manner == AS_IT_COMES


AS_IT_COMES = Manner()


class EmbeddingRef(Manner):
    """One embedding: who makes it, with which model, in how many dimensions, and how.

    Two are the same only if their fingerprints are. Where nothing is said of roles it is plain,
    as all embeddings were before there were roles.
    """

    provider: str
    model: str
    dimension: int = Field(gt=0, le=32_768)  # Milvus' own limit for a float vector

    def in_manner(self, manner: Manner) -> EmbeddingRef:
        """The same model and dimension, asked in this manner."""
        return self.model_copy(update=dict(manner))

    @property
    def canonical(self) -> dict[str, Any]:
        """JSON that is equal for equal embeddings: what is as it comes is left out."""
        return self.model_dump(mode="json", exclude_defaults=True)

    @property
    def fingerprint(self) -> str:
        canonical = orjson.dumps(self.canonical, option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(canonical).hexdigest()[:FINGERPRINT_LENGTH]

    def __str__(self) -> str:
        told = [f"{self.dimension} dimensions"]
        if not all(role.is_plain for role in self.roles):
            told.append(str(self.roles))
        if self.version is not None:
            told.append(f"version {self.version}")
        if self.normalized:
            told.append("normalised")
        return f"{self.provider}/{self.model} ({', '.join(told)})"


class RollbackMode(StrEnum):
    """In which order a switch is taken back."""

    #: What was written since is carried over and everything compared; then the bot switches back.
    COMPLETE = "complete"
    #: The bot switches back; then what was written since is carried over.
    NOW = "now"


class MigrationConfig(BaseModel):
    """Which bot goes from which embedding to which, and how carefully.

    Durations are in seconds. ``retry_delay`` is the first pause of an
    exponential backoff; it doubles with every one of ``max_retries``.

    Raises:
        SameModel: from :meth:`check`, when both embeddings are the same.
    """

    model_config = ConfigDict(frozen=True)

    bot_id: str
    from_provider: str
    from_model: str
    from_dimension: int = Field(gt=0, le=32_768)
    to_provider: str
    to_model: str
    to_dimension: int = Field(gt=0, le=32_768)
    #: Beside model and dimension; a run of before there were roles has none.
    from_manner: Manner = AS_IT_COMES
    to_manner: Manner = AS_IT_COMES
    batch_size: int = Field(default=50, ge=1, le=MAX_BATCH_SIZE)
    max_retries: int = Field(default=3, ge=0, le=20)
    retry_delay: float = Field(default=2.0, ge=0, le=300)
    timeout_seconds: int = Field(default=3600, ge=1)
    enable_rollback: bool = True
    verify_migration: bool = True
    #: Share of chunks that may be missing from the target; a missing chunk is
    #: lost to the bot's users, so the default allows none.
    max_failed_ratio: float = Field(default=0.0, ge=0, le=1)
    over_long: OverLong = OverLong.REFUSE
    duplicate_keys: DuplicateKeys = DuplicateKeys.REFUSE
    keys: Keys = Keys.KEEP
    #: Of the target; None: as the source's.
    index: TargetIndex | None = None
    #: Whether it may go on although the old model cannot show which text was embedded.
    unproven_text: bool = False
    #: Gates that are not as the settings say; see :class:`migrations.model.gates.Gates`.
    gates: Mapping[str, float] = Field(default_factory=dict)
    #: Why some of them are lower.
    gates_reason: str | None = None
    #: The field by whose values verification looks at parts of the collection; None: at none.
    slice_by: str | None = None
    #: Whether it waits before the switch until somebody says so.
    postpone: bool = False
    #: Whether it is taken back by itself when canaries find less than its gates want.
    rollback_on_breach: bool = False
    #: Whether nothing is asked of the old model, not even on a way back, which there is none of.
    old_model_gone: bool = False
    vector_lengths: VectorLengths = VectorLengths.REFUSE
    #: Whether roles are meant which are not those known of the model.
    unusual_roles: bool = False
    #: Of a reverse run.
    rollback_mode: RollbackMode = RollbackMode.COMPLETE

    @property
    def source(self) -> EmbeddingRef:
        return EmbeddingRef(
            provider=self.from_provider,
            model=self.from_model,
            dimension=self.from_dimension,
            **dict(self.from_manner),
        )

    @property
    def target(self) -> EmbeddingRef:
        return EmbeddingRef(
            provider=self.to_provider,
            model=self.to_model,
            dimension=self.to_dimension,
            **dict(self.to_manner),
        )

    def check(self) -> None:
        if self.source == self.target:
            raise SameModel(
                f"The bot uses {self.source} already; name another model, dimension or role."
            )
