"""Everything that goes over the wire: what is sent, and what is answered."""

from __future__ import annotations

from api.schemas.bots import BotListResponse, BotRemovalResponse, BotResponse
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
    BotChangeRequest,
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
    "BotChangeRequest",
    "BotListResponse",
    "BotPath",
    "BotRegistrationRequest",
    "BotRemovalResponse",
    "BotResponse",
    "DimensionInfoResponse",
    "EmbeddingValidationRequest",
    "EmbeddingValidationResponse",
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
]

REQUESTS: tuple[type[RequestBody], ...] = (
    BotChangeRequest,
    BotRegistrationRequest,
    EmbeddingValidationRequest,
    MigrationActionRequest,
    MigrationEstimateRequest,
    MigrationStartRequest,
)
RESPONSES: tuple[type[ResponseBody], ...] = (
    ActiveMigrationsResponse,
    BotListResponse,
    BotRemovalResponse,
    BotResponse,
    DimensionInfoResponse,
    EmbeddingValidationResponse,
    LivenessResponse,
    MigrationActionResponse,
    MigrationEstimateResponse,
    MigrationProgressResponse,
    MigrationStatusResponse,
    ProblemDetails,
    ReadinessResponse,
)
