"""What may be done with a migration that does not go on by itself is the same in every answer."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from migrations.model.errors import VectorStoreRefused
from migrations.model.runs import Migration
from migrations.model.states import Phase, Status
from migrations.model.task_names import phase_task
from migrations.model.what_now import repair_command, what_now
from tests.fakes.api_client import ACME, TARGET, Api
from tests.fakes.command_line import CommandLine


@pytest.fixture
def api() -> Api:
    return Api()


def in_need(api: Api) -> Migration:
    """Its undo has failed."""
    api.world.vectors.fail("drop", VectorStoreRefused("Not now."), times=100)
    migration = api.start()
    api.world.deliver(before=phase_task(Phase.VERIFICATION))
    api.post("/bots/support/embeddings/cancel-migration")
    api.world.deliver()
    now = api.world.now(migration)
    assert Status.NEEDS_OPERATOR == now.status
    return now


def test_progress_status_result_and_every_refusal_say_the_same(api: Api) -> None:
    migration = in_need(api)
    told = what_now(migration.id, migration.status)
    assert told is not None
    assert told.endswith(repair_command(migration.id))
    status = api.get("/bots/support/embeddings/migration-status").json["migration"]
    assert [told, told] == [api.progress(migration)["what_now"], status["what_now"]]
    assert told == api.world.system.result(ACME, migration.id).what_now
    refusals = [
        api.post("/bots/support/embeddings/start-migration", json=TARGET).json,
        api.post("/bots/support/embeddings/cancel-migration").json,
        api.post(f"/embeddings/migration/{migration.id}/rollback").json,
        api.delete("/bots/support").json,
    ]
    assert [told] * 4 == [refusal["detail"] for refusal in refusals]
    command = repair_command(migration.id)
    assert [command] * 4 == [refusal["repair"] for refusal in refusals]
    assert command == status["errors"][0]["repair"]


def test_the_command_line_says_it_too(api: Api, tmp_path: Path) -> None:
    migration, line = in_need(api), CommandLine(api, tmp_path)
    command = repair_command(migration.id)
    assert command in line.done("status", "support").replace("\n", " ")
    ended = line.run("watch", str(migration.id), "--until", "completed")
    assert (4, True) == (ended.exit_code, command in ended.stderr)


def test_one_that_was_not_to_be_undone_is_said_to_be_repairable(api: Api) -> None:
    api.world.embedders.refuse("text 4")
    migration = api.start(enable_rollback=False)
    api.world.deliver()
    shown = api.progress(migration)
    assert ("failed", what_now(migration.id, Status.FAILED)) == (shown["status"], shown["what_now"])


@pytest.mark.parametrize(
    "status", [Status.RUNNING, Status.COMPLETED, Status.ROLLED_BACK, Status.SWITCHING]
)
def test_what_goes_on_or_has_ended_well_needs_nobody(status: Status) -> None:
    assert None is what_now(uuid4(), status)
