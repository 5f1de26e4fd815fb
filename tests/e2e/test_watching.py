"""What a person sees of the workers: Celery's own commands and Flower."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from celery import Celery
from prometheus_client.parser import text_string_to_metric_families

from api.metrics.catalogue import SHARED
from migrations.model.bots import Role
from migrations.model.states import Phase
from tests.harness.bots import expect
from tests.harness.plain_http import fetch
from tests.harness.receiver import Receiver
from tests.harness.world import LARGE, World
from tests.scenarios.cancels import by_flower


def test_the_registered_tasks_have_names_a_person_understands(world: World) -> None:
    with Celery("operator", broker=world.servers.redis_url, set_as_current=False) as app:
        answers: dict[str, list[str]] = app.control.inspect(timeout=10, limit=2).registered()
    assert {"batch", "control"} == {name.split("@")[0] for name in answers}
    phases = {f"migrations.{kind}.{phase}" for phase in Phase for kind in ("phase", "undo")}
    others = {
        "migrations.batch",
        "migrations.advance",
        "migrations.catch_up",
        "migrations.rollback.quiesce",
        "migrations.rollback.finish",
        "migrations.journal",
        "migrations.sweep",
        "migrations.retire",
        "migrations.drop_held",
    }
    for names in answers.values():
        ours = {name.split(" ")[0] for name in names} - celerys_own(names)
        assert phases | others == ours


def celerys_own(names: list[str]) -> set[str]:
    return {name.split(" ")[0] for name in names if name.startswith("celery.")}


@pytest.fixture(scope="module")
def flower(running_world: World) -> Iterator[World]:
    running_world.processes.start(["flower"])
    tasks_seen(running_world, lambda _: True)
    yield running_world
    running_world.processes.stop(["flower"])


@pytest.mark.usefixtures("flower")
def test_flower_shows_the_chain_and_which_migration_and_keys_each_batch_belongs_to(
    world: World,
) -> None:
    bot = world.seed_bot(60)
    run = bot.migrate(LARGE, batch_size=10)
    tasks = tasks_seen(world, lambda tasks: "migrations.phase.cleanup" in tasks)
    assert {f"migrations.phase.{phase}" for phase in Phase} <= tasks.keys()
    batches = [task for task in tasks["migrations.batch"] if run.id in task["uuid"]]
    shown = sorted(task["kwargs"] for task in batches)
    who = f"migration {run.id}, epoch 1"
    assert [f"{who}, batch {index}" for index in range(6)] == [
        text.partition(", keys ")[0] for text in shown
    ]
    assert shown[0].endswith("keys (…, k000009]")
    assert shown[1].endswith("keys (k000009, k000019]")
    assert run.id == tasks["migrations.phase.validation"][0]["uuid"], "the root has its id"
    assert {run.id} == {
        task["root_id"] for name in ("validation", "data_migration") for task in of(tasks, name)
    }


@pytest.mark.usefixtures("flower")
def test_what_flowers_button_sends_cancels_the_migration(world: World) -> None:
    bot = world.seed_bot(20)
    with world.driver.paused("batch.before_read") as held:
        run = bot.start(LARGE, batch_size=10)
        held.wait()
        by_flower(world, bot, run)
        run.wait_for(lambda seen: seen["status"] == "rolling_back")
    (error,) = run.ends("rolled_back")["errors"]
    assert "cancelled" == error["code"]
    world.assert_all_well(bot)


def of(tasks: dict[str, list[dict[str, Any]]], phase: str) -> list[dict[str, Any]]:
    return tasks[f"migrations.phase.{phase}"]


def tasks_seen(world: World, enough: Any, seconds: float = 30) -> dict[str, list[dict[str, Any]]]:
    """Flower's tasks by name, once they are enough."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found: dict[str, list[dict[str, Any]]] = {}
        with suppress(OSError):  # not up yet
            answer = expect(200, fetch(f"{world.flower_url}/api/tasks?limit=500"))
            for task in answer.values():
                found.setdefault(task["name"], []).append(task)
            if enough(found):
                return found
        time.sleep(0.2)
    raise TimeoutError(f"Flower shows only {sorted(found)}")


# --- those who are told -----------------------------------------------------------------


def test_receivers_and_prometheus_are_told_of_a_migration_and_its_rollback(
    world: World, receiver: Receiver
) -> None:
    run = world.seed_bot(20).migrate(LARGE)
    assert ["started", "switched", "completed"] == receiver.wait_for(run.id, "completed")
    back = run.roll_back()
    back.ends("completed")
    assert "rolled_back" == receiver.wait_for(run.id, "rolled_back")[-1]
    assert ["started", "switched", "completed"] == receiver.wait_for(back.id, "completed")
    headers = {"Authorization": f"Bearer {world.token('prometheus', Role.ADMIN)}"}
    text = expect(200, fetch(f"{world.url}/metrics", headers=headers))
    families = {family.name: family.samples for family in text_string_to_metric_families(text)}
    assert {metric.name.removesuffix("_total") for metric in SHARED} <= families.keys()
    told = {(one.name, *one.labels.values()): one.value for f in families.values() for one in f}
    assert 1 <= told["reembed_migrations", "forward", "rolled_back"]
    assert 1 <= told["reembed_migrations", "reverse", "completed"]
