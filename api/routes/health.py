"""For orchestrators and for readers of problem documents; no token is asked for."""

from __future__ import annotations

from html import escape
from typing import Any

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from api import problems
from api.answers import answer
from api.description import operation_id, refusals
from api.problems import NotReady, NotWell, ProblemUnknown
from api.schemas import HealthResponse, LivenessResponse, ProblemPath, ReadinessResponse
from api.schemas.findings import items_of
from api.services import services
from migrations.diagnosis.health import Found

health = APIBlueprint(
    "health",
    __name__,
    abp_tags=[Tag(name="health", description="Whether this process is of use.")],
    operation_id_callback=operation_id,
)


@health.get("/healthz", responses={200: LivenessResponse, **refusals(guarded=False)})
def healthz() -> Response:
    """Say that the process answers

    Asks nobody else: a dependency that is down is no reason to restart the API.
    """
    return answer(LivenessResponse(status="alive"))


@health.get("/readyz", responses={200: ReadinessResponse, **refusals(NotReady, guarded=False)})
def readyz() -> Response:
    """Say whether this process can answer what it can answer alone

    That is all but what needs Redis, Milvus or workers: it asks PostgreSQL alone. Who drops an
    API whose Redis is away would take the bots' retrieval away with it. `/healthz/deep` is about
    everything.
    """
    lookout = services().system.lookout
    alone = lookout.alone()
    if alone.errors:
        raise NotReady(alone.errors[0].message, **_members(alone))
    return answer(
        ReadinessResponse(
            status="ready",
            dependencies=dict.fromkeys(alone.dependencies),
            findings=items_of(lookout.known().findings),
        )
    )


@health.get("/healthz/deep", responses={200: HealthResponse, **refusals(NotWell, guarded=False)})
def healthz_deep() -> Response:
    """Say whether everything that migrations need answers and works

    PostgreSQL and its schema, workers and their queues, Redis, Milvus, clocks; each is waited for
    for a second at most. For alarms, and not for a load balancer.
    """
    found = services().system.lookout.found()
    if found.errors:
        raise NotWell(" ".join(one.message for one in found.errors), **_members(found))
    return answer(
        HealthResponse(
            status="well",
            dependencies=dict.fromkeys(found.dependencies),
            findings=items_of(found.findings),
        )
    )


def _members(found: Found) -> dict[str, Any]:
    findings = [one.model_dump(mode="json") for one in items_of(found.findings)]
    return {"dependencies": found.dependencies, "findings": findings}


@health.get(
    "/problems/<code>",
    responses={
        200: {"content": {"text/html": {}}, "description": "A page."},
        **refusals(ProblemUnknown, guarded=False),
    },
)
def explain_problem(path: ProblemPath) -> Response:
    """Explain a problem by the last part of its type"""
    explained = problems.explain(path.code)
    if explained is None:
        raise ProblemUnknown
    status, title, sentence = explained
    return Response(
        f"<!DOCTYPE html><html lang='en'><title>{escape(title)}</title>"
        f"<h1>{escape(title)}</h1><p>{escape(sentence)}</p>"
        f"<p>HTTP status {status}.</p></html>",
        content_type="text/html; charset=utf-8",
    )
