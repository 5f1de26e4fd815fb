"""Who is told what, in which words, how often it is tried, and when it is given up."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from migrations.model.notifications import NotificationType, Receipt
from migrations.model.states import Phase, Status
from migrations.telling.catalogue import TOLD, message_of
from migrations.telling.teller import (
    GIVEN_UP_AFTER_HOURS,
    LEASE_SECONDS,
    Teller,
    pause_seconds,
    try_endpoint,
)
from tests.fakes.embedders import LARGE, SMALL
from tests.fakes.world import World

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EVERYTHING = {"url": "https://ops.example/hook", "secret": SECRET}
CHAT = {"url": "json://chat.example/"}
HOUR = 3600.0


def at_once(work: Callable[[], None]) -> None:
    work()


class Scene:
    """A bot of the owner "owner" and those who are told of it."""

    def __init__(self, apart: Callable[[Callable[[], None]], None] = at_once, **to: Any) -> None:
        webhooks = {name: one for name, one in to.items() if "secret" in one}
        chats = {name: one for name, one in to.items() if "secret" not in one}
        self.world = World(settings={"webhooks": webhooks, "notify": chats})
        self.courier = self.world.courier
        self.services = self.world.services
        self.teller = Teller(self.services, apart)

    def look(self, after_seconds: float = 0.0) -> None:
        self.world.clock.sleep(after_seconds)
        self.teller.look()


def test_a_migration_is_told_from_its_start_to_its_end() -> None:
    scene = Scene(ops=EVERYTHING)
    migration = scene.world.complete()
    scene.look()
    assert ["started", "switched", "completed"] == scene.courier.types("ops")
    scene.look()
    assert 3 == len(scene.courier.sent["ops"])
    for message_id, body in scene.courier.sent["ops"]:
        assert message_id.startswith(f"msg_{migration.id.hex}_")
        assert str(migration.id) == body["data"]["migration_id"]
    assert 3 == len({message_id for message_id, _ in scene.courier.sent["ops"]})


def test_a_message_says_what_has_happened_to_which_bot() -> None:
    scene = Scene(ops=EVERYTHING)
    migration = scene.world.complete()
    scene.look()
    _, body = scene.courier.sent["ops"][1]
    at = next(e.at for e in scene.world.store.events(migration.id) if e.name == "switched")
    assert {
        "type": "migration.switched",
        "timestamp": at.isoformat(),
        "version": 1,
        "sentence": "bot: The bot answers from large now.",
        "data": {
            "migration_id": str(migration.id),
            "bot_id": "bot",
            "owner": "owner",
            "kind": "forward",
            "reverses": None,
            "from": {"provider": SMALL.provider, "model": "small", "dimension": SMALL.dimension},
            "to": {"provider": LARGE.provider, "model": "large", "dimension": LARGE.dimension},
            "source_collection": "source",
            "target_collection": migration.target_collection,
            "phase": "finalization",
            "epoch": 1,
            "detail": {"collection": migration.target_collection, "generation": 2},
        },
    } == body


def test_nobody_is_told_what_chunks_hold_or_what_a_fault_has_said() -> None:
    scene = Scene(ops=EVERYTHING)
    scene.world.write("k999", "an unspeakable text")
    migration = scene.world.start_at(Phase.VERIFICATION)
    failing = RuntimeError("the provider said: an unspeakable text")
    scene.world.conductor.fail(migration.id, migration.epoch, failing)
    scene.world.deliver()
    scene.look()
    assert ["started", "rolling_back", "rolled_back"] == scene.courier.types("ops")
    assert "unspeakable" not in json.dumps([body for _, body in scene.courier.sent["ops"]])


def test_endpoints_are_told_of_the_types_and_the_owners_bots_that_they_want() -> None:
    scene = Scene(
        all=EVERYTHING,
        ends={**EVERYTHING, "events": ["migration.*ed_back", "migration.completed"]},
        mine={**EVERYTHING, "owner": "owner"},
        others={**EVERYTHING, "owner": "somebody else"},
        chat=CHAT,
    )
    scene.world.complete()
    scene.look()
    everything = ["started", "switched", "completed"]
    assert everything == scene.courier.types("all") == scene.courier.types("mine")
    assert ["completed"] == scene.courier.types("ends")
    assert ["switched"] == scene.courier.types("chat")
    assert [] == scene.courier.types("others")


def test_what_happened_before_there_was_an_endpoint_is_not_told_to_it() -> None:
    scene = Scene()
    scene.world.complete()
    scene.look()
    late = World(settings={"webhooks": {"ops": EVERYTHING}})
    Teller(replace(late.services, store=scene.world.store, courier=scene.courier), at_once).look()
    assert [] == scene.courier.types("ops")


def test_the_watchdog_tells() -> None:
    scene = Scene(ops=EVERYTHING)
    scene.world.complete()
    scene.world.watchdog._teller = scene.teller  # whose messages are not sent by threads
    scene.world.watchdog.look()
    assert ["started", "switched", "completed"] == scene.courier.types("ops")


# --- receivers that do not take it ------------------------------------------------------


def refuse(*args: Any, **kwargs: Any) -> Callable[[], Receipt]:
    return lambda: Receipt(*args, **kwargs)


def test_what_is_not_taken_is_sent_again_later_and_later_with_the_same_id() -> None:
    scene = Scene(ops={**EVERYTHING, "events": ["migration.started"]})
    scene.courier.answers["ops"] = refuse("It answered 500.")
    scene.world.start()
    tries = []
    for wait in (0, 6, 10, 30, 140, 700, 2000, 4000):
        scene.look(after_seconds=wait)
        tries.append(len(scene.courier.sent["ops"]))
    assert [1, 2, 2, 3, 4, 5, 6, 7] == tries
    del scene.courier.answers["ops"]
    scene.look(after_seconds=4000)
    scene.look(after_seconds=HOUR)
    assert 8 == len(scene.courier.sent["ops"])
    assert 1 == len({message_id for message_id, _ in scene.courier.sent["ops"]})
    assert 1 == len({json.dumps(body) for _, body in scene.courier.sent["ops"]})


def test_what_was_not_taken_for_a_day_is_given_up_and_said_so() -> None:
    scene = Scene(ops={**EVERYTHING, "events": ["migration.started"]})
    scene.courier.answers["ops"] = refuse("It answered 500.")
    scene.world.start()
    with capture_logs() as lines:
        for _ in range(int(GIVEN_UP_AFTER_HOURS) + 2):
            scene.look(after_seconds=HOUR)
    given_up = [line for line in lines if line["event"] == "notification_given_up"]
    assert [("ops", "migration.started", "error")] == [
        (line["endpoint"], line["type"], line["log_level"]) for line in given_up
    ]
    times = len(scene.courier.sent["ops"])
    scene.look(after_seconds=HOUR)
    assert times == len(scene.courier.sent["ops"])


def test_who_wants_no_more_of_them_is_left_alone() -> None:
    scene = Scene(ops=EVERYTHING)
    scene.courier.answers["ops"] = refuse("It answered 410.", is_final=True)
    scene.world.start()
    with capture_logs() as lines:
        scene.look()
        scene.look(after_seconds=HOUR)
    assert 1 == len(scene.courier.sent["ops"])
    assert "notification_given_up" in [line["event"] for line in lines]


def test_a_receiver_that_fails_is_not_sent_the_rest_and_others_are_told_meanwhile() -> None:
    scene = Scene(broken=EVERYTHING, ops=EVERYTHING)
    scene.courier.answers["broken"] = refuse("It answered 500.")
    scene.world.complete()
    scene.look()
    assert (["started"], ["started", "switched", "completed"]) == (
        scene.courier.types("broken"),
        scene.courier.types("ops"),
    )
    del scene.courier.answers["broken"]
    scene.look(after_seconds=6)
    assert ["started", "started", "switched", "completed"] == scene.courier.types("broken")


def test_a_receiver_that_hangs_holds_up_neither_the_round_nor_another_receiver() -> None:
    hanging: list[Callable[[], None]] = []
    scene = Scene(apart=hanging.append, slow=EVERYTHING, ops=EVERYTHING)
    scene.world.start()
    scene.look()
    assert 2 == len(hanging)
    hanging.pop(1)()  # the other one's thread
    scene.world.deliver()
    scene.look()
    assert 2 == len(hanging)  # the slow one's is not begun a second time
    hanging.pop(1)()
    assert [3, 0] == [len(scene.courier.sent["ops"]), len(scene.courier.sent["slow"])]
    hanging.pop(0)()
    scene.look()
    hanging.pop(0)()
    assert 3 == len(scene.courier.sent["slow"])


def test_what_a_dead_process_had_taken_on_is_sent_by_another_later() -> None:
    scene = Scene(apart=lambda _: None, ops=EVERYTHING)
    scene.world.start()
    scene.look()
    another = Teller(scene.services, at_once)
    another.look()
    assert [] == scene.courier.types("ops")
    scene.world.clock.sleep(LEASE_SECONDS + 1)
    another.look()
    assert ["started"] == scene.courier.types("ops")


@pytest.mark.parametrize(
    ("attempts", "asked", "least", "most"),
    [(1, None, 4, 6), (3, None, 100, 140), (50, None, 3200, 4000), (1, 600.0, 600, 600)],
)
def test_pauses_grow_and_a_receiver_may_ask_for_a_longer_one(
    attempts: int, asked: float | None, least: float, most: float
) -> None:
    receipt = Receipt("It answered 503.", again_after_seconds=asked)
    assert least <= pause_seconds(attempts, receipt) <= most


def test_an_endpoint_is_tried_with_a_message_that_says_so() -> None:
    scene = Scene(ops=EVERYTHING)
    assert try_endpoint(scene.services, "ops").is_taken
    ((_, body),) = scene.courier.sent["ops"]
    assert "reembed.test" == body["type"]
    assert "There is no endpoint 'night' (ops)." == try_endpoint(scene.services, "night").reason


# --- what there is to be told -----------------------------------------------------------


def test_a_way_back_that_ends_soon_is_told_once() -> None:
    scene = Scene(ops={**EVERYTHING, "events": ["migration.way_back_ends"]})
    scene.world.complete()
    scene.look()
    scene.look(after_seconds=49 * HOUR)
    scene.look(after_seconds=HOUR)
    ((_, body),) = scene.courier.sent["ops"]
    assert body["sentence"].startswith("bot: A rollback to small is possible until ")


def test_every_type_has_an_event_and_every_sentence_can_be_said() -> None:
    assert set(NotificationType) == {words.type for words in TOLD.values()}
    scene = Scene()
    migration = scene.world.start()
    (started,) = scene.world.store.untold(10)
    for name in TOLD:
        body = message_of(replace(started, event=replace(started.event, name=name, detail={})))
        assert body is not None
        assert "{" not in body["sentence"]
    assert migration.status is Status.PENDING
