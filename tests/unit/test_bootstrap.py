"""What is imported when: nobody waits for a package that is not used."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from devstack.server import PROJECT, free_port
from migrations.bootstrap import Assembly, Late, late
from tests.fakes.world import World

#: Packages that together take seconds to import.
HEAVY = ["alembic", "grpc", "openai", "pandas", "pymilvus", "wordllama"]


def loaded_by(program: str, heavy: list[str]) -> list[str]:
    """Which of the heavy packages a process of its own has loaded when the program has ended."""
    nowhere = f"127.0.0.1:{free_port()}"
    own = {
        "PYTHONPATH": str(PROJECT),
        "REEMBED_ENV_FILE": "",
        "REEMBED_DATABASE_URL": f"postgresql+psycopg2://nobody@{nowhere}/nothing",
        "REEMBED_REDIS_URL": f"redis://{nowhere}/0",
        "REEMBED_MILVUS_URI": f"http://{nowhere}",
    }
    asking = f"import sys\n{program}\nprint(*[name for name in {heavy} if name in sys.modules])"
    ended = subprocess.run(
        [sys.executable, "-c", asking],
        env=os.environ | own,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout.splitlines()[-1].split()


def command(*arguments: str) -> str:
    """A program that runs a command of ours, whatever comes of it."""
    return f"""
from celery.bin.celery import celery
sys.argv = ["celery", "-A", "worker", *{arguments}]
try:
    celery()
except BaseException as ended:
    print(ended)
"""


@pytest.mark.parametrize("arguments", [("reembed", "--help"), ("worker", "--help")])
def test_a_command_that_only_explains_itself_loads_no_heavy_package(
    arguments: tuple[str, ...],
) -> None:
    assert [] == loaded_by(command(*arguments), [*HEAVY, "numpy", "sqlalchemy"])


def test_issuing_a_token_loads_what_asks_postgresql_and_nothing_else() -> None:
    asking = command("reembed", "issue-token", "--name", "mine", "--owner", "me")
    assert ["sqlalchemy"] == loaded_by(asking, [*HEAVY, "numpy", "sqlalchemy"])


def test_upgrading_the_schema_loads_what_asks_postgresql_and_nothing_else() -> None:
    loaded = loaded_by(command("reembed", "upgrade-schema"), [*HEAVY, "numpy", "sqlalchemy"])
    assert ["alembic", "sqlalchemy"] == loaded


def test_repairing_loads_what_asks_postgresql_and_no_vendor_of_anything_else() -> None:
    asking = command("reembed", "repair", "00000000-0000-0000-0000-000000000000")
    assert ["sqlalchemy"] == loaded_by(asking, [*HEAVY, "sqlalchemy"])


def test_a_worker_is_there_before_the_heavy_packages_are() -> None:
    assert [] == loaded_by("import worker.tasks, worker.commands", HEAVY)


def test_a_worker_loads_the_rest_before_its_first_phase() -> None:
    conducting = "from worker.application import assembly; assembly().conductor"
    assert {"grpc", "openai", "pymilvus"} <= set(loaded_by(conducting, HEAVY))


def test_the_package_itself_loads_nothing() -> None:
    assert [] == loaded_by("import migrations", [*HEAVY, "numpy", "pydantic", "sqlalchemy"])


def test_the_package_has_the_names_it_promises() -> None:
    import migrations

    found = [getattr(migrations, name) for name in migrations.__all__]
    assert migrations.__all__ == [one.__name__ for one in found]
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = migrations.nothing


# --- made when first used -------------------------------------------------------


class Service:
    made = 0

    def __init__(self) -> None:
        type(self).made += 1

    def answer(self) -> Service:
        return self


@pytest.fixture(autouse=True)
def _none_made() -> None:
    Service.made = 0


def test_a_late_service_is_not_made_before_it_is_used() -> None:
    service = late(Service)
    assert 0 == Service.made
    service.answer()
    assert 1 == Service.made


def test_threads_that_begin_at_once_share_one_service() -> None:
    everybody = threading.Barrier(12)
    service = late(Service)

    def ask(_: int) -> Service:
        everybody.wait()
        return service.answer()

    with ThreadPoolExecutor(12) as threads:
        answers = set(threads.map(ask, range(12)))
    assert (1, 1) == (len(answers), Service.made)


def test_loading_goes_on_while_another_thread_makes_what_services_make_of_themselves() -> None:
    services = World(0).services

    def made_beside() -> object:
        kept = vars(services)
        kept[f"cached_{len(kept)}"] = None  # as a cached property is when it is first asked
        return object()

    for name in ("store", "limiter", "checkpoints"):
        object.__setattr__(services, name, Late(made_beside))
    Assembly(services).load()


def test_a_service_that_could_not_be_made_is_made_at_the_next_use() -> None:
    failing = iter([True])

    def make() -> Service:
        if next(failing, False):
            raise OSError
        return Service()

    service = late(make)
    with pytest.raises(OSError):
        service.answer()
    assert isinstance(service.answer(), Service)
