"""A revoke is written down before it is broadcast, because nobody may be there to hear it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from celery import Celery

from migrations.model.errors import AlreadySwitched, MigrationNotFound
from worker.revoking import _revoke, cancelling_control

OURS = UUID("9d3f0f5e-6f0e-4a55-9a0c-3f0b6c1f7a11")
TASK = f"{OURS}.1.batch_3"


class Asked:
    """Remembers which migrations were to be cancelled, and may refuse."""

    def __init__(self, refusal: Exception | None = None) -> None:
        self.migrations: list[UUID] = []
        self._refusal = refusal

    def __call__(self, migration_id: UUID) -> None:
        self.migrations.append(migration_id)
        if self._refusal:
            raise self._refusal


def control_of(asked: Asked) -> Any:
    """The remote control of an application that no worker listens to."""
    return Celery(broker="memory://", control=cancelling_control(asked)).control


@pytest.mark.parametrize("ids", [str(OURS), TASK, [TASK, str(OURS)], ["another's task", TASK]])
def test_revoking_an_id_of_ours_cancels_without_any_worker(ids: str | list[str]) -> None:
    asked = Asked()
    control_of(asked).revoke(ids, terminate=True)
    assert [OURS] == asked.migrations


def test_the_command_line_s_words_are_understood() -> None:
    asked = Asked()
    control = control_of(asked)
    control.broadcast("terminate", arguments={"signal": "SIGTERM", "task_id": [TASK]})
    control.broadcast(
        "revoke_by_stamped_headers", arguments={"headers": [f"migration_id={OURS}", "a=b"]}
    )
    assert [OURS, OURS] == asked.migrations


def test_stamps_given_as_a_mapping_are_understood() -> None:
    asked = Asked()
    control_of(asked).revoke_by_stamped_headers({"migration_id": [str(OURS)], "other": "1"})
    assert [OURS] == asked.migrations


def test_other_commands_and_other_applications_tasks_cancel_nothing() -> None:
    asked = Asked()
    control = control_of(asked)
    control.revoke("another's task")
    control.rate_limit("migrations.batch", "1/m")
    control.broadcast("ping", arguments={"task_id": TASK})
    assert [] == asked.migrations


@pytest.mark.parametrize("refusal", [AlreadySwitched(), MigrationNotFound()])
def test_a_refusal_is_left_to_the_workers_to_tell(refusal: Exception) -> None:
    asked = Asked(refusal)
    control_of(asked).revoke(TASK)
    assert [OURS] == asked.migrations


class State:
    """As much of a worker as Celery's own command looks at."""

    def __init__(self) -> None:
        self.reqs: list[Any] = []


@pytest.mark.parametrize("some_id", [str(OURS), "another's task"])
def test_an_id_that_is_no_migration_is_said_to_be_none(some_id: str) -> None:
    told: list[Any] = []

    def celerys(_: Any, ids: list[str], **__: Any) -> dict[str, str]:
        told.extend(ids)
        return {"ok": "tasks flagged as revoked"}

    answer = _revoke(Asked(MigrationNotFound()), celerys, State(), some_id)
    assert [some_id] == told
    assert answer["ok"].startswith(f"{some_id} is no migration, nor a task of one")
    assert answer["ok"].endswith("tasks flagged as revoked")


def test_an_id_of_a_migration_is_not_passed_on_to_celery() -> None:
    def celerys(*_: Any, **__: Any) -> Any:
        raise AssertionError

    answer = _revoke(Asked(), celerys, State(), TASK)
    assert {"ok": f"migration {OURS} is being rolled back"} == answer
