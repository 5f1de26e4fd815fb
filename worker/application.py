"""The Celery application and what happens when a worker starts and stops."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from celery import Celery
from celery.signals import (
    setup_logging,
    worker_init,
    worker_ready,
    worker_shutdown,
    worker_shutting_down,
)

from migrations.process.logs import configure
from migrations.settings import get_settings
from worker import broker, pool
from worker.base import MigrationTask, at_hand
from worker.revoking import cancelling_control, install

if TYPE_CHECKING:
    from migrations.bootstrap import Assembly
    from migrations.process.presence import Presence


def _cancel(migration_id: UUID) -> None:
    assembly().system.cancel_migration(migration_id, by="celery")


_control = cancelling_control(_cancel)
app = Celery("reembed", task_cls=MigrationTask, control=_control, include=["worker.tasks"])
app.config_from_object("celeryconfig")
pool.install()  # a worker's --pool is looked up before it sends any signal


@lru_cache(maxsize=1)
def assembly() -> Assembly:
    """This process's services. Commands that need none come through this module, too."""
    from migrations.bootstrap import build_system

    return build_system(get_settings(), cast("Celery", app))


@setup_logging.connect
def _configure_logging(**_: Any) -> None:
    configure(get_settings())


@worker_init.connect
def _survive_redis(**_: Any) -> None:
    broker.install()


@worker_init.connect
def _understand_revokes(**_: Any) -> None:
    install(_cancel)


@worker_init.connect
def _trace(**_: Any) -> None:
    from migrations.bootstrap import start_tracing

    start_tracing("reembed-worker")


@worker_ready.connect
def _start_watchdog(**_: Any) -> None:
    assembly().watchdog.start()


_presences: list[Presence] = []


@worker_ready.connect
def _say_that_it_is_there(sender: Any = None, **_: Any) -> None:
    from migrations.process.presence import Presence

    presence = Presence(assembly().services, str(sender.hostname), _queues, at_hand)
    _presences.append(presence)
    presence.start()


def _queues() -> list[str]:
    """Those that this worker takes from just now."""
    return [str(name) for name in app.amqp.queues.consume_from]


@worker_shutdown.connect
def _say_that_it_is_gone(**_: Any) -> None:
    for presence in _presences:
        presence.end()


@worker_ready.connect
def _load_the_rest(**_: Any) -> None:
    """Now that it is up; no daemon, because imports do not bear being cut off in the middle."""
    threading.Thread(target=assembly().load, name="reembed-loading").start()


@worker_shutting_down.connect
def _put_down_the_work(**_: Any) -> None:
    assembly().services.ending.set()
    assembly().watchdog.stop()
