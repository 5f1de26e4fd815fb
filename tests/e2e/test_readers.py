"""Applications that search through the API, or follow the live triple, notice no switch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from itertools import cycle
from typing import Any

from migrations.adapters.milvus.client import CHANNEL_OPTIONS
from migrations.model.config import AS_IT_COMES, EmbeddingRef
from migrations.model.roles import TextRole
from tests.harness import howto, rows
from tests.harness.world import IN_ROLES, OWNER, SMALL, World


def embed(embedding: dict[str, Any], text: str, parameters: dict[str, Any]) -> Sequence[float]:
    """What the stub provider answers, without asking it."""
    model = parameters.get("model", embedding["model"])
    ref = EmbeddingRef(
        provider=embedding["provider"], model=model, dimension=embedding["dimension"]
    )
    return [float(x) for x in rows.embedded(ref, [text], TextRole(parameters=parameters))[0]]


class Asking:
    """Asks for known chunks by their own text until it is left; in a thread of its own."""

    def __init__(self, texts: dict[str, str], ask: Callable[[str], tuple[str, Any]]) -> None:
        self.wrong: list[str] = []
        #: Of what the answers were.
        self.seen: list[Any] = []
        self._texts, self._ask = texts, ask
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_asking)

    def __enter__(self) -> Asking:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _keep_asking(self) -> None:
        for key, text in cycle(self._texts.items()):
            if self._ended.wait(0.02):  # the others need the processor too
                return
            self.ask(key, text)

    def ask(self, key: str, text: str) -> None:
        try:
            found, of = self._ask(text)
        except Exception as error:
            self.wrong.append(repr(error))
            return
        self.seen.append(of)
        if found != key:
            self.wrong.append(f"{found} instead of {key} by {of}")


def test_who_searches_and_who_follows_is_answered_through_a_switch_and_a_rollback(
    world: World,
) -> None:
    bot = world.seed_bot(60)
    url, token, milvus = (
        f"{world.url}/bots/{bot.bot_id}",
        world.token(OWNER),
        # With pings as milvus-lite permits them: it ends the connection of who sends more.
        {"uri": world.servers.milvus_url, "grpc_options": CHANNEL_OPTIONS},
    )
    texts = dict(bot.history.initial)
    searching = howto.run(howto.pieces("searching.md")["The call"])
    following = howto.run(howto.pieces("following.md")["The follower"])
    with (
        closing(searching.Bot(url, token)) as client,
        closing(following.LiveBot(url, token, milvus, embed)) as follower,
    ):

        def search(text: str) -> tuple[str, Any]:
            answer = client.search(text, limit=1)
            (hit,) = answer["results"][0]["hits"]
            assert (text, text) == (hit["text"], hit["fields"]["text"])
            return hit["key"], (answer["generation"], answer["collection"], answer["fingerprint"])

        def follow(text: str) -> tuple[str, Any]:
            (hit,) = follower.search(text, k=1)
            return hit["id"], follower.live["generation"]

        searches, follows = [Asking(texts, search) for _ in range(2)], Asking(texts, follow)
        with ExitStack() as asking:
            for one in (*searches, follows):
                asking.enter_context(one)
            run = bot.start(IN_ROLES.in_manner(AS_IT_COMES), batch_size=10)
            run.ends("completed")
            run.roll_back().ends("completed")
        while follower.live["generation"] < 3:
            follower.look(wait=10)
        for key, text in texts.items():
            follows.ask(key, text)
            searches[0].ask(key, text)
        text = next(iter(texts.values()))
        assert [text] == client.texts(text, k=1)

    assert [] == [wrong for one in (*searches, follows) for wrong in one.wrong]
    answered = {seen for one in searches for seen in one.seen}
    assert {1, 2, 3} == {generation for generation, *_ in answered}
    assert 3 == len(answered), "a mixed pair"
    assert {1, 3} <= set(follows.seen)
    assert (bot.collection, SMALL) == bot.pair()
