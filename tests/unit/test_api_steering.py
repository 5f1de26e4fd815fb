"""What the API answers to whoever steers a run on its way."""

from __future__ import annotations

from typing import Any

import pytest

from migrations.model.runs import Migration
from migrations.model.states import Phase, Status
from migrations.ports.limiter import Learned
from tests.fakes.api_client import Api
from tests.fakes.world import names


@pytest.fixture
def api() -> Api:
    return Api()


def at(api: Api, phase: Phase, **changes: Any) -> Migration:
    migration = api.start(**changes)
    api.world.deliver(before=names.phase_task(phase))
    return migration


def steer(api: Api, migration: Migration, what: str, body: Any = None) -> Any:
    return api.post(f"/embeddings/migration/{migration.id}/{what}", json=body)


def test_a_pause_is_shown_with_its_reason_and_can_be_resumed(api: Api) -> None:
    migration = at(api, Phase.DATA_MIGRATION)
    answer = steer(api, migration, "pause", {"reason": "Office hours."})
    assert (202, "paused") == (answer.status_code, answer.json["migration"]["status"])
    shown = api.progress(migration)
    assert ("acme", "Office hours.") == (shown["paused"]["by"], shown["paused"]["reason"])
    assert shown["finished"]
    assert {"resume", "cancel", "rollback"} <= shown["links"].keys()
    assert "pause" not in shown["links"]
    assert 202 == api.client.post(shown["links"]["resume"], headers=_acme()).status_code
    assert api.progress(migration)["paused"] is None
    api.world.deliver()
    assert "completed" == api.progress(migration)["status"]


def test_a_pause_and_a_resume_that_are_sent_again_are_answered_as_before(api: Api) -> None:
    migration = at(api, Phase.DATA_MIGRATION)
    for what in ("pause", "resume"):
        first, second = (steer(api, migration, what) for _ in range(2))
        assert (202, first.json) == (second.status_code, second.json)


def test_a_pause_after_the_switch_points_to_the_rollback(api: Api) -> None:
    migration = at(api, Phase.CLEANUP)
    answer = steer(api, migration, "pause")
    assert (409, "/problems/already-switched") == (answer.status_code, answer.json["type"])


def test_a_resume_of_what_is_not_paused_is_refused(api: Api) -> None:
    migration = at(api, Phase.VERIFICATION)
    api.world.system.cancel_migration(migration.id, by="acme")
    answer = steer(api, migration, "resume")
    assert (409, "/problems/not-steerable") == (answer.status_code, answer.json["type"])
    assert Status.ROLLING_BACK == api.world.now(migration).status


def _acme() -> dict[str, str]:
    return {"Authorization": "Bearer acme-token"}


def test_more_time_is_shown_and_may_be_sent_again(api: Api) -> None:
    migration = at(api, Phase.VERIFICATION, timeout_seconds=60)
    first, second = (steer(api, migration, "extend", {"timeout_seconds": 600}) for _ in range(2))
    assert (202, first.json) == (second.status_code, second.json)
    shown = api.progress(migration)
    assert (600, first.json["migration"]["deadline_at"]) == (
        shown["timeout_seconds"],
        shown["deadline_at"],
    )


def test_a_pace_of_a_model_inside_the_workers_is_refused_with_what_to_do(api: Api) -> None:
    migration = at(api, Phase.DATA_MIGRATION)
    answer = steer(api, migration, "throttle", {"requests_per_minute": 60})
    assert (422, True) == (answer.status_code, "pause" in answer.json["detail"])


@pytest.mark.parametrize("body", [{}, {"share": 0}, {"share": 1.1}, {"requests_per_minute": -1}])
def test_a_pace_that_is_none_is_refused(api: Api, body: Any) -> None:
    migration = at(api, Phase.DATA_MIGRATION)
    answer = steer(api, migration, "throttle", body)
    assert (422, "/problems/request-invalid") == (answer.status_code, answer.json["type"])


def test_a_run_that_was_rolled_back_is_tried_again_once(api: Api) -> None:
    migration = at(api, Phase.VERIFICATION)
    api.world.system.cancel_migration(migration.id, by="acme")
    api.world.deliver()
    assert "retry" in api.progress(migration)["links"]
    first, second = (steer(api, migration, "retry") for _ in range(2))
    assert (202, True, 202, False) == (
        *(first.status_code, first.json["created"]),
        *(second.status_code, second.json["created"]),
    )
    assert "true" == second.headers["Idempotent-Replayed"]
    assert first.headers["Location"] == second.headers["Location"]


def test_progress_says_what_holds_calls_to_the_provider(api: Api) -> None:
    migration = at(api, Phase.DATA_MIGRATION)
    assert api.progress(migration)["held_to"] is None
    provider = migration.config.to_provider
    slowed = Learned(provider, {}, requests_per_minute=12, refused_seconds_ago=3)
    api.world.limiter.learned = lambda _: slowed  # type: ignore[method-assign]
    held = api.progress(migration)["held_to"]
    assert (12, True) == (held["requests_per_minute"], "12 times a minute" in held["told"])


def test_an_admin_sees_what_was_learned_and_has_it_forgotten(api: Api) -> None:
    slowed = Learned("openai", {"tokens": 1000}, share=0.5)
    api.world.limiter.has_learned["openai"] = slowed
    (shown,) = api.get("/paces", "admin-token").json["paces"]
    assert ("openai", 1000, 0.5) == (
        *(shown["provider"], shown["limit_tokens_per_minute"]),
        shown["share"],
    )
    assert 204 == api.delete("/paces/openai", "admin-token").status_code
    assert [] == api.get("/paces", "admin-token").json["paces"]
    again = api.delete("/paces/openai", "admin-token")
    assert (404, "/problems/nothing-learned") == (again.status_code, again.json["type"])
