"""Calls under way: as many as are allowed, whoever else has threads."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from migrations.model.errors import Superseded
from migrations.process import call_slots
from migrations.process.call_slots import CallSlots


def wanted() -> None:
    """The work goes on."""


def superseded() -> None:
    raise Superseded


class UnderWay:
    """How many calls were under way at the same time at most."""

    def __init__(self) -> None:
        self.most = self._now = 0
        self._lock = threading.Lock()

    def call(self, slots: CallSlots, provider: str) -> None:
        with slots.one(provider, wanted):
            with self._lock:
                self._now += 1
                self.most = max(self.most, self._now)
            time.sleep(0.01)
            with self._lock:
                self._now -= 1


def test_no_more_calls_are_under_way_than_there_are_slots_and_all_slots_are_used() -> None:
    slots, seen = CallSlots(3), UnderWay()
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda _: seen.call(slots, "openai"), range(60)))
    assert 3 == seen.most


def test_a_provider_that_takes_long_holds_up_no_other() -> None:
    slots = CallSlots(1)
    with slots.one("slow", wanted), slots.one("quick", wanted):
        pass


def test_whoever_waits_asks_whether_the_work_is_still_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(call_slots, "ASK_SECONDS", 0.01)
    slots = CallSlots(1)
    with slots.one("openai", wanted), pytest.raises(Superseded), slots.one("openai", superseded):
        pass


def test_a_call_that_fails_gives_its_slot_back() -> None:
    slots = CallSlots(1)
    with pytest.raises(ZeroDivisionError), slots.one("openai", wanted):
        raise ZeroDivisionError
    with slots.one("openai", superseded):
        pass
