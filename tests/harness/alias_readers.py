"""Applications that know a bot's alias alone: they embed by it and search Milvus by it.

LlamaIndex, whose vector store finds no alias, knows the bot's id and searches through us.

Each asks for known chunks by their own text, as its library comes, again and again. An answer
is right when it is the chunk that was asked for; any other is of a vector and a collection
that do not belong together, where the stub's models find nothing alike.
"""

from __future__ import annotations

import base64
import gc
import json
import subprocess
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy as np
import openai
import pytest
import tiktoken
from bpe_openai import get_encoding
from haystack.components.embedders import OpenAITextEmbedder
from haystack.utils import Secret
from langchain_milvus import Milvus
from langchain_openai import OpenAIEmbeddings
from milvus_haystack import MilvusDocumentStore, MilvusEmbeddingRetriever

from migrations.adapters.milvus.client import CHANNEL_OPTIONS
from tests.applications.packages import THEIRS
from tests.harness import howto
from tests.harness.rows import TIMEOUT_SECONDS, connect


@contextmanager
def as_applications_are() -> Iterator[None]:
    """For their libraries: no network for the vocabulary, and no word of connections left open."""
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(tiktoken, "get_encoding", get_encoding)
        yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


#: From a question to the key of the chunk that was found.
Ask = Callable[[str], str | None]


@dataclass(frozen=True)
class Address:
    """What such an application has in its configuration."""

    base_url: str
    token: str
    milvus_url: str
    alias: str
    #: As the client comes.
    max_retries: int = 2

    def client(self) -> openai.OpenAI:
        return openai.OpenAI(
            base_url=self.base_url, api_key=self.token, max_retries=self.max_retries
        )


def plain(address: Address, encoding: str) -> Ask:
    """OpenAI's client and pymilvus."""
    client, milvus = address.client(), connect(address.milvus_url)

    def ask(text: str) -> str | None:
        given = client.embeddings.create(
            model=address.alias,
            input=text,
            encoding_format=encoding,  # type: ignore[arg-type]  # one of two
        )
        vector: Any = given.data[0].embedding
        if encoding == "base64":
            vector = np.frombuffer(base64.b64decode(vector), "<f4")
        found = milvus.search(address.alias, data=[vector], limit=1, timeout=TIMEOUT_SECONDS)[0]
        return str(found[0]["id"]) if found else None

    return ask


def _connection(address: Address) -> dict[str, Any]:
    """With pings as milvus-lite permits them: it ends the connection of who sends more."""
    return {"uri": address.milvus_url, "grpc_options": CHANNEL_OPTIONS}


def langchain(address: Address, keys_of: Mapping[str, str]) -> Ask:
    """A LangChain application as its documentation has it; token ids are its default."""
    store = Milvus(
        OpenAIEmbeddings(
            base_url=address.base_url,
            api_key=address.token,  # type: ignore[arg-type]  # it is made a secret
            model=address.alias,
            max_retries=address.max_retries,
        ),
        collection_name=address.alias,
        connection_args=_connection(address),
        primary_field="id",
        text_field="text",
        vector_field="vector",
    )

    def ask(text: str) -> str | None:
        found = store.similarity_search(text, k=1)
        return keys_of.get(found[0].page_content) if found else None

    return ask


def haystack(address: Address, keys_of: Mapping[str, str]) -> Ask:
    """A Haystack application; texts are its default."""
    embedder = OpenAITextEmbedder(
        api_key=Secret.from_token(address.token),
        api_base_url=address.base_url,
        model=address.alias,
        max_retries=address.max_retries,
    )
    retriever = MilvusEmbeddingRetriever(
        MilvusDocumentStore(
            collection_name=address.alias,
            connection_args=_connection(address),
            primary_field="id",
            text_field="text",
            vector_field="vector",
        ),
        top_k=1,
    )

    def ask(text: str) -> str | None:
        found = retriever.run(embedder.run(text)["embedding"])["documents"]
        return keys_of.get(found[0].content) if found else None

    return ask


#: After the how-to's piece of code: one question a line, one answer a line.
_ANSWERS = """
import json, sys

for line in sys.stdin:
    found = retriever.retrieve(json.loads(line))
    print(json.dumps(found[0].text if found else None), flush=True)
"""


@contextmanager
def llamaindex(bot_url: str, token: str, keys_of: Mapping[str, str]) -> Iterator[Ask]:
    """A LlamaIndex application, which searches through us, in its own environment."""
    addresses = {"http://127.0.0.1:8000/bots/docs": bot_url, "reembed_…": token}
    code = howto.addressed(howto.pieces("searching.md")["From LlamaIndex"], addresses)
    with subprocess.Popen(
        [THEIRS, "-c", code + _ANSWERS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        questions, answers = process.stdin, process.stdout

        def ask(text: str) -> str | None:
            print(json.dumps(text), file=questions, flush=True)
            answer = answers.readline()
            assert answer, "the application has ended"
            return keys_of.get(json.loads(answer))

        yield ask
        questions.close()


@dataclass
class AliasReaders:
    """One thread for each application; a context manager."""

    asks: Mapping[str, Ask]
    #: {key: text}
    texts: Mapping[str, str]
    pause_seconds: float = 0.01
    answered: Counter[str] = field(default_factory=Counter)
    #: Who asked: a sentence.
    failed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    #: Seconds of the longest answer, by application.
    longest: dict[str, float] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=one) for one in self.asks.items()]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(4 * TIMEOUT_SECONDS)

    def assert_all_right(self) -> None:
        assert not self.wrong, self.wrong[:3]
        assert not self.failed, self.failed[:3]
        assert all(self.answered[name] for name in self.asks), self.answered

    def _run(self, name: str, ask: Ask) -> None:
        texts = list(self.texts.items())
        while not self._stopped.wait(self.pause_seconds):
            key, text = texts[7 * self.answered[name] % len(texts)]
            begun = time.monotonic()
            try:
                found = ask(text)
            except Exception as error:
                self.failed.append(f"{name}: {type(error).__name__}: {error}"[:300])
                continue
            finally:
                took = time.monotonic() - begun
                self.longest[name] = max(took, self.longest.get(name, 0.0))
            if found == key:
                self.answered[name] += 1
            else:
                self.wrong.append(f"{name}: asked for {key}, answered {found}")
