"""``make demo``: a real bot moves from one embedding model to another and back.

Everything is real: the servers, the workers, the model, the HTTP calls. The
last line says what was checked, and the exit code is 0 only if all of it held.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from devstack.client import Answer, ApiClient
from devstack.corpus import python_corpus
from devstack.demo_bot import QUESTIONS, DemoBot, Found, Reader, demo_bot, same_answers
from devstack.stack import DEFAULT_DATA
from devstack.system import RunningSystem, running_system
from migrations.adapters.providers.catalogue import LOCAL_MODEL, LOCAL_PROVIDER
from migrations.model.config import EmbeddingRef

BOT = "python-docs"
COLLECTION = "python_docs"
OLD = EmbeddingRef(provider=LOCAL_PROVIDER, model=LOCAL_MODEL, dimension=64)
NEW = EmbeddingRef(provider=LOCAL_PROVIDER, model=LOCAL_MODEL, dimension=256)
#: A run that takes longer than this has gone wrong.
PATIENCE_SECONDS = 600

console = Console(highlight=False)


class DemoFailed(Exception):
    """The demo did not show what it promises."""


def main() -> int:
    data = DEFAULT_DATA / "demo"
    shutil.rmtree(data, ignore_errors=True)
    begun = time.monotonic()
    console.print("[bold]1. Starting Redis, PostgreSQL, Milvus and reembed on this machine[/]")
    try:
        with running_system(data) as system:
            console.print(f"   API {system.url}   Flower {system.flower_url}")
            page = _show(system)
    except DemoFailed as failure:
        console.print(f"[bold red]Demo failed:[/] {failure}")
        return 1
    console.print(
        f"[bold green]Demo passed[/] in {time.monotonic() - begun:.0f} s: migrated, verified, "
        "switched and rolled back; the old answers are back byte for byte and the old "
        "collection was never touched."
    )
    console.print(f"The report of the migration, a page for a browser: {page}", soft_wrap=True)
    return 0


def _show(system: RunningSystem) -> Path:
    api = ApiClient(system.url, system.token)
    with demo_bot(BOT, system, api) as bot:
        return _show_the_road(api, bot)


def _show_the_road(api: ApiClient, bot: DemoBot) -> Path:
    """Where the page of the migration's report is."""
    passages = python_corpus()
    console.print(f"[bold]2. Loading {len(passages)} passages of Python's documentation[/] ({OLD})")
    bot.load(COLLECTION, passages, OLD)
    _expect(
        201,
        api.post(
            "/bots",
            {
                "bot_id": BOT,
                "collection": COLLECTION,
                "provider": OLD.provider,
                "model": OLD.model,
                "text_field": "text",
            },
        ),
    )
    untouched = bot.fingerprint(COLLECTION, passages)
    before = bot.answers()

    console.print(f"[bold]3. Migrating to {NEW}[/] while a user keeps asking")
    with Reader(bot) as reader:
        migration_id = _migrate(api)
    _check(not reader.failures, f"the reader saw {len(reader.failures)}: {reader.failures[:1]}")
    console.print(f"   {reader.asked} questions asked meanwhile, 0 without an answer")
    _show_verification(api)
    after = bot.answers()
    _show_answers(before, after)
    page = _save_report(api, migration_id)
    live = api.get(f"/bots/{BOT}").body
    _check(EmbeddingRef(**live["embedding"]) == NEW, "the bot does not use the new model")

    console.print("[bold]4. Rolling back[/]")
    rollback = _expect(202, api.post(f"/embeddings/migration/{migration_id}/rollback"))
    _watch(api, rollback["migration"]["migration_id"], "back")
    _check(same_answers(before, bot.answers()), "the old answers are not back")
    _check(bot.fingerprint(COLLECTION, passages) == untouched, "the old collection changed")
    _check(api.get(f"/bots/{BOT}").body["collection"] == COLLECTION, "the bot row differs")
    _check(_status(api, migration_id) == "rolled_back", "the migration is not marked rolled back")
    console.print(
        f"   The same {len(QUESTIONS)} questions get the same answers, byte for byte; "
        f"all {len(passages)} rows of the old collection are unchanged."
    )
    return page


