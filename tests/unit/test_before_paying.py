"""What whoever starts a migration should know before it is paid for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fakes.api_client import TARGET, Api
from tests.fakes.command_line import CommandLine
from tests.fakes.embedders import LOCAL_64

BACK = LOCAL_64.canonical
ROUTES = "/bots/support/embeddings/"


@pytest.fixture
def api() -> Api:
    return Api()


def switched(api: Api) -> str:
    """The bot has left its first embedding; the run that did it."""
    migration = api.start()
    api.world.deliver()
    return str(migration.id)


def warnings_of(api: Api, route: str, body: dict[str, Any]) -> list[str]:
    answer = api.post(f"{ROUTES}{route}", json=body)
    assert answer.status_code in {200, 202}, answer.json
    found: list[str] = (answer.json.get("migration") or answer.json)["warnings"]
    return found


@pytest.mark.parametrize("route", ["start-migration", "validate-change", "estimate-migration"])
def test_going_back_to_where_the_bot_comes_from_is_said_to_be_free(api: Api, route: str) -> None:
    run = switched(api)
    assert [True] == [f"a rollback of migration {run} " in w for w in warnings_of(api, route, BACK)]


def test_the_run_keeps_the_warning(api: Api) -> None:
    run = switched(api)
    started = api.post(f"{ROUTES}start-migration", json=BACK).json["migration"]
    (kept,) = api.get(f"/embeddings/migration/{started['migration_id']}/progress").json["warnings"]
    assert f"a rollback of migration {run} " in kept


def test_when_the_window_has_closed_it_is_not_free_any_more(api: Api) -> None:
    switched(api)
    api.world.clock.sleep(73 * 3600)
    assert [] == warnings_of(api, "start-migration", BACK)


@pytest.mark.parametrize("route", ["start-migration", "estimate-migration"])
def test_elsewhere_nothing_is_free(api: Api, route: str) -> None:
    assert [] == warnings_of(api, route, TARGET)


def slow(api: Api) -> None:
    """Each request takes half a minute."""
    api.world.embedders.on_embed = lambda _: api.world.clock.sleep(30)


def test_a_timeout_that_is_too_short_is_said_in_the_estimate(api: Api) -> None:
    slow(api)
    (warning,) = warnings_of(api, "estimate-migration", {**TARGET, "timeout_seconds": 5})
    assert "and would have 5 s: start it with a larger timeout_seconds" in warning
    assert [] == warnings_of(api, "estimate-migration", {**TARGET, "timeout_seconds": 36_000})


def test_a_validation_is_told_the_timeout_too(api: Api) -> None:
    slow(api)
    (warning,) = warnings_of(api, "validate-change", {**TARGET, "timeout_seconds": 5})
    assert "and the migration has 5 s: start it with a larger timeout_seconds" in warning
    assert [] == warnings_of(api, "validate-change", {**TARGET, "timeout_seconds": 36_000})


def test_the_command_line_tells_it_before_it_asks_for_consent(api: Api, tmp_path: Path) -> None:
    slow(api)
    to = [f"--{name}={TARGET[name]}" for name in ("provider", "model", "dimension")]
    line = CommandLine(api, tmp_path)
    said = line.run("start", "support", *to, "--timeout-seconds", "5", typed="n\n")
    assert "would have 5 s" in said.output
    assert said.output.index("would have 5 s") < said.output.index("Start it?")
