"""Applications that embed and search by the alias do not notice a switch, nor the way back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.alias_readers import as_applications_are
from tests.harness.world import World
from tests.scenarios import alias_readers


@pytest.fixture(autouse=True)
def applications() -> Iterator[None]:
    with as_applications_are():
        yield


def test_applications_that_know_the_alias_alone_never_notice(world: World) -> None:
    # Not even those whose clients ask once: who comes at a bad moment waits.
    _, readers = alias_readers.never_notice(world, switches=2, rollbacks=1, max_retries=0)
    readers.assert_all_right()