def _migrate(api: ApiClient) -> str:
    target: dict[str, Any] = NEW.canonical
    checked = _expect(200, api.post(f"/bots/{BOT}/embeddings/validate-change", target))
    _check(checked["compatible"], "validation refuses the change")
    estimate = _expect(200, api.post(f"/bots/{BOT}/embeddings/estimate-migration", target))
    console.print(
        f"   Estimate: {estimate['chunks']} chunks, {estimate['tokens']} tokens, "
        f"about {estimate['duration_seconds']:.0f} s"
    )
    started = _expect(202, api.post(f"/bots/{BOT}/embeddings/start-migration", target))
    migration_id: str = started["migration"]["migration_id"]
    _watch(api, migration_id, "forward")
    return migration_id


def _watch(api: ApiClient, migration_id: str, label: str) -> None:
    columns = (
        TextColumn("   {task.fields[phase]:<24}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.completed}/{task.total} chunks  {task.fields[rate]:.0f}/s"),
        TextColumn("{task.fields[eta]}"),
        TimeElapsedColumn(),
    )
    deadline = time.monotonic() + PATIENCE_SECONDS
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(label, total=None, phase="pending", rate=0.0, eta="")
        while True:
            seen = _expect(200, api.get(f"/embeddings/migration/{migration_id}/progress"))
            progress.update(
                task,
                total=seen["total_chunks"] or None,
                completed=seen["processed_chunks"],
                phase=seen["waiting_for"] or seen["phase"],
                rate=seen["chunks_per_second"] or seen["average_chunks_per_second"],
                eta=_eta(seen["estimated_completion"]),
            )
            if seen["finished"]:
                break
            _check(time.monotonic() < deadline, f"no end after {PATIENCE_SECONDS} s: {seen}")
            time.sleep(0.3)
    _check(seen["status"] == "completed", f"it ended {seen['status']}: {seen['errors']}")


def _eta(completion: str | None) -> str:
    return f"ETA {completion[11:19]} UTC" if completion else ""


def _show_verification(api: ApiClient) -> None:
    status = _expect(200, api.get(f"/bots/{BOT}/embeddings/migration-status"))
    report = status["migration"]["verification"]
    for check in report["checks"]:
        console.print(f"   {'✓' if check['passed'] else '✗'} {check['message']}")
    _check(all(c["passed"] for c in report["checks"]), "a verification check did not pass")


def _save_report(api: ApiClient, migration_id: str) -> Path:
    """Beside the demo's data, because the API that serves it ends with the demo."""
    page = _expect(200, api.get(f"/embeddings/migration/{migration_id}/report?format=html"))
    place = DEFAULT_DATA / "demo-report.html"
    place.write_text(page)
    return place.resolve()


def _show_answers(before: dict[str, list[Found]], after: dict[str, list[Found]]) -> None:
    table = Table(title="The first result of each question", title_justify="left")
    table.add_column("question")
    table.add_column(f"before: {OLD.dimension} dimensions")
    table.add_column(f"after: {NEW.dimension} dimensions")
    for question in QUESTIONS:
        table.add_row(question, _shown(before[question]), _shown(after[question]))
    console.print(table)


def _shown(found: list[Found]) -> str:
    return f"{found[0].id} ({found[0].score:.3f})"


def _status(api: ApiClient, migration_id: str) -> str:
    body = _expect(200, api.get(f"/embeddings/migration/{migration_id}/progress"))
    return str(body["status"])


def _expect(status: int, answer: Answer) -> Any:
    _check(answer.status == status, f"HTTP {answer.status} instead of {status}: {answer.body}")
    return answer.body


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise DemoFailed(otherwise)


if __name__ == "__main__":
    sys.exit(main())
