"""Who may do what, as an admin sees and says it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, ClassVar

from pydantic import Field

from api.schemas.parts import RequestBody, RequestPart, ResponseBody, VisibleText
from migrations.model.access import LONGEST_NAME, Grant

#: A number that PostgreSQL has given; larger ones it cannot hold.
RowId = Annotated[int, Field(ge=1, le=2**63 - 1)]
#: What is printable is judged by the use case, for the command line too.
PersonName = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]


class GrantPath(RequestPart):
    place: ClassVar[str] = "path"

    grant_id: RowId = Field(
        description="The grant's number, as the list has it.", json_schema_extra={"example": 7}
    )


class GrantRequest(RequestBody):
    """Leave for an owner to register collections."""

    owner: PersonName = Field(description="Who gets it.", examples=["acme"])
    pattern: VisibleText = Field(
        description=(
            "Names of collections, shell-style: '*' is any text, '?' any character, '[ab]' one "
            "of these. The collection's own name, the name it is given by and an alias of "
            "another name than '<collection>_live' must each match one of the owner's patterns."
        ),
        examples=["acme_*"],
    )


class GrantItem(ResponseBody):
    """A pattern of names of collections that an owner may register."""

    grant_id: int = Field(description="Its number.", examples=[7])
    owner: str = Field(description="Whose it is.", examples=["acme"])
    pattern: str = Field(description="Shell-style, of names.", examples=["acme_*"])
    granted_by: str = Field(description="The admin who gave it.", examples=["ops"])
    granted_at: datetime = Field(description="When.", examples=["2026-11-01T08:00:00Z"])

    @classmethod
    def of(cls, grant: Grant) -> GrantItem:
        return cls(
            grant_id=grant.id,
            owner=grant.owner,
            pattern=grant.pattern,
            granted_by=grant.granted_by,
            granted_at=grant.granted_at,
        )


class GrantListResponse(ResponseBody):
    """Every grant of every owner."""

    count: int = Field(description="How many there are.", examples=[1])
    grants: list[GrantItem] = Field(description="Each of them.", examples=[[]])

    @classmethod
    def of(cls, grants: Sequence[Grant]) -> GrantListResponse:
        return cls(count=len(grants), grants=[GrantItem.of(grant) for grant in grants])
