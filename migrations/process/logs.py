"""structlog for every process: static event names, fields apart, ids bound for a task's life.

What a caller, a provider or Milvus has said may stand in a line, never begin one, move a
terminal's cursor or hide what follows: control characters are written as escapes.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable
from io import StringIO
from typing import Any, TextIO

import structlog

from migrations.process.lately import Lately
from migrations.settings import Settings

#: Control characters of both sets, line ends that are none, and marks that turn a text round.
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
#: What is said again for the same reason is said so often.
AGAIN_SECONDS = 60.0
#: More reasons than this are not remembered.
MOST_REASONS = 1_000


class Thinning:
    """Leaves out what the same migration, or nobody's, has said for the same reason lately.

    The next one that is let through says how many were not, as ``left_out``. What gives no
    ``reason`` is let through. A processor.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._lately = Lately(AGAIN_SECONDS, MOST_REASONS, monotonic)

    def __call__(
        self, _: object, __: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        if "reason" not in event:
            return event
        key = tuple(str(event.get(name)) for name in ("event", "reason", "migration_id"))
        left_out = self._lately.let_through(key)
        if left_out is None:
            raise structlog.DropEvent
        return {**event, "left_out": left_out} if left_out else event


def configure(settings: Settings) -> None:
    """Log to standard error, as key=value for people or JSON for collectors."""
    renderer: structlog.typing.Processor = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=_write_indented
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
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _make_visible,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    # Celery's line per received and finished task says less than our events and Flower do.
    for name in ("celery.worker.strategy", "celery.app.trace", "httpx", "httpx2", "openai"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _make_visible(
    _logger: Any, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Of the fields; a traceback has lines, and what is no text is written as Python shows it."""
    return {
        name: _visible(value) if isinstance(value, str) and name != "exception" else value
        for name, value in event.items()
    }


def _write_indented(to: TextIO, error: structlog.typing.ExcInfo) -> None:
    """A traceback, whose message may have lines of its own, that look like no other entry."""
    written = StringIO()
    structlog.dev.plain_traceback(written, error)
    to.writelines(f"    {_visible(line)}\n" for line in written.getvalue().split("\n"))


def _visible(text: str) -> str:
    return _INVISIBLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
