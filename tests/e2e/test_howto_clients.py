"""The applications of the how-to, as printed but for addresses, find what they ask for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness import howto
from tests.harness.alias_readers import as_applications_are
from tests.harness.bots import BotHandle
from tests.harness.world import LARGE, World

APPLICATIONS = howto.pieces("clients.md")


@pytest.fixture(autouse=True)
def applications() -> Iterator[None]:
    with as_applications_are():
        yield


def application(world: World, bot: BotHandle, code: str) -> Any:
    ours = {
        "http://127.0.0.1:8000": world.url,
        "http://127.0.0.1:19530": world.servers.milvus_url,
        "reembed_…": world.chatbot_token,
        '"docs"': f'"{bot.alias}"',
    }
    return howto.run(howto.addressed(code, ours))


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
