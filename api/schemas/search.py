"""Searches: what is asked of a bot, and what it answers."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import Field, JsonValue, model_validator

from api.schemas.parts import QuestionText, RequestBody, ResponseBody
from migrations.model.search import Answered, Consistency, Found, Fusion, Search

#: Of one request, and of the answer to one text; Milvus' own limit for offset and limit together.
MOST_TEXTS, MOST_HITS, DEEPEST = 100, 1000, 16_384
#: Of all texts together: an answer is one piece.
MOST_HITS_OF_ALL = 10_000

_Name = Annotated[str, Field(min_length=1, max_length=255)]
_Scalar = bool | int | float | Annotated[str, Field(max_length=65_535)]
_Value = _Scalar | Annotated[list[_Scalar], Field(max_length=10_000)]


class HybridItem(RequestBody):
    """How what the vectors find and what the words find (BM25) become one answer."""

    ranker: Literal["rrf", "weighted"] = Field(
        default="rrf",
        description="By ranks (reciprocal rank fusion), or by scores with weights.",
        examples=["rrf"],
    )
    k: int = Field(
        default=60,
        gt=0,
        lt=16_384,
        description="Of rrf: the larger, the less the first ranks stand out.",
        examples=[60],
    )
    vector_weight: float = Field(
        default=0.5, ge=0, le=1, description="Of weighted.", examples=[0.7]
    )
    words_weight: float = Field(default=0.5, ge=0, le=1, description="Of weighted.", examples=[0.3])

    def fusion(self) -> Fusion:
        k = self.k if self.ranker == "rrf" else None
        return Fusion(k, self.vector_weight, self.words_weight)


class SearchRequest(RequestBody):
    """What to search for, and where."""

    text: QuestionText | None = Field(
        default=None, description="What is asked.", examples=["How do I get an invoice?"]
    )
    texts: Annotated[list[QuestionText], Field(min_length=1, max_length=MOST_TEXTS)] | None = Field(
        default=None,
        description=f"Or up to {MOST_TEXTS} at once; each is answered by itself.",
        examples=[None],
    )
    limit: int = Field(
        default=10, ge=1, le=MOST_HITS, description="Chunks for each text.", examples=[10]
    )
    offset: int = Field(
        default=0,
        ge=0,
        le=DEEPEST,
        description="How many of the best are passed over; with `limit` at most 16384.",
        examples=[0],
    )
    filter: str = Field(
        default="",
        max_length=65_535,
        description="A condition on the chunks' fields as Milvus writes it; `{name}` stands for a "
        "parameter.",
        examples=["lang == {lang} and year > 2024"],
    )
    filter_params: dict[_Name, _Value] = Field(
        default_factory=dict,
        max_length=100,
        description="The parameters: texts, numbers, booleans and lists of them. Whatever is in "
        "them is a value, never a part of the expression.",
        examples=[{"lang": "en"}],
    )
    output_fields: Annotated[list[_Name], Field(max_length=200)] | None = Field(
        default=None,
        description="Fields of each chunk that are answered; left out, all that are no vectors.",
        examples=[["title", "url"]],
    )
    with_text: bool = Field(
        default=True,
        description="Whether the text that was embedded is answered as well.",
        examples=[True],
    )
    score_threshold: float | None = Field(
        default=None,
        allow_inf_nan=False,
        description="Chunks with a worse score are left out: a lower one, or a higher one where "
        "the metric is L2. With `hybrid` it is about the score of both together.",
        examples=[None],
    )
    search_params: dict[_Name, _Scalar] = Field(
        default_factory=dict,
        max_length=32,
        description="Of the index, as Milvus calls them.",
        examples=[{"ef": 64}],
    )
    partition_names: Annotated[list[_Name], Field(max_length=1000)] = Field(
        default_factory=list,
        description="Partitions that are searched; left out, all.",
        examples=[[]],
    )
    consistency: Literal["Strong", "Bounded", "Eventually"] | None = Field(
        default=None,
        description="Which writes are seen; left out, as the collection says.",
        examples=["Bounded"],
    )
    hybrid: HybridItem | None = Field(
        default=None,
        description="Searches by words as well, where the collection has a BM25 function; left "
        "out, by vectors alone.",
        examples=[None],
    )

    @model_validator(mode="after")
    def _can_be_answered(self) -> Self:
        if (self.text is None) == (self.texts is None):
            raise ValueError("it needs a 'text' or 'texts', one of them")
        if self.offset + self.limit > DEEPEST:
            raise ValueError(f"'offset' and 'limit' together may be {DEEPEST} at the most")
        if self.limit * len(self.asked) > MOST_HITS_OF_ALL:
            raise ValueError(
                f"'limit' times the number of texts may be {MOST_HITS_OF_ALL} at the most"
            )
        return self

    @property
    def asked(self) -> list[str]:
        return self.texts if self.texts is not None else [self.text or ""]

    def search(self) -> Search:
        return Search(
            texts=tuple(self.asked),
            limit=self.limit,
            offset=self.offset,
            filter=self.filter,
            filter_params=self.filter_params,
            output_fields=None if self.output_fields is None else tuple(self.output_fields),
            with_text=self.with_text,
            score_threshold=self.score_threshold,
            params=self.search_params,
            partitions=tuple(self.partition_names),
            consistency=Consistency(self.consistency) if self.consistency else None,
            fusion=self.hybrid.fusion() if self.hybrid else None,
        )


class SearchHitItem(ResponseBody):
    """A chunk that was found."""

    key: str | int = Field(description="Its primary key.", examples=["faq-17"])
    score: float = Field(description="How near it is; see `metric` of the answer.", examples=[0.83])
    text: str | None = Field(
        description="What was embedded of it; null where it was not asked for.",
        examples=["Invoices are sent on the first of the month."],
    )
    fields: dict[str, JsonValue] = Field(
        description="Its fields, members of the dynamic field among them.",
        examples=[{"title": "Invoices", "lang": "en"}],
    )


class SearchResultItem(ResponseBody):
    """The answer to one text."""

    hits: list[SearchHitItem] = Field(description="Best first.", examples=[[]])


class SearchResponse(ResponseBody):
    """What was found for each text, all of it in one collection with its own model."""

    bot_id: str = Field(description="The bot.", examples=["support-bot"])
    generation: int = Field(
        description="Which one of the bot's generations has answered.", examples=[2]
    )
    collection: str = Field(
        description="The physical collection of that generation.",
        examples=["support_docs_live__g2_6f1f4a52"],
    )
    fingerprint: str = Field(
        description="Of the embedding of that generation.", examples=["016674205ece4a7b"]
    )
    metric: str = Field(
        description="What the scores are: the collection's metric (COSINE and IP: more is "
        "better, L2: less is), or RRF or WEIGHTED of a hybrid search (more is better).",
        examples=["COSINE"],
    )
    results: list[SearchResultItem] = Field(
        description="One for each text, in their order.", examples=[[{"hits": []}]]
    )


def written(bot_id: str, answered: Answered) -> bytes:
    """A SearchResponse as JSON. Not by way of the schema, which takes as long as Milvus does."""
    live = answered.live
    told = {
        "bot_id": bot_id,
        "generation": live.generation,
        "collection": live.collection,
        "fingerprint": live.embedding.fingerprint,
        "metric": answered.metric,
        "results": [{"hits": [_hit(found) for found in page]} for page in answered.found],
    }
    try:
        return orjson.dumps(told, option=orjson.OPT_NON_STR_KEYS, default=_plain)
    except TypeError:  # numbers beyond 64 bits
        return json.dumps(told, default=_plain).encode()


def _hit(found: Found) -> dict[str, Any]:
    return {"key": found.key, "score": found.score, "text": found.text, "fields": found.fields}


def _plain(value: Any) -> Any:
    """What pymilvus gives for arrays."""
    return list(value)
