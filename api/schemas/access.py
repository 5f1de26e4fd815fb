"""Who may do what, as an admin sees and says it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar

from pydantic import Field

from api.schemas.parts import PersonName, RequestBody, RequestPart, ResponseBody, VisibleText
from api.schemas.requests import OptionalBody
from migrations.model.access import Grant, Token, TokenState, TrailEntry, TrailSearch
from migrations.model.bots import Role

#: Keeps the end a date that PostgreSQL and Python can both hold.
_TEN_YEARS_SECONDS = 10 * 365 * 86_400

#: A number that PostgreSQL has given; larger ones it cannot hold.
RowId = Annotated[int, Field(ge=1, le=2**63 - 1)]


Seconds = Annotated[int, Field(ge=1, le=_TEN_YEARS_SECONDS)]


class TokenPath(RequestPart):
    place: ClassVar[str] = "path"

    token_id: RowId = Field(
        description="The token's number, as the list has it.", json_schema_extra={"example": 3}
    )


class TokenIssueRequest(RequestBody):
    """A token for somebody."""

    name: PersonName = Field(
        description="What it is for, shown in lists.", examples=["acme's retriever"]
    )
    owner: PersonName = Field(description="Whose bots it may touch.", examples=["acme"])
    role: Role = Field(
        default=Role.USER,
        strict=False,  # JSON has no enumerations; a member arrives as its text
        description="What it may do: 'query' asks the owner's bots and embeds questions, as a "
        "chatbot does; 'read' sees what the owner sees; 'user' changes it; 'admin' does so for "
        "every owner.",
        examples=["query"],
    )
    expires_in_seconds: Seconds | None = Field(
        default=None,
        description="Seconds until it is good no more; left out, it is good until it is revoked.",
        examples=[7_776_000],
    )

    @property
    def lasts(self) -> timedelta | None:
        return _seconds(self.expires_in_seconds)


class TokenRotateRequest(OptionalBody):
    """How long the new token and the old one last."""

    expires_in_seconds: Seconds | None = Field(
        default=None,
        description="Of the new one; left out, it lasts as long as the old one was meant to.",
        examples=[7_776_000],
    )
    keep_old_seconds: int = Field(
        default=0,
        ge=0,
        le=30 * 86_400,
        description="How long the old one is good yet; 0 revokes it at once.",
        examples=[3600],
    )

    @property
    def lasts(self) -> timedelta | None:
        return _seconds(self.expires_in_seconds)


def _seconds(number: int | None) -> timedelta | None:
    return None if number is None else timedelta(seconds=number)


class TokenItem(ResponseBody):
    """What is known of a token; its text is kept nowhere."""

    token_id: int = Field(description="Its number.", examples=[3])
    name: str = Field(description="What it is for.", examples=["acme's retriever"])
    owner: str = Field(description="Whose bots it may touch.", examples=["acme"])
    role: Role = Field(description="What it may do.", examples=["query"])
    state: TokenState = Field(description="Whether it is good now.", examples=["active"])
    created_at: datetime = Field(description="When it was made.", examples=["2026-11-01T08:00:00Z"])
    expires_at: datetime | None = Field(
        description="When it is good no more; null for never.", examples=["2027-01-30T08:00:00Z"]
    )
    revoked_at: datetime | None = Field(
        description="When it was revoked; null when it was not.", examples=[None]
    )
    last_used_at: datetime | None = Field(
        description="Of its newest entry in the trail, so to a minute; null where the trail has "
        "none, or none any more.",
        examples=["2026-11-03T09:30:00Z"],
    )

    @classmethod
    def of(cls, token: Token) -> TokenItem:
        return cls(**_facts(token))


class TokenIssuedResponse(TokenItem):
    """A new token, with its text: the only time that it is shown."""

    token: str = Field(
        description="Send it as 'Authorization: Bearer …'.", examples=["reembed_q3Zk…"]
    )

    @classmethod
    def issued(cls, text: str, token: Token) -> TokenIssuedResponse:
        return cls(token=text, **_facts(token))


def _facts(token: Token) -> dict[str, Any]:
    return {"token_id": token.id} | {n: v for n, v in vars(token).items() if n != "id"}


class TokenListResponse(ResponseBody):
    """Every token there ever was."""

    count: int = Field(description="How many there are.", examples=[1])
    tokens: list[TokenItem] = Field(description="Each of them.", examples=[[]])

    @classmethod
    def of(cls, tokens: Sequence[Token]) -> TokenListResponse:
        return cls(count=len(tokens), tokens=[TokenItem.of(token) for token in tokens])


class TrailQuery(RequestPart):
    place: ClassVar[str] = "query"

    limit: int = Field(
        default=100,
        ge=1,
        le=1000,
        description="Entries in an answer.",
        json_schema_extra={"example": 100},
    )
    before: RowId | None = Field(
        default=None,
        description="Number of an entry: only older ones are answered.",
        json_schema_extra={"example": 51200},
    )
    token_id: RowId | None = Field(
        default=None, description="Of this token alone.", json_schema_extra={"example": 3}
    )
    owner: PersonName | None = Field(
        default=None,
        description="Of this owner's tokens alone.",
        json_schema_extra={"example": "acme"},
    )
    subject: VisibleText | None = Field(
        default=None,
        description="About this bot, migration, token or grant alone.",
        json_schema_extra={"example": "support-bot"},
    )

    def search(self) -> TrailSearch:
        return TrailSearch(**self.model_dump())


class TrailItem(ResponseBody):
    """One thing that was done with a token."""

    entry_id: int = Field(description="Its number; later ones are larger.", examples=[51201])
    at: datetime = Field(description="When.", examples=["2026-11-03T09:30:00Z"])
    token_id: int = Field(description="With which token.", examples=[3])
    token_name: str = Field(description="What that is for.", examples=["acme's retriever"])
    owner: str = Field(description="In whose name.", examples=["acme"])
    address: str = Field(
        description="From where, as far as proxies are trusted to say.", examples=["192.0.2.7"]
    )
    method: str = Field(description="The request's method.", examples=["POST"])
    route: str = Field(
        description="The route.", examples=["/bots/<bot_id>/embeddings/start-migration"]
    )
    subject: str | None = Field(
        description="The bot, migration, token or grant; null where it is about none.",
        examples=["support-bot"],
    )
    status: int = Field(description="How it was answered.", examples=[202])

    @classmethod
    def of(cls, entry: TrailEntry) -> TrailItem:
        return cls(
            entry_id=entry.id,
            at=entry.at,
            token_name=entry.token_name,
            owner=entry.owner,
            **vars(entry.deed),
        )


class TrailResponse(ResponseBody):
    """What was done, the newest first."""

    count: int = Field(description="Entries in this answer.", examples=[1])
    entries: list[TrailItem] = Field(description="Each of them.", examples=[[]])
    next_before: int | None = Field(
        description="What to send as 'before' for older ones; null when there may be none.",
        examples=[None],
    )

    @classmethod
    def of(cls, entries: Sequence[TrailEntry], limit: int) -> TrailResponse:
        return cls(
            count=len(entries),
            entries=[TrailItem.of(entry) for entry in entries],
            next_before=entries[-1].id if len(entries) == limit else None,
        )


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
