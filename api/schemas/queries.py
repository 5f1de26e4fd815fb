"""What stands behind the question mark: a misspelt parameter is an error, as in a body."""

from __future__ import annotations

from typing import Any, ClassVar, Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.parts import BotId, RequestPart
from api.waiting import MOST_SECONDS

#: A bot is a row; a migration's progress is asked for one by one.
MAX_PAGE, MAX_PROGRESS_PAGE = 1000, 100
#: A pair of keys is two numbers.
MAX_KEYS_PAGE = 10_000


class Query(RequestPart):
    model_config = ConfigDict(extra="forbid")

    place: ClassVar[str] = "query"


def _limit(most: int, example: int) -> Any:
    return Field(
        default=most,
        ge=1,
        le=most,
        description="How many to answer at the most.",
        json_schema_extra={"example": example},
    )


class BotPageQuery(Query):
    limit: int = _limit(MAX_PAGE, 100)
    cursor: BotId | None = Field(
        default=None,
        description="The `next_cursor` of the answer before; left out, from the first on.",
        json_schema_extra={"example": "support-bot"},
    )


class BotRemovalQuery(Query):
    give_back_name: bool = Field(
        default=False,
        description="Whether the live collection gets the alias as its name, and the alias goes.",
        json_schema_extra={"example": True},
    )


class ActivePageQuery(Query):
    limit: int = _limit(MAX_PROGRESS_PAGE, 20)
    cursor: UUID | None = Field(
        default=None,
        description="The `next_cursor` of the answer before; left out, from the oldest on.",
        json_schema_extra={"example": "6f1f4a52-6f3e-4d0e-9a53-0d6f2f1c9b11"},
    )


class LiveQuery(Query):
    wait: float = Field(
        default=0,
        ge=0,
        le=MOST_SECONDS,
        description="Seconds to wait for something new, where there is nothing yet.",
        json_schema_extra={"example": 30},
    )
    generation: int | None = Field(
        default=None,
        ge=0,
        description="The last one known: another one is new. So is whatever `If-None-Match` does "
        "not name; without either everything is.",
        json_schema_extra={"example": 2},
    )

    def is_new(self, generation: int) -> bool:
        return self.generation is not None and self.generation != generation


class KeyPageQuery(Query):
    limit: int = _limit(MAX_KEYS_PAGE, 1000)
    after: int | None = Field(
        default=None,
        ge=-(2**63),
        lt=2**63,
        description="The `next_after` of the answer before; left out, from the first on.",
        json_schema_extra={"example": 449500000000000001},
    )


class WaitQuery(Query):
    wait: float = Field(
        default=0,
        ge=0,
        le=30,
        description="Seconds to wait until it is applied; then the answer is 200, else 202. As "
        "many may wait at once as may ask Milvus or a provider; others are answered at once.",
        json_schema_extra={"example": 2},
    )


class JournalPageQuery(Query):
    limit: int = _limit(MAX_PAGE, 100)
    after: int = Field(
        default=0,
        ge=0,
        lt=2**63,
        description="The `next_after` of the answer before; left out, from the first on.",
        json_schema_extra={"example": 4711},
    )


class ReportQuery(Query):
    format: Literal["json", "html"] | None = Field(
        default=None,
        description="Left out, what the request accepts, else JSON.",
        json_schema_extra={"example": "html"},
    )


class DoctorQuery(Query):
    ask_providers: bool = Field(
        default=False,
        description="Whether each model in use is asked for one word, which its provider bills.",
        json_schema_extra={"example": True},
    )
