"""structlog for every process: static event names, fields apart, ids bound for a task's life."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable

import structlog

from migrations.settings import Settings

#: What is said again for the same reason is said so often.
AGAIN_SECONDS = 60.0
#: More reasons than this are not remembered.
MOST_REASONS = 1_000


class Thinning:
    """Leaves out what the same migration, or nobody's, has said for the same reason lately.

    The next one that is let through says how many were not, as ``left_out``. What gives no
    ``reason`` is let through. A processor; threads may share it, and may then miscount by one.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        #: When it was last said, and how many were left out since.
        self._said: dict[tuple[str, ...], tuple[float, int]] = {}

    def __call__(
        self, _: object, __: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        if "reason" not in event:
            return event
        key = tuple(str(event.get(name)) for name in ("event", "reason", "migration_id"))
        now = self._monotonic()
        last, left_out = self._said.get(key, (now - AGAIN_SECONDS, 0))
        if now - last < AGAIN_SECONDS:
            self._said[key] = last, left_out + 1
            raise structlog.DropEvent
        if len(self._said) >= MOST_REASONS:
            self._said.clear()
        self._said[key] = now, 0
        return {**event, "left_out": left_out} if left_out else event


def configure(settings: Settings) -> None:
    """Log to standard error, as key=value for people or JSON for collectors."""
    renderer: structlog.typing.Processor = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if settings.log_format == "json":
        shared.append(structlog.processors.format_exc_info)
        renderer = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            Thinning(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processor=renderer)
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    # Celery's line per received and finished task says less than our events and Flower do.
    for name in ("celery.worker.strategy", "celery.app.trace", "httpx", "httpx2", "openai"):
        logging.getLogger(name).setLevel(logging.WARNING)
