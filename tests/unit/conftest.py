"""What every unit test is given: logs that are quick to write and still readable on failure."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def plain_logs() -> Iterator[None]:
    """Rendering tracebacks richly takes longer than most of these tests."""
    before = structlog.get_config()
    plain = structlog.dev.ConsoleRenderer(
        colors=False, exception_formatter=structlog.dev.plain_traceback
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            plain,
        ]
    )
    yield
    structlog.configure(**before)
    structlog.contextvars.clear_contextvars()
