"""Everything that goes over the wire: what is sent, and what is answered."""

from __future__ import annotations

from api.schemas.access import (
    GrantItem,
    GrantListResponse,
    GrantPath,
    GrantRequest,
    TokenIssuedResponse,
    TokenIssueRequest,
    TokenItem,
    TokenListResponse,
    TokenPath,
    TokenRotateRequest,
    TrailItem,
    TrailQuery,
    TrailResponse,
)
from api.schemas.bots import BotListResponse, BotResponse
from api.schemas.compatibility import (
    DimensionInfoResponse,
    EmbeddingValidationResponse,
    MigrationEstimateResponse,
)
from api.schemas.migrations import MigrationActionResponse, MigrationStatusResponse
from api.schemas.parts import PATTERNS, RequestBody, RequestPart, ResponseBody
from api.schemas.problems import LivenessResponse, ProblemDetails, ReadinessResponse
from api.schemas.progress import ActiveMigrationsResponse, MigrationProgressResponse
from api.schemas.requests import (
    ActivePageQuery,
    BotPageQuery,
    BotPath,
    BotRegistrationRequest,
    EmbeddingValidationRequest,
    IdempotencyHeader,
    MigrationActionRequest,
    MigrationEstimateRequest,
    MigrationPath,
    MigrationStartRequest,
    ProblemPath,
)

__all__ = [
    "PATTERNS",
    "ActiveMigrationsResponse",
    "ActivePageQuery",
    "BotListResponse",
    "BotPageQuery",
    "BotPath",
    "BotRegistrationRequest",
    "BotResponse",
    "DimensionInfoResponse",
    "EmbeddingValidationRequest",
    "EmbeddingValidationResponse",
    "GrantItem",
    "GrantListResponse",
    "GrantPath",
    "GrantRequest",
    "IdempotencyHeader",
    "LivenessResponse",
    "MigrationActionRequest",
    "MigrationActionResponse",
    "MigrationEstimateRequest",
    "MigrationEstimateResponse",
    "MigrationPath",
    "MigrationProgressResponse",
    "MigrationStartRequest",
    "MigrationStatusResponse",
    "ProblemDetails",
    "ProblemPath",
    "ReadinessResponse",
    "RequestBody",
    "RequestPart",
    "ResponseBody",
    "TokenIssueRequest",
    "TokenIssuedResponse",
    "TokenItem",
    "TokenListResponse",
    "TokenPath",
    "TokenRotateRequest",
    "TrailItem",
    "TrailQuery",
    "TrailResponse",
]

REQUESTS: tuple[type[RequestBody], ...] = (
    BotRegistrationRequest,
    EmbeddingValidationRequest,
    GrantRequest,
    MigrationActionRequest,
    MigrationEstimateRequest,
    MigrationStartRequest,
    TokenIssueRequest,
    TokenRotateRequest,
)
RESPONSES: tuple[type[ResponseBody], ...] = (
    ActiveMigrationsResponse,
    BotListResponse,
    BotResponse,
    DimensionInfoResponse,
    EmbeddingValidationResponse,
    GrantItem,
    GrantListResponse,
    LivenessResponse,
    MigrationActionResponse,
    MigrationEstimateResponse,
    MigrationProgressResponse,
    MigrationStatusResponse,
    ProblemDetails,
    ReadinessResponse,
    TokenIssuedResponse,
    TokenListResponse,
    TrailResponse,
)
