"""A LangChain application, as the how-to has it, asks a bot that goes away and comes back."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Sequence
from itertools import cycle
from types import ModuleType
from typing import Any

import pytest
from langchain_core.embeddings import Embeddings

from devstack.stack import PROJECT
from migrations.model.config import AS_IT_COMES, EmbeddingRef
from migrations.model.roles import TextRole
from tests.harness import rows
from tests.harness.world import IN_ROLES, OWNER, SMALL, World

HOW_TO = PROJECT / "docs" / "howto" / "langchain.md"


class Embedded(Embeddings):
    """What the stub provider answers, without asking it."""

    def __init__(
        self, provider: str, model: str, dimension: int, parameters: dict[str, Any]
    ) -> None:
        self._ref = EmbeddingRef(provider=provider, model=model, dimension=dimension)
        self._role = TextRole(parameters=parameters)

    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        return rows.embedded(self._ref, list(texts), self._role).tolist()

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


@pytest.fixture
def how_to(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The page's first piece of code, as a module."""
    (code, *_) = re.findall(r"```python\n(.*?)```", HOW_TO.read_text(), re.DOTALL)
    module = ModuleType("how_to")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # pydantic looks names up there
    exec(code, vars(module))  # noqa: S102  # our own page
    return module


def test_the_retriever_of_the_how_to_answers_all_the_while(world: World, how_to: Any) -> None:
    bot = world.seed_bot(60)
    retriever = how_to.LiveRetriever(
        bot_url=f"{world.url}/bots/{bot.bot_id}",
        token=world.token(OWNER),
        milvus={"uri": world.servers.milvus_url},
        embeddings_of=Embedded,
        k=1,
    )
    texts = list(bot.history.initial.values())
    generations, wrong, ended = set(), [], threading.Event()

    def ask(text: str) -> None:
        try:
            found = [document.page_content for document in retriever.invoke(text)]
        except Exception as error:
            found = [repr(error)]
        if found != [text]:
            wrong.append((text, found))
        generations.add(retriever._built[0][0])

    def keep_asking() -> None:
        for text in cycle(texts):
            if ended.wait(0.02):  # the others need the processor too
                return
            ask(text)

    ask(texts[0])
    application = threading.Thread(target=keep_asking)
    application.start()
    try:
        run = bot.start(IN_ROLES.in_manner(AS_IT_COMES), batch_size=10)
        run.ends("completed")
        assert IN_ROLES == bot.pair()[1], "the known roles were not taken"
        run.roll_back().ends("completed")
    finally:
        ended.set()
        application.join()
    for text in texts:
        ask(text)
    retriever._api.close()

    assert [] == wrong
    assert {1, 2, 3} == generations
    assert SMALL == bot.pair()[1]
