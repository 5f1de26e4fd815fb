"""What callers send."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID

from pydantic import ConfigDict, Field, model_validator

from api.schemas.parts import (
    BotId,
    Dimension,
    PersonName,
    RequestBody,
    RequestPart,
    Sentence,
    VisibleText,
)
from migrations.model.config import (
    MAX_BATCH_SIZE,
    MAX_TIMEOUT_SECONDS,
    DuplicateKeys,
    Keys,
    OverLong,
    RollbackMode,
    TargetIndex,
    VectorLengths,
)
from migrations.model.requests import (
    FEWEST_TRIED,
    MOST_TRIED,
    USUALLY_TRIED,
    BotChange,
    BotRegistration,
    EstimateRequest,
    HowEmbedded,
    StartRequest,
    TrialRequest,
)
from migrations.model.roles import TextRole
from migrations.model.texts import FieldRecipe, Recipe

GateName = Literal[
    "neighbourhood_overlap",
    "distinct_vectors",
    "recall",
    "part_recall",
    "golden_overlap",
    "golden_ndcg",
    "golden_recall",
]


DROP_ORIGINALS = (
    "Whether collections that reembed did not make may be dropped when the bot has left them and "
    "the way back is over; else they are released from memory and stay."
)


DOCUMENT_ROLE = (
    "How the model wants documents: words put round each text, parameters of the request. Left "
    "out at registration, it is found by the vectors where one is known of the model; left out "
    "at a start, it is the one that is known of the model (E5, BGE, GTE, Nomic, Arctic, Jina, "
    "Qwen3-Embedding, EmbeddingGemma, Gemini, Voyage, Cohere, NIM), else plain; {} is plain."
)
QUERY_ROLE = (
    "How the model wants questions. Left out, it is the one that is known of the model if "
    "documents are embedded as known, else plain."
)


class BotPath(RequestPart):
    place: ClassVar[str] = "path"

    bot_id: BotId = Field(
        description="The bot's id, as it was registered.",
        json_schema_extra={"example": "support-bot"},
    )


class MigrationPath(RequestPart):
    place: ClassVar[str] = "path"

    migration_id: UUID = Field(
        description="The migration's id, as start-migration answered it.",
        json_schema_extra={"example": "6f1f4a52-6f3e-4d0e-9a53-0d6f2f1c9b11"},
    )


class ProblemPath(RequestPart):
    place: ClassVar[str] = "path"

    code: str = Field(
        description="The last part of a problem document's 'type'.",
        json_schema_extra={"example": "bot-not-found"},
    )


class KnownHeader(RequestPart):
    place: ClassVar[str] = "header"

    if_none_match: str | None = Field(
        default=None,
        alias="If-None-Match",
        description="The `ETag` of an earlier answer: if it is still so, the answer is 304.",
        json_schema_extra={"example": '"5d41402abc4b2a76b9719d911017c592"'},
    )


class IdempotencyHeader(RequestPart):
    place: ClassVar[str] = "header"

    idempotency_key: VisibleText | None = Field(
        default=None,
        alias="Idempotency-Key",
        description=(
            "Any text that is new for each wish, such as a UUID. Sent again with the same body, "
            "the request starts nothing and is answered with the migration it started first."
        ),
        json_schema_extra={"example": "2f0c2f9e-7b1f-4a63-8f0e-6d2b0a4f5c77"},
    )


class _WithText(RequestBody):
    text_field: VisibleText | None = Field(
        default=None,
        description="The field with the text that was embedded: short for text: {'field': ...}.",
        examples=["text"],
    )
    text: Recipe | None = Field(
        default=None,
        description=(
            "How the text that was embedded is made of a row: of a field, which is a column, a "
            "member of the dynamic field or a path into JSON (metadata.text); of a template over "
            "fields; in the way of a framework, which embeds metadata as well; or of a table of "
            "your own, where the collection holds no text: sql names an environment variable that "
            "says where the database is. Such a table is only taken when stated. Left out at "
            "registration, it is found by embedding a sample with the bot's model and comparing "
            "it with the stored vectors; changed, it has to give those vectors."
        ),
        examples=[{"template": "{title}\n{text}"}],
    )

    @model_validator(mode="after")
    def _one_text(self) -> Self:
        if self.text_field is not None and self.text is not None:
            raise ValueError("'text_field' is short for 'text'; say one of them")
        return self

    @property
    def recipe(self) -> Recipe | None:
        return self.text if self.text_field is None else FieldRecipe(field=self.text_field)


class _WithRoles(RequestBody):
    document_role: TextRole | None = Field(
        default=None,
        description=DOCUMENT_ROLE,
        examples=[{"prefix": "passage: "}],
    )
    query_role: TextRole | None = Field(
        default=None, description=QUERY_ROLE, examples=[{"prefix": "query: "}]
    )
    version: VisibleText | None = Field(
        default=None,
        description="A word for the model's version, where it changes under its name; embeddings "
        "of different versions are different ones.",
        examples=["2026-03"],
    )
    unusual_roles: bool = Field(
        default=False,
        description="That roles are meant which are not those known of the model; else they are "
        "refused.",
        examples=[False],
    )


class _ToBeAsked(_WithRoles):
    normalized: bool = Field(
        default=False,
        description="Whether to bring each vector to length 1 after the model has answered.",
        examples=[False],
    )


class BotRegistrationRequest(_WithText, _WithRoles):
    """An existing Milvus collection, to be looked after as a bot."""

    bot_id: BotId = Field(description="The id it shall have.", examples=["support-bot"])
    collection: VisibleText = Field(
        description="Name of the collection, or of an alias that points to it; after its database "
        "and a dot (sales.docs) where that is not the one that reembed is configured with.",
        examples=["support_docs"],
    )
    provider: VisibleText = Field(
        description="Who made the vectors that are in it: openai, local or a configured provider.",
        examples=["openai"],
    )
    model: VisibleText = Field(
        description="The model that made them.", examples=["text-embedding-3-small"]
    )
    dimension: Dimension | None = Field(
        default=None,
        description="Their dimension; left out, it is read from the collection.",
        examples=[1536],
    )
    alias: VisibleText | None = Field(
        default=None,
        description=(
            "The Milvus alias that readers use. Left out, it is the alias given as collection, "
            "else '<collection>_live'. One that is not there is made: letters, digits and '_', "
            "at most 255, no digit first. It stands in the collection's database, and is qualified "
            "as the collection is: sales.docs_live."
        ),
        examples=["support_docs_live"],
    )
    adopt_name: bool = Field(
        default=False,
        description=(
            "For readers that open the collection by its own name: it is renamed to '<name>_v1' "
            "and its name becomes the alias. Between the two nobody finds it, for some "
            "milliseconds. Removing the bot with give_back_name does the opposite."
        ),
        examples=[False],
    )
    vector_field: VisibleText | None = Field(
        default=None,
        description="The field with the vectors that are to be embedded anew; found by itself "
        "where there is only one float vector. Other vectors are copied as they are.",
        examples=["vector"],
    )
    drop_originals: bool = Field(default=False, description=DROP_ORIGINALS, examples=[False])
    normalized: bool = Field(
        default=False,
        description="Whether the vectors were brought to length 1 after the model had answered.",
        examples=[False],
    )

    def registration(self) -> BotRegistration:
        others = self.sent(without={"text", "text_field"})
        return BotRegistration(**others, recipe=self.recipe)


class BotChangeRequest(_WithText, _WithRoles):
    """What is to be otherwise; what is left out stays as it is."""

    owner: PersonName | None = Field(
        default=None, description="Whose it shall be; for an admin to say.", examples=["acme"]
    )
    key_field: VisibleText | None = Field(
        default=None,
        description="The collection's primary key, if it was made anew with another.",
        examples=["id"],
    )
    vector_field: VisibleText | None = Field(
        default=None,
        description="The field with the vectors, if it was made anew with another. It must have "
        "the model's dimension, and the bot's text must give its vectors.",
        examples=["vector"],
    )
    drop_originals: bool | None = Field(default=None, description=DROP_ORIGINALS, examples=[True])

    def change(self) -> BotChange:
        others = self.sent(without={"text", "text_field"})
        return BotChange(**others, recipe=self.recipe)


class _Model(RequestBody):
    provider: VisibleText = Field(
        description="Who shall embed: openai, local or a configured provider.", examples=["openai"]
    )
    model: VisibleText = Field(description="With which model.", examples=["text-embedding-3-large"])
    dimension: Dimension | None = Field(
        default=None, description="Left out, it is the model's own.", examples=[3072]
    )
    index: TargetIndex | None = Field(
        default=None,
        description=(
            "The index of the new collection's embedded vector; left out, it is as the old one's, "
            "whose parameters may not fit another dimension. The metric stays as it is. Tried at "
            "validation, on an empty collection that is dropped again."
        ),
        examples=[{"index_type": "IVF_PQ", "params": {"nlist": 128, "m": 16, "nbits": 8}}],
    )


class _Target(_ToBeAsked, _Model):
    @property
    def how(self) -> HowEmbedded:
        """What is said of the target beside its model and dimension."""
        return HowEmbedded(**{f.name: getattr(self, f.name) for f in fields(HowEmbedded)})


class _Consent(RequestBody):
    unproven_text: bool = Field(
        default=False,
        description="Go on although the bot's model does not answer, so that nothing shows that "
        "the bot's text is what was embedded. Whoever says so answers for it. Unless the model "
        "has shown it before, there is no rollback after the switch.",
        examples=[False],
    )
    old_model_gone: bool = Field(
        default=False,
        description="The bot's model is gone: nothing is asked of it, nothing shows that the bot's "
        "text is what was embedded, and there is no rollback after the switch. Validation lists "
        "what is lost; the old collection stays readable.",
        examples=[False],
    )
    vector_lengths: VectorLengths = Field(
        default=VectorLengths.REFUSE,
        strict=False,  # JSON has no enumerations; a member arrives as its text
        description="What becomes of a model whose vectors differ in length, in a collection that "
        "is searched by IP or L2: 'refuse' does not migrate to it, 'keep' stores them as they "
        "come.",
        examples=["refuse"],
    )
    keys: Keys = Field(
        default=Keys.KEEP,
        strict=False,  # as above
        description=(
            "What becomes of keys that Milvus gives by itself (auto_id), which a copy cannot keep: "
            "'keep' refuses such a collection, 'reassign' lets Milvus give other ones in the new "
            "collection. Which belong together is told by GET /embeddings/migration/{id}/keys "
            "until the way back closes."
        ),
        examples=["keep"],
    )
    slice_by: VisibleText | None = Field(
        default=None,
        description="A field whose values divide the collection into parts, such as a language or "
        "a tenant: a column, a member of the dynamic field or a path into JSON. Verification tells "
        "what it finds of each of the twenty largest values too, of the others together, and holds "
        "it against the same gates, so that a part that is ruined is not hidden by the whole.",
        examples=["language"],
    )


class EmbeddingValidationRequest(_Consent, _Target):
    """The embedding a bot might be moved to, and what would be agreed to."""

    timeout_seconds: int | None = Field(
        default=None,
        ge=1,
        le=MAX_TIMEOUT_SECONDS,
        description="What it would be started with, to be warned where that is too little; left "
        "out, the system's default.",
        examples=[3600],
    )


class MigrationStartRequest(_Consent, _Target):
    """The embedding the bot is to be moved to, and how carefully."""

    batch_size: int | None = Field(
        default=None,
        ge=1,
        le=MAX_BATCH_SIZE,
        description="Chunks in a batch; left out, the system's default.",
        examples=[50],
    )
    max_retries: int | None = Field(
        default=None,
        ge=0,
        le=20,
        description="Tries of a failed call beyond the first; left out, the system's default.",
        examples=[3],
    )
    retry_delay: float | None = Field(
        default=None,
        ge=0,
        le=300,
        description=(
            "Seconds before the first retry, doubled each time; left out, the system's default."
        ),
        examples=[2.0],
    )
    timeout_seconds: int | None = Field(
        default=None,
        ge=1,
        le=MAX_TIMEOUT_SECONDS,
        description=(
            "Seconds until a migration that has not switched is rolled back; "
            "left out, the system's default. The system may allow less than this bound."
        ),
        examples=[3600],
    )
    enable_rollback: bool = Field(
        default=True,
        description="Whether a failure before the switch undoes what was done.",
        examples=[True],
    )
    verify_migration: bool = Field(
        default=True,
        description="Whether both collections are compared before the switch.",
        examples=[True],
    )
    max_failed_ratio: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of chunks that may be missing afterwards; 0 loses none.",
        examples=[0.0],
    )
    over_long: OverLong = Field(
        default=OverLong.REFUSE,
        strict=False,  # JSON has no enumerations; a member arrives as its text
        description=(
            "What becomes of texts longer than the model takes: 'refuse' records them as failed, "
            "'truncate' embeds their beginning, 'split' embeds their pieces and takes the mean."
        ),
        examples=["refuse"],
    )
    duplicate_keys: DuplicateKeys = Field(
        default=DuplicateKeys.REFUSE,
        strict=False,  # as above
        description=(
            "What becomes of a collection in which keys stand more than once: 'refuse' says which, "
            "'keep_one' carries one row of each, the newest where Milvus lets it be told."
        ),
        examples=["refuse"],
    )
    gates: dict[GateName, Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=dict,
        description="What verification must at least find, where it shall be otherwise than the "
        "operator has set: shares by the gate's name. Less than that makes the run wait.",
        examples=[{"neighbourhood_overlap": 0.2, "recall": 0.9}],
    )
    gates_reason: Sentence | None = Field(
        default=None,
        description="Why gates are lower than the operator has set; kept with the migration.",
        examples=["The new model is of another family; golden queries decide."],
    )
    postpone: bool = Field(
        default=False,
        description="Wait before the switch, verified and kept up to date, until it is asked for.",
        examples=[False],
    )
    rollback_on_breach: bool = Field(
        default=False,
        description="Roll back by itself when, in the first hour after the switch, the live "
        "collection answers worse than the gates allow of what verification had found. Without "
        "it that is a warning.",
        examples=[False],
    )

    def start(self, bot_id: str) -> StartRequest:
        return StartRequest(bot_id=bot_id, **{**self.sent(), "index": self.index})


class OptionalBody(RequestBody):
    """A body that may be absent."""

    model_config = ConfigDict(
        openapi_extra={"required": False},  # type: ignore[typeddict-unknown-key] # flask-openapi3's
    )

    @model_validator(mode="before")
    @classmethod
    def _absent_is_empty(cls, sent: Any) -> Any:
        return {} if sent is None else sent


class MigrationEstimateRequest(OptionalBody, _ToBeAsked):
    """What to estimate for; left out, the bot's current embedding."""

    provider: VisibleText | None = Field(
        default=None, description="Who would embed.", examples=["openai"]
    )
    model: VisibleText | None = Field(
        default=None, description="With which model.", examples=["text-embedding-3-large"]
    )
    dimension: Dimension | None = Field(
        default=None, description="In how many dimensions.", examples=[3072]
    )
    batch_size: int | None = Field(
        default=None,
        ge=1,
        le=MAX_BATCH_SIZE,
        description="Chunks in a batch; left out, the system's default.",
        examples=[50],
    )
    timeout_seconds: int | None = Field(
        default=None,
        ge=1,
        le=MAX_TIMEOUT_SECONDS,
        description="What it would be started with, to be warned where that is too little; left "
        "out, the system's default.",
        examples=[3600],
    )

    def estimate(self, bot_id: str) -> EstimateRequest:
        return EstimateRequest(bot_id=bot_id, **self.sent())


