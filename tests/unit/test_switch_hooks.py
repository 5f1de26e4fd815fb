"""Hooks that are asked before a switch: they agree, veto, are overruled, or do not answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from standardwebhooks import Webhook

from migrations.adapters.notifying import webhooks
from migrations.adapters.notifying.webhooks import Webhooks
from migrations.model.errors import NotAccepted
from migrations.model.notifications import Verdict
from migrations.model.runs import Migration
from migrations.model.states import Phase, Status
from migrations.settings import HookSettings
from tests.fakes.world import OWNER, World

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HOOK = {"url": "https://ops.example/may-it", "secret": SECRET}
NO = Verdict(False, "It is Friday.")
SILENT = Verdict(None, "It cannot be connected to.")


def asking(verdict: Verdict | None = None, **hooks: Any) -> World:
    """Of one hook, ``ops``, unless others are given."""
    world = World(settings={"switch_hooks": hooks or {"ops": HOOK}})
    if verdict is not None:
        world.courier.verdicts["ops"] = lambda: verdict
    return world


def checks(migration: Migration) -> list[tuple[str, bool, str]]:
    told = (migration.verification or {})["checks"]
    found = [one for one in told if one["name"] == "switch_hook"]
    return [(one["severity"], one["passed"], one["message"]) for one in found]


def test_a_hook_that_agrees_lets_the_run_switch() -> None:
    world = asking(Verdict(True, "All is quiet."))
    migration = world.complete()
    assert Status.COMPLETED == migration.status
    assert [("error", True, "The hook 'ops' agrees: All is quiet.")] == checks(migration)


def test_a_hook_is_asked_once_with_what_verification_has_found_and_no_text() -> None:
    world = asking()
    migration = world.complete()
    ((message_id, question),) = world.courier.asked["ops"]
    assert f"ask_{migration.id.hex}_1" == message_id
    assert "migration.before_switch" == question["type"]
    data = question["data"]
    assert (str(migration.id), "bot", 12) == (
        data["migration_id"],
        data["bot_id"],
        data["totals"]["processed_chunks"],
    )
    told = {check["name"]: check for check in data["checks"]}
    assert {"name", "passed", "severity", "gate", "found", "least"} == set(told["retrieval"])
    assert "text 1" not in str(question)


def test_a_veto_makes_the_run_wait_and_says_why() -> None:
    world = asking(NO)
    migration = world.complete()
    assert Status.WAITING == migration.status
    assert ["veto of ops"] == migration.decision["waits_for"]
    assert (
        "The hook 'ops' has vetoed the switch: It is Friday."
        " Accept with a reason to switch all the same, or roll back."
    ) == migration.waiting_for
    assert 1 == world.bot.live.generation
    assert [("gate", False, "The hook 'ops' has vetoed the switch: It is Friday.")] == checks(
        migration
    )


def test_a_person_overrules_a_veto_with_a_reason_and_the_hook_is_not_asked_again() -> None:
    world = asking(NO)
    migration = world.complete()
    with pytest.raises(NotAccepted):
        world.system.accept(OWNER, migration.id, None)
    world.system.accept(OWNER, migration.id, "It is Thursday.")
    world.deliver()
    migration = world.now(migration)
    assert Status.COMPLETED == migration.status
    assert "It is Thursday." == migration.decision["accepted"]["reason"]
    assert ["veto of ops"] == migration.decision["accepted"]["of"]
    assert 1 == len(world.courier.asked["ops"])
    (accepted,) = [e for e in world.store.events(migration.id) if e.name == "accepted"]
    assert "It is Thursday." == accepted.detail["reason"]


def test_a_vetoed_run_can_be_rolled_back() -> None:
    world = asking(NO)
    migration = world.complete()
    world.system.cancel_migration(migration.id, by="somebody")
    world.deliver()
    assert Status.ROLLED_BACK == world.now(migration).status


def test_whoever_is_asked_once_more_after_another_decision_may_still_veto() -> None:
    world = asking()
    migration = world.complete(postpone=True)
    assert ["postponed"] == migration.decision["waits_for"]
    world.courier.verdicts["ops"] = lambda: NO
    world.system.accept(OWNER, migration.id, None)
    world.deliver()
    assert ["veto of ops"] == world.now(migration).decision["waits_for"]
    assert [f"ask_{migration.id.hex}_{epoch}" for epoch in (1, 2)] == [
        message_id for message_id, _ in world.courier.asked["ops"]
    ]


def test_without_an_answer_the_run_waits_and_says_so() -> None:
    world = asking(SILENT)
    migration = world.complete()
    assert Status.WAITING == migration.status
    assert "has not said whether to switch: It cannot be connected to." in str(
        migration.waiting_for
    )


def test_without_an_answer_it_goes_on_with_a_warning_where_that_is_set() -> None:
    world = asking(SILENT, ops={**HOOK, "if_unreachable": "go_on"})
    migration = world.complete()
    assert Status.COMPLETED == migration.status
    assert any("'ops' has not said whether to switch" in one for one in migration.warnings)


def test_a_hook_that_comes_back_in_time_is_heard() -> None:
    world = asking()
    answers = iter([SILENT, SILENT, NO])
    world.courier.verdicts["ops"] = lambda: next(answers)
    assert Status.WAITING == world.complete().status
    assert 3 == len(world.courier.asked["ops"])
    assert 1 == len({message_id for message_id, _ in world.courier.asked["ops"]})


def test_a_hook_is_tried_no_longer_than_its_time() -> None:
    world = asking(SILENT, ops={**HOOK, "timeout_seconds": 5})
    world.start_at(Phase.VERIFICATION)
    before = world.clock.monotonic()
    world.deliver()
    assert 5 >= world.clock.monotonic() - before
    assert 5 == len(world.courier.asked["ops"])


def test_a_hook_that_hangs_is_left_alone_after_its_time() -> None:
    world = asking(ops={**HOOK, "timeout_seconds": 0.2})
    thawed = threading.Event()

    def hang() -> Verdict:
        thawed.wait(20)
        return Verdict(True)

    world.courier.verdicts["ops"] = hang
    migration = world.complete()
    thawed.set()
    assert Status.WAITING == migration.status
    assert "No answer within 0.2 s." in str(migration.waiting_for)


def test_each_hook_is_asked_about_its_owners_bots_and_one_veto_is_enough() -> None:
    world = asking(
        ops=HOOK, mine={**HOOK, "owner": "owner"}, others={**HOOK, "owner": "somebody else"}
    )
    world.courier.verdicts["mine"] = lambda: NO
    migration = world.complete()
    assert ["veto of mine"] == migration.decision["waits_for"]
    assert {"ops", "mine"} == set(world.courier.asked)


def test_a_way_back_is_not_asked_about() -> None:
    world = asking()
    migration = world.complete()
    world.courier.verdicts["ops"] = lambda: NO
    world.system.rollback(OWNER, migration.id)
    world.deliver()
    assert Status.ROLLED_BACK == world.now(migration).status
    assert 1 == len(world.courier.asked["ops"])


def test_a_run_that_skips_verification_is_asked_about_all_the_same() -> None:
    world = asking(NO)
    assert Status.WAITING == world.complete(verify_migration=False).status


# --- over HTTP --------------------------------------------------------------------------


def answered(answer: httpx2.Response | Callable[[httpx2.Request], httpx2.Response]) -> Verdict:
    def handle(request: httpx2.Request) -> httpx2.Response:
        Webhook(SECRET).verify(request.content, dict(request.headers))
        return answer(request) if callable(answer) else answer

    hook = HookSettings(**HOOK)
    return Webhooks(httpx2.MockTransport(handle)).ask(hook, "ask_1", {"type": "x"}, 5)


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (httpx2.Response(200, json={"switch": True}), Verdict(True)),
        (httpx2.Response(200, json={"switch": False, "reason": "No."}), Verdict(False, "No.")),
        (httpx2.Response(201, json={"switch": False, "reason": ["No."]}), Verdict(False)),
        (
            httpx2.Response(200, json={"switch": False, "reason": "x" * 600}),
            Verdict(False, "x" * 500),
        ),
        (httpx2.Response(500, json={"switch": True}), Verdict(None, "It answered 500.")),
        (httpx2.Response(302, json={"switch": True}), Verdict(None, "It answered 302.")),
    ],
)
def test_an_answer_says_yes_or_no_and_why(answer: httpx2.Response, verdict: Verdict) -> None:
    assert verdict == answered(answer)


@pytest.mark.parametrize(
    "body", [b"", b"yes", b"[]", b'{"switch": "true"}', b'{"switch": 1}', b"\xff", b"{}"]
)
def test_what_says_neither_yes_nor_no_is_no_answer(body: bytes) -> None:
    verdict = answered(httpx2.Response(200, content=body))
    assert (None, 'It answered 200 and did not say whether to "switch".') == (
        verdict.switch,
        verdict.reason,
    )


def test_an_answer_that_is_too_long_is_none() -> None:
    body = b'{"switch": true, "reason": "%s"}' % (b"x" * webhooks.MOST_BYTES)
    assert answered(httpx2.Response(200, content=body)).switch is None


def test_what_cannot_be_reached_has_not_said() -> None:
    def refuse(_: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("https://ops.example/may-it is away")

    assert Verdict(None, "It cannot be connected to.") == answered(refuse)
