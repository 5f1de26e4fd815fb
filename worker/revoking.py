"""Revoking a task of ours cancels its migration, whoever asks: the CLI, Flower, a script.

Celery would forget a revoke when its workers restart, would not reach the tasks
a chain has not sent yet, and cannot terminate a thread. So for ids and stamps of
ours the request is turned into the durable cancel, and Celery's own command
sees only the rest.

Who asks by this application (the CLI with ``-A worker``, our Flower) has it written
down before it is broadcast, see :func:`cancelling_control`: a broadcast that no
worker hears is gone. Every worker that hears one, from whomever, does the same
again; the guarded update in the state store makes one of them the one that cancels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID

import structlog
from celery.app.control import Control
from celery.worker.control import Panel

from migrations.model.errors import MigrationNotFound, ReembedError
from migrations.model.task_names import migration_of

log = structlog.get_logger(__name__)

#: The header every task of ours is stamped with.
STAMP = "migration_id"

Command = Callable[..., Any]
#: Cancels a migration; raises a ReembedError whose sentence is the answer.
Cancel = Callable[[UUID], Any]


def cancelling_control(cancel: Cancel) -> type[Control]:
    """Celery's remote control, which cancels before it broadcasts.

    What a migration refuses is left to the workers' replies.
    """

    class CancellingControl(Control):
        def broadcast(
            self, command: str, arguments: Mapping[str, Any] | None = None, *rest: Any, **more: Any
        ) -> Any:
            for migration_id in _named(command, {**(arguments or {}), **more}):
                with suppress(MigrationNotFound):
                    _cancelled(cancel, migration_id)
            return super().broadcast(command, arguments, *rest, **more)

    return CancellingControl


def _named(command: str, arguments: Mapping[str, Any]) -> list[UUID]:
    """The migrations a command wants to end, if they are ours."""
    if command in ("revoke", "terminate"):
        ids = _as_list(arguments.get("task_id"))
    elif command == "revoke_by_stamped_headers":
        ids = _as_list(_as_mapping(arguments.get("headers") or {}).get(STAMP))
    else:
        return []
    found = map(migration_of, ids)
    return list(dict.fromkeys(one for one in found if one is not None))


def install(cancel: Cancel) -> None:
    """Put our understanding in front of Celery's three revoking commands."""
    revoke = Panel.data["revoke"]
    by_stamp = Panel.data["revoke_by_stamped_headers"]

    def understood_revoke(state: Any, task_id: Any, terminate: bool = False, **more: Any) -> Any:
        return _revoke(cancel, revoke, state, task_id, terminate=terminate, **more)

    def understood_terminate(state: Any, signal: Any, task_id: Any, **more: Any) -> Any:
        return understood_revoke(state, task_id, terminate=True, signal=signal, **more)

    def understood_stamps(state: Any, headers: Any, **more: Any) -> Any:
        named = _as_mapping(headers)
        ours = _as_list(named.pop(STAMP, []))
        answers = [_cancelled_by_stamp(cancel, stamp) for stamp in ours]
        return _answer(answers, by_stamp(state, named, **more) if named else None)

    for command in (understood_revoke, understood_terminate, understood_stamps):
        command.__doc__ = "Cancel a migration, or revoke a task that is not ours."
    Panel.data.update(
        revoke=understood_revoke,
        terminate=understood_terminate,
        revoke_by_stamped_headers=understood_stamps,
    )


def _revoke(cancel: Cancel, celerys: Command, state: Any, task_id: Any, **more: Any) -> Any:
    answers: list[str] = []
    rest: list[str] = []
    for some_id in _as_list(task_id):
        migration_id = migration_of(some_id)
        try:
            if migration_id is None:
                raise MigrationNotFound
            answers.append(_cancelled(cancel, migration_id))
        except MigrationNotFound:  # another application's task; its ids may be UUIDs too
            rest.append(some_id)
    answers += [_not_ours(some_id) for some_id in rest]
    return _answer(answers, celerys(state, rest, **more) if rest else None)


def _not_ours(some_id: str) -> str:
    log.warning("revoke_of_no_migration", id=some_id)
    return f"{some_id} is no migration, nor a task of one; Celery is told to revoke such a task"


def _cancelled(cancel: Cancel, migration_id: UUID) -> str:
    try:
        cancel(migration_id)
    except MigrationNotFound:
        raise
    except ReembedError as refusal:
        log.warning("revoke_refused", migration_id=str(migration_id), reason=refusal.message)
        return f"migration {migration_id}: {refusal.message}"
    return f"migration {migration_id} is being rolled back"


def _cancelled_by_stamp(cancel: Cancel, stamp: str) -> str:
    migration_id = migration_of(stamp)
    try:
        if migration_id is None:
            raise MigrationNotFound
        return _cancelled(cancel, migration_id)
    except MigrationNotFound:
        return f"there is no migration {stamp}"


def _answer(ours: Iterable[str], celerys: Any) -> Any:
    sentences = list(ours)
    if not sentences:
        return celerys if celerys is not None else {"error": "nothing to revoke was named"}
    if celerys is not None:
        sentences.append(str(celerys.get("ok", celerys)))
    return {"ok": "; ".join(sentences)}


def _as_list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or [])


def _as_mapping(headers: Any) -> dict[str, Any]:
    if isinstance(headers, Mapping):
        return dict(headers)
    return dict(pair.split("=", 1) for pair in headers)
