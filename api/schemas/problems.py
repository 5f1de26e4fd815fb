"""Problem documents and the answers of the probes."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from api.schemas.findings import FINDING_EXAMPLE, FindingItem
from api.schemas.parts import ResponseBody


class InvalidField(ResponseBody):
    """One value of a request that breaks a rule."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})

    in_: Literal["body", "path", "query", "header"] = Field(
        serialization_alias="in", description="Where it was sent.", examples=["body"]
    )
    path: str = Field(description="Its JSON path there.", examples=["$.batch_size"])
    code: str = Field(description="A stable word.", examples=["greater_than_equal"])
    message: str = Field(
        description="What it must be, in a sentence.", examples=["Must be at least 1."]
    )


class ProblemDetails(ResponseBody):
    """An RFC 9457 problem document; further members depend on its type."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(
        description="Which problem: stable, and to be read at this path.",
        examples=["/problems/bot-not-found"],
    )
    title: str = Field(
        description="The same for every problem of the type.", examples=["Bot not found"]
    )
    status: int = Field(description="The HTTP status.", examples=[404])
    detail: str = Field(
        description="What happened and what to do, in a sentence.",
        examples=["There is no such bot, or it is not yours; list yours with GET /bots."],
    )
    instance: str = Field(description="The path that was asked.", examples=["/bots/support-bot"])
    request_id: str = Field(
        description="Also in the header X-Request-ID and in every log line of the request.",
        examples=["0d6f2f1c9b114a529a530d6f2f1c9b11"],
    )
    errors: list[InvalidField] | None = Field(
        default=None,
        description="Only for /problems/request-invalid and /problems/chunks-invalid: every value "
        "that breaks a rule.",
        examples=[
            [
                {
                    "in": "body",
                    "path": "$.batch_size",
                    "code": "greater_than_equal",
                    "message": "Must be at least 1.",
                }
            ]
        ],
    )


class LivenessResponse(ResponseBody):
    """The process answers."""

    status: Literal["alive"] = Field(description="Always this.", examples=["alive"])


class ReadinessResponse(ResponseBody):
    """This process can answer what it answers without Redis, Milvus and workers."""

    status: Literal["ready"] = Field(description="Always this.", examples=["ready"])
    dependencies: dict[str, None] = Field(
        description="What was asked; null says that it is fine.",
        examples=[{"postgresql": None}],
    )
    findings: list[FindingItem] = Field(
        description="What was wrong elsewhere when it was looked at last. None of it is a reason "
        "to send no requests here.",
        examples=[[FINDING_EXAMPLE]],
    )


class HealthResponse(ResponseBody):
    """Everything that migrations need answers and works."""

    status: Literal["well"] = Field(description="Always this.", examples=["well"])
    dependencies: dict[str, None] = Field(
        description="What was asked; null says that it answers.",
        examples=[{"postgresql": None, "redis": None, "milvus": None}],
    )
    findings: list[FindingItem] = Field(
        description="What will be wrong unless somebody acts: warnings alone.", examples=[[]]
    )
