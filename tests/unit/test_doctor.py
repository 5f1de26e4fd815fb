"""The doctor names what is wrong: each fault is planted and looked for by its code."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.endings import Exit
from migrations.model.checkup import Checkup
from migrations.model.config import EmbeddingRef
from migrations.model.errors import (
    ProviderAuthenticationFailed,
    VectorStoreLoginRefused,
    VectorStoreRefused,
    VectorStoreUnavailable,
)
from migrations.model.findings import Severity
from migrations.model.release import release
from migrations.model.states import Phase
from migrations.model.task_names import BATCH_QUEUES, phase_task
from migrations.ports.watch_store import SchemaRevision
from tests.fakes.api_client import Api
from tests.fakes.command_line import CommandLine
from tests.fakes.state_rows import newest
from tests.fakes.workers import BATCH, CONTROL, says
from tests.fakes.world import ADMIN, OWNER, SOURCE, World

Usage = namedtuple("Usage", "total used free")
DOC = Path(__file__).parents[2] / "docs" / "operations" / "doctor.md"


def crewed(world: World) -> None:
    for note in (CONTROL, BATCH):
        says(world, replace(note, version=release()))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100, 10, 90))
    world = World()
    crewed(world)
    return world


def examined(world: World, *, ask: bool = False) -> Checkup:
    return world.system.examine(ADMIN, ask_providers=ask)


def codes(world: World, *, ask: bool = False) -> list[str]:
    return [one.code for one in examined(world, ask=ask).findings]


def test_nothing_is_found_where_nothing_is_wrong(world: World) -> None:
    found = examined(world)
    assert ([], None) == (found.findings, found.severity)
    looked = {one.about for one in found.looked}
    assert {"postgresql", "workers", "clocks", "redis", "milvus", "privileges"} <= looked
    assert {"settings", "disk", "migrations", "providers", "aliases", "collections"} <= looked
    assert all(one.well for one in found.looked)


def postgresql_away(world: World) -> None:
    world.store.reachable = False


def schema_of_before(world: World) -> None:
    world.store.revision = SchemaRevision("0001", "0002", is_known=True)


def redis_away(world: World) -> None:
    world.checkpoints.reachable = False


def redis_evicts(world: World) -> None:
    world.checkpoints.evicts_by = "allkeys-lru"


def redis_full(world: World) -> None:
    world.checkpoints.refuses_by = "OOM command not allowed"


def redis_without_disk(world: World) -> None:
    world.checkpoints.well = replace(world.checkpoints.well, keeps_on_disk=False)


def milvus_away(world: World) -> None:
    world.vectors.fail("ping", VectorStoreUnavailable("It is away."), times=9)


def wrong_password(world: World) -> None:
    world.vectors.fail("ping", VectorStoreLoginRefused("auth check failure"), times=9)


def privilege_missing(world: World) -> None:
    world.vectors.refused["Search"] = "permission deny"


def no_worker(world: World) -> None:
    world.clock.sleep(60)


def unread_queue(world: World) -> None:
    says(world, replace(BATCH, queues=BATCH_QUEUES[:3], version=release()))


def clock_off(world: World) -> None:
    says(world, replace(BATCH, version=release()), ahead_seconds=-3600)


def worker_of_before(world: World) -> None:
    says(world, replace(BATCH, version="0.0.1"))


def key_missing(world: World) -> None:
    bot = world.store.bot("bot")
    openai = EmbeddingRef(provider="openai", model="text-embedding-3-small", dimension=1536)
    world.store._bots["bot"] = replace(bot, live=replace(bot.live, embedding=openai))
    world.embedders.keyless.add("openai")


def provider_unknown(world: World) -> None:
    bot = world.store.bot("bot")
    gone = EmbeddingRef(provider="gone", model="m", dimension=8)
    world.store._bots["bot"] = replace(bot, live=replace(bot.live, embedding=gone))


def needs_operator(world: World) -> None:
    world.vectors.fail("drop", VectorStoreRefused("Not now."), times=100)
    world.start()
    world.deliver(before=phase_task(Phase.VERIFICATION))
    world.system.cancel(OWNER, "bot")
    world.deliver()
    world.vectors.recover()


def alias_behind(world: World) -> None:
    world.store.alias_moves("bot", SOURCE, "elsewhere")


def collection_missing(world: World) -> None:
    world.vectors.drop(SOURCE)


FAULTS: dict[str, Callable[[World], None]] = {
    "postgresql-away": postgresql_away,
    "schema-behind": schema_of_before,
    "redis-away": redis_away,
    "redis-evicts": redis_evicts,
    "redis-refuses-writes": redis_full,
    "redis-forgets": redis_without_disk,
    "milvus-away": milvus_away,
    "milvus-login": wrong_password,
    "milvus-privilege": privilege_missing,
    "no-worker": no_worker,
    "queue-unread": unread_queue,
    "clock-off": clock_off,
    "versions-differ": worker_of_before,
    "provider-key-missing": key_missing,
    "unknown-provider": provider_unknown,
    "needs-operator": needs_operator,
    "alias-behind": alias_behind,
    "collection-missing": collection_missing,
}


@pytest.mark.parametrize("code", FAULTS)
def test_a_planted_fault_is_named_with_its_remedy(world: World, code: str) -> None:
    FAULTS[code](world)
    found = {one.code: one for one in examined(world).findings}
    assert code in found
    assert found[code].remedy
    others = set(found) - {code}
    assert others <= {"clock-off-at"}, others


def test_a_host_whose_clock_is_off_is_named_to_an_admin(world: World) -> None:
    clock_off(world)
    (named,) = [one for one in examined(world).findings if one.code == "clock-off-at"]
    assert "The clock of b is 1:00:00 behind PostgreSQL's." == named.message


def test_a_full_disk_is_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100, 99, 1))
    assert ["disk-short"] == codes(world)


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"heartbeat_seconds": 10, "stalled_after_seconds": 12}, "settings-heartbeat"),
        ({"retention_hours": 0}, "settings-no-way-back"),
        ({"max_timeout_seconds": 60}, "settings-timeout"),
        ({"milvus_timeout_seconds": 4000}, "settings-milvus-timeout"),
    ],
)
def test_settings_that_contradict_are_named(settings: dict[str, Any], code: str) -> None:
    world = World(settings=settings)
    crewed(world)
    assert code in codes(world)


def test_a_provider_is_asked_only_where_that_was_wished_for(world: World) -> None:
    refusal = ProviderAuthenticationFailed("It refuses the key.")
    world.embedders.fail(refusal, times=None)
    assert [] == codes(world)
    calls = world.embedders.calls
    assert ["provider-authentication"] == codes(world, ask=True)
    assert world.embedders.calls > calls


def test_what_is_asked_is_paid_for_by_the_bot_it_is_asked_for(world: World) -> None:
    before = world.store.tokens_of_errands("bot")
    assert [] == codes(world, ask=True)
    assert world.store.tokens_of_errands("bot") > before


def test_a_migration_that_goes_in_circles_is_named(world: World) -> None:
    world.start_at(Phase.DATA_MIGRATION)
    for _ in range(3):
        world.queue.clear()
        world.clock.sleep(13)
        crewed(world)
        world.watchdog.look()
    assert "in-circles" in codes(world)
    assert newest(world.store.active()) is not None


# --- how it is told -----------------------------------------------------------------


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100, 10, 90))
    api = Api()
    crewed(api.world)
    return CommandLine(api, tmp_path, "admin-token")


def test_the_command_ends_by_the_worst_that_was_found(line: CommandLine) -> None:
    assert "well     redis: It answers" in line.done("doctor")
    line.api.world.clock.sleep(2)
    redis_evicts(line.api.world)
    warned = line.run("doctor")
    assert (Exit.WARNED, True) == (warned.exit_code, "warning  redis" in warned.output)
    line.api.world.clock.sleep(60)
    failed = line.run("doctor", "--json")
    assert Exit.REFUSED == failed.exit_code
    found = json.loads(failed.stdout)
    workers = next(one for one in found["looked_at"] if one["about"] == "workers")
    assert ("error", "error", "no-worker") == (
        found["verdict"],
        workers["verdict"],
        workers["findings"][0]["code"],
    )


def test_the_command_asks_before_it_has_providers_asked(line: CommandLine) -> None:
    assert line.run("doctor", "--ask-providers", typed="n\n").exit_code == Exit.REFUSED
    assert line.asked == []
    line.done("doctor", "--ask-providers", "--yes")
    assert line.asked[-1].url.endswith("/doctor?ask_providers=true")


def test_an_error_is_worse_than_a_warning(world: World) -> None:
    redis_evicts(world)
    assert Severity.WARNING == examined(world).severity
    no_worker(world)
    assert Severity.ERROR == examined(world).severity


def test_the_documents_have_every_fault_that_is_planted_here() -> None:
    told = DOC.read_text()
    assert [] == [code for code in FAULTS if f"`{code}`" not in told]
