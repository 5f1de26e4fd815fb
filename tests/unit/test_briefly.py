"""Who only looks does not wait for a service that hangs, and does not make others wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from migrations.model.errors import NoAnswer, VectorStoreUnavailable
from migrations.process.briefly import Briefly


class Service:
    """Hangs until it is thawed; counts what it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.works = threading.Event()
        self.works.set()

    def freeze(self) -> None:
        self.works = threading.Event()

    def answer(self) -> str:
        self.asked += 1
        assert self.works.wait(20)
        return "well"


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.works.set()  # or its threads would outlive the test


def told(asker: Callable[[], str]) -> str:
    try:
        return asker()
    except NoAnswer:
        return "no answer"


def test_an_answer_is_handed_on_and_so_is_an_error(service: Service) -> None:
    asking = Briefly()
    assert "well" == asking.ask(service.answer)

    def fail() -> None:
        raise VectorStoreUnavailable

    for _ in range(2):
        with pytest.raises(VectorStoreUnavailable):
            asking.ask(fail)


def test_while_a_question_is_overdue_nobody_asks_another(service: Service) -> None:
    asking = Briefly(patience_seconds=0.01)
    service.freeze()
    assert ["no answer"] * 3 == [told(lambda: asking.ask(service.answer)) for _ in range(3)]
    assert 1 == service.asked


def test_a_service_that_is_back_is_asked_again(service: Service) -> None:
    asking = Briefly(patience_seconds=0.01)
    service.freeze()
    told(lambda: asking.ask(service.answer))
    service.works.set()
    while "well" != told(lambda: asking.ask(service.answer)):
        pass


def test_of_many_only_one_finds_out_whether_a_service_is_back(service: Service) -> None:
    asking = Briefly(patience_seconds=0.2)
    service.freeze()
    told(lambda: asking.ask(service.answer))
    service.works.set()
    while asking._overdue:
        pass
    service.freeze()
    everybody = threading.Barrier(8)

    def ask(_: int) -> str:
        everybody.wait()
        return told(lambda: asking.ask(service.answer))

    with ThreadPoolExecutor(8) as threads:
        assert {"no answer"} == set(threads.map(ask, range(8)))
    assert 2 == service.asked
