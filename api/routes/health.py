"""For orchestrators and for readers of problem documents; no token is asked for."""

from __future__ import annotations

from html import escape

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from api import problems
from api.answers import answer
from api.description import operation_id, refusals
from api.problems import NotReady, ProblemUnknown
from api.schemas import LivenessResponse, ProblemPath, ReadinessResponse
from api.services import services

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
    """Say whether everything the API needs answers"""
    found = services().readiness()
    if any(reason is not None for reason in found.dependencies.values()):
        raise NotReady(dependencies=found.dependencies)
    asked = dict.fromkeys(found.dependencies)
    return answer(
        ReadinessResponse(status="ready", dependencies=asked, warnings=list(found.warnings))
    )


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