class MigrationTrialRequest(_Target):
    """The embedding that some chunks are to be tried with."""

    chunks: int = Field(
        default=USUALLY_TRIED,
        ge=FEWEST_TRIED,
        le=MOST_TRIED,
        description="How many chunks are moved, from all over the collection; those that golden "
        "queries name come first, up to a half.",
        examples=[200],
    )
    over_long: OverLong = Field(
        default=OverLong.REFUSE,
        strict=False,  # JSON has no enumerations; a member arrives as its text
        description="What becomes of texts longer than the model takes, as at a start.",
        examples=["refuse"],
    )
    vector_lengths: VectorLengths = Field(
        default=VectorLengths.REFUSE,
        strict=False,  # as above
        description="What becomes of a model whose vectors differ in length, as at a start.",
        examples=["refuse"],
    )
    old_model_gone: bool = Field(
        default=False,
        description="The bot's model is gone: nothing is asked of it, and less is compared.",
        examples=[False],
    )

    def trial(self, bot_id: str) -> TrialRequest:
        return TrialRequest(bot_id=bot_id, **self.sent())


class SwitchRequest(OptionalBody):
    """That a run that waits before its switch may go on."""

    accept: bool = Field(
        default=False,
        description="Whether less was found than wanted, and it shall go live all the same.",
        examples=[True],
    )
    reason: Sentence | None = Field(
        default=None,
        description="Why; needed where a gate has failed, and kept with the migration.",
        examples=["Looked at the report: the new model is of another family."],
    )

    @property
    def accepted_because(self) -> str | None:
        return self.reason if self.accept else None


class RollbackRequest(OptionalBody):
    """In which order a switch is taken back; before the switch both are the same."""

    mode: RollbackMode = Field(
        default=RollbackMode.COMPLETE,
        strict=False,  # as over_long
        description="`complete` carries over what was written since the switch, compares "
        "everything, and then switches back. `now` switches back at once, whatever the size: "
        "readers are answered by the old model, and what was written since follows row by row "
        "(`rows_on_their_way` in the progress). The status says what either would take "
        "(`rollback_options`).",
        examples=["now"],
    )


class MigrationActionRequest(OptionalBody):
    """Nothing: the path says it all. A body with fields is refused, not ignored."""
