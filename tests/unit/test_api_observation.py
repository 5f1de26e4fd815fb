"""What goes around every request: ids, the log and the security headers."""

from __future__ import annotations

import pytest
import structlog
from structlog.testing import capture_logs

from migrations.model.errors import StateStoreUnavailable, VectorStoreRefused
from tests.fakes.api_client import Api


@pytest.fixture
def api() -> Api:
    return Api()


def test_the_callers_request_id_comes_back(api: Api) -> None:
    answer = api.get("/bots", headers={"X-Request-ID": "trace-7"})
    assert "trace-7" == answer.headers["X-Request-ID"]


@pytest.mark.parametrize("sent", ["", "a b", "x" * 129, "{}", "ä"])
def test_an_id_that_is_not_safe_to_log_is_replaced(api: Api, sent: str) -> None:
    answer = api.get("/bots", headers={"X-Request-ID": sent})
    assert 32 == len(answer.headers["X-Request-ID"])


def test_requests_without_an_id_get_different_ones(api: Api) -> None:
    assert 2 == len({api.get("/bots").headers["X-Request-ID"] for _ in range(2)})


@pytest.mark.parametrize("path", ["/bots", "/nothing", "/openapi/", "/healthz", "/bots/-x"])
def test_every_answer_has_the_security_headers(api: Api, path: str) -> None:
    headers = api.get(path).headers
    assert ("nosniff", "DENY", "no-store", "no-referrer") == (
        headers["X-Content-Type-Options"],
        headers["X-Frame-Options"],
        headers["Cache-Control"],
        headers["Referrer-Policy"],
    )
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


def test_no_other_origin_is_let_in(api: Api) -> None:
    answer = api.get("/bots", headers={"Origin": "https://elsewhere.example"})
    assert [] == [name for name, _ in answer.headers if name.startswith("Access-Control")]


def test_only_the_documentation_may_run_scripts(api: Api) -> None:
    policies = {
        path: "script-src" in api.get(path).headers["Content-Security-Policy"]
        for path in ("/bots", "/openapi/", "/problems/not-found")
    }
    assert {"/bots": False, "/openapi/": True, "/problems/not-found": False} == policies


def test_each_request_is_one_line_with_its_problem(api: Api) -> None:
    merge = structlog.contextvars.merge_contextvars
    with capture_logs(processors=[merge]) as lines:
        api.get("/bots/nothing?token=hunter2", headers={"X-Request-ID": "r-9"})
    (line,) = lines
    line.pop("duration_ms")
    assert {
        "event": "request_answered",
        "log_level": "info",
        "method": "GET",
        "path": "/bots/nothing",
        "status": 404,
        "problem": "bot-not-found",
        "request_id": "r-9",
        "remote": "127.0.0.1",
        "owner": "acme",
        "token_id": api.services.access.authenticate("acme-token").token_id,
    } == line


def test_no_token_is_logged(api: Api) -> None:
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        api.get("/bots")
        api.get("/bots", "wrong-token")
    assert 2 == len(lines)
    assert "-token" not in str(lines)


def test_nothing_of_a_request_stays_for_the_next(api: Api) -> None:
    api.get("/bots", headers={"X-Request-ID": "first"})
    assert {} == structlog.contextvars.get_contextvars()


def test_an_unforeseen_error_is_logged_with_its_cause(api: Api) -> None:
    fault = RuntimeError("broken")
    api.fail_bots(fault)
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        api.get("/bots")
    crashed, answered = lines
    assert ("request_crashed", fault, "acme") == (
        crashed["event"],
        crashed["exc_info"],
        crashed["owner"],
    )
    assert (500, "internal-error") == (answered["status"], answered["problem"])


def test_a_fault_that_passes_is_logged_without_a_stack_and_one_that_lasts_with_it(api: Api) -> None:
    faults = [StateStoreUnavailable(), VectorStoreRefused("It says no.")]
    with capture_logs() as lines:
        for fault in faults:
            api.fail_bots(fault)
            api.get("/bots")
    failed = [line for line in lines if line["event"] == "request_failed"]
    assert [None, faults[1]] == [line["exc_info"] for line in failed]
    assert ["PostgreSQL does not answer.", "It says no."] == [line["error"] for line in failed]


@pytest.mark.parametrize(("reachable", "level"), [(True, "debug"), (False, "info")])
def test_a_probe_is_noted_only_when_it_fails(api: Api, reachable: bool, level: str) -> None:
    api.world.store.reachable = reachable
    with capture_logs() as lines:
        api.get("/readyz", None)
    assert level == lines[-1]["log_level"]
