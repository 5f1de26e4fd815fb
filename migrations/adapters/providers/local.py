"""The model in this process: wordllama's token table, pooled; no key, no network."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from migrations.adapters.providers.catalogue import LOCAL_DIMENSIONS
from migrations.model.chunks import Embedded, Vectors
from migrations.model.config import EmbeddingRef
from migrations.model.errors import InvalidConfiguration, TextRefused
from migrations.model.roles import PLAIN, TextRole


class LocalModel:
    """The tokenizer and one token table for each dimension, loaded at first use.

    Reading them is safe from many threads: both are only read after loading,
    and the tokenizer's work happens outside Python on values of its own. A
    forked child inherits them as memory, which needs no care.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._tokenizer: Any = None
        self._tables: dict[int, Vectors] = {}

    def count_tokens(self, text: str) -> int:
        return len(self.token_ids([text])[0])

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, not padded.

        Raises:
            TextRefused: a text that is no Unicode.
        """
        self._load()
        try:
            encoded = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        except TypeError as error:
            raise TextRefused("A text holds half a surrogate pair and is no Unicode.") from error
        return [one.ids for one in encoded]

    def table(self, dimension: int) -> Vectors:
        """The token vectors, float32, shape (vocabulary, dimension).

        Raises:
            InvalidConfiguration: no such dimension, or wordllama is not installed.
        """
        if dimension not in LOCAL_DIMENSIONS:
            raise InvalidConfiguration(f"The local model has {LOCAL_DIMENSIONS} dimensions.")
        self._load()
        return self._tables[dimension]

    def _load(self) -> None:
        if self._pid != os.getpid():  # the lock may have been held at the fork
            self._lock, self._pid = threading.Lock(), os.getpid()
        with self._lock:
            if self._tokenizer is None:
                model = _load_wordllama()
                # Cutting a trained-for-it table is all that trunc_dim does.
                full: Vectors = model.embedding
                self._tables = {d: np.ascontiguousarray(full[:, :d]) for d in LOCAL_DIMENSIONS}
                model.tokenizer.no_padding()
                # The tokenizer remembers words, and never stops growing: some 3 bytes for each new
                # one (tokenizers 0.23). Without that it takes a tenth more time, of little.
                model.tokenizer.model._resize_cache(0)
                self._tokenizer = model.tokenizer


def _load_wordllama() -> Any:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        import wordllama
    except ImportError as error:
        raise InvalidConfiguration(
            "The provider 'local' needs the package wordllama: pip install 'reembed[local]'."
        ) from error
    finally:
        # Importing wordllama calls logging.basicConfig, which would print every
        # library's INFO lines and make later configuration of ours do nothing.
        root.handlers[:], root.level = handlers, level
    return wordllama.WordLlama.load(
        cache_dir=Path(wordllama.__file__).parent,
        trunc_dim=max(LOCAL_DIMENSIONS),
        disable_download=True,
    )


class LocalEmbedder:
    """See :class:`migrations.ports.embedders.Embedder`.

    A text's vector is the sum of its token vectors brought to length 1. Each
    text is pooled by itself: wordllama's own ``embed`` pads a batch to its
    longest text, so that one long text costs 63 neighbours its length in
    memory, and what a text gets would rest on adding zeros being exact.
    Length 1 because a collection may be searched by COSINE, IP or L2 and only
    for unit vectors do the three agree; OpenAI's are unit vectors too.
    """

    def __init__(self, ref: EmbeddingRef, model: LocalModel, role: TextRole = PLAIN) -> None:
        if role.parameters:
            raise InvalidConfiguration("The local model takes no parameters; state none of a role.")
        self._ref = ref
        self._role = role
        self._model = model
        model.table(ref.dimension)  # a missing wordllama or a wrong dimension shows here

    @property
    def ref(self) -> EmbeddingRef:
        return self._ref

    @property
    def role(self) -> TextRole:
        return self._role

    def __repr__(self) -> str:
        return f"LocalEmbedder({self._ref})"

    def requests(self, texts: Sequence[str]) -> Sequence[slice]:
        return (slice(0, len(texts)),)

    def embed(self, texts: Sequence[str]) -> Embedded:
        """See the Protocol; TextRefused for a text without tokens, which has no vector."""
        table = self._model.table(self._ref.dimension)
        vectors = np.empty((len(texts), self._ref.dimension), dtype=np.float32)
        tokens = 0
        for position, ids in enumerate(self._model.token_ids(self._role.around_all(texts))):
            if not ids:
                raise TextRefused(
                    f"Text {position} is empty and has no embedding.", position=position
                )
            pooled = table[ids].sum(axis=0)
            vectors[position] = pooled / np.sqrt(np.square(pooled).sum())
            tokens += len(ids)
        return Embedded(vectors, tokens)

    def ask(self, texts: Sequence[str]) -> Callable[[], Embedded]:
        embedded = self.embed(texts)
        return lambda: embedded
