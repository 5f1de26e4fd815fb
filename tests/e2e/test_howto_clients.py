"""The applications of the how-to, as printed but for addresses, find what they ask for."""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any

import pytest
import tiktoken
from bpe_openai import get_encoding

from devstack.stack import PROJECT
from tests.harness.bots import BotHandle
from tests.harness.world import LARGE, World

PAGE = (PROJECT / "docs" / "howto" / "clients.md").read_text()
#: {heading: code}
APPLICATIONS = dict(re.findall(r"^## ([^\n]+)\n[^#]*?```python\n(.*?)```", PAGE, re.DOTALL | re.M))


@pytest.fixture(autouse=True)
def vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    """What LangChain would fetch over the network at its first question."""
    monkeypatch.setattr(tiktoken, "get_encoding", get_encoding)


def application(world: World, bot: BotHandle, code: str) -> Any:
    ours = {
        "http://127.0.0.1:8000": world.url,
        "http://127.0.0.1:19530": world.servers.milvus_url,
        "reembed_…": world.owner_token,
        '"docs"': f'"{bot.alias}"',
    }
    for theirs, mine in ours.items():
        assert theirs in code
        code = code.replace(theirs, mine)
    module = ModuleType("application")
    exec(code, vars(module))  # noqa: S102  # our own page
    return module


def test_the_applications_of_the_page_find_their_chunk_before_and_after(world: World) -> None:
    assert {"OpenAI's client", "LangChain", "Haystack", "Plain HTTP"} == set(APPLICATIONS)
    bot = world.seed_bot(30)
    there = {name: application(world, bot, code) for name, code in APPLICATIONS.items()}
    text = next(iter(bot.history.initial.values()))
    wanted = dict.fromkeys(there, text)
    assert wanted == {name: one.ask(text)[0] for name, one in there.items()}
    run = bot.migrate(LARGE)
    assert wanted == {name: one.ask(text)[0] for name, one in there.items()}
    run.roll_back().ends("completed")
    assert wanted == {name: one.ask(text)[0] for name, one in there.items()}
