"""Applications that embed and search by the alias do not notice a switch, nor the way back."""

from __future__ import annotations

import pytest
import tiktoken
from bpe_openai import get_encoding

from tests.harness.world import World
from tests.scenarios import alias_readers


@pytest.fixture
def vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    """What LangChain would fetch over the network at its first question."""
    monkeypatch.setattr(tiktoken, "get_encoding", get_encoding)


@pytest.mark.usefixtures("vocabulary")
def test_applications_that_know_the_alias_alone_never_notice(world: World) -> None:
    _, readers = alias_readers.never_notice(world, switches=2, rollbacks=1)
    readers.assert_all_right()
