"""What the applications' tests share: packages at work, and room for many runs at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.applications.verdicts import PACKAGES


@pytest.fixture(scope="session", autouse=True)
def packages() -> Iterator[None]:
    """Each starts when it is asked first."""
    yield
    for package in PACKAGES:
        package.stop()


@pytest.fixture(scope="session")
def settings_for_many() -> dict[str, str]:
    """No test dies here, and many runs go at once: looking for the dead would cost more."""
    return {
        "REEMBED_MAX_MIGRATIONS_PER_OWNER": "50",
        "REEMBED_MAX_CONCURRENT_MIGRATIONS": "50",
        "REEMBED_HEARTBEAT_SECONDS": "3",
        "REEMBED_STALLED_AFTER_SECONDS": "30",
        "REEMBED_WATCH_EVERY_SECONDS": "2",
    }
