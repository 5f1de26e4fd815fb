"""Whatever is sent, by the rules of the description or against them, is answered as it says."""

from __future__ import annotations

from functools import cache

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi import checks

from tests.fakes.api_client import Api, application
from tests.fakes.workers import crewed

#: Requests of each operation, role and kind. The seed is fixed: more of them, once, is for
#: whoever changes the description.
EXAMPLES = 5
CHECKS: list[CheckFunction] = [
    not_a_server_error,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]
#: They take nothing that could be wrong.
TAKE_NOTHING = {"GET /healthz", "GET /healthz/deep", "GET /readyz", "GET /problems/{code}"}


@cache
def operations() -> dict[str, APIOperation]:
    Api()
    described = schemathesis.openapi.from_wsgi("/openapi/openapi.json", application())
    found = [operation.ok() for operation in described.get_all_operations()]
    return {operation.label: operation for operation in found}


def ask(name: str, mode: GenerationMode, token: str) -> None:
    operation = operations()[name]

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def one(case: Case) -> None:
        api = Api()
        crewed(api.world)
        migration = api.start()
        if mode is GenerationMode.POSITIVE:  # of things that are there
            there = {"bot_id": "support", "migration_id": str(migration.id)}
            case.path_parameters = {k: there.get(k, v) for k, v in case.path_parameters.items()}
        answer = case.call(headers={"Authorization": f"Bearer {token}"})
        assert str(answer.status_code) in operation.definition.raw["responses"], answer.text
        case.validate_response(answer, checks=CHECKS)

    one()


@pytest.mark.parametrize("token", ["acme-token", "admin-token", "read-token", "query-token"])
@pytest.mark.parametrize("name", operations())
def test_what_keeps_to_the_description_is_answered_as_it_says(name: str, token: str) -> None:
    ask(name, GenerationMode.POSITIVE, token)


@pytest.mark.parametrize("token", ["acme-token", "admin-token"])
@pytest.mark.parametrize("name", sorted(operations().keys() - TAKE_NOTHING))
def test_what_breaks_the_description_is_refused_as_it_says(name: str, token: str) -> None:
    ask(name, GenerationMode.NEGATIVE, token)
