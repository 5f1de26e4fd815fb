"""The vocabulary in which LangChain and others send texts to OpenAI; it comes with the package."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from migrations.model.errors import TokensUnknown


class OpenAIVocabulary:
    """Implements :class:`migrations.ports.vocabulary.Vocabulary`.

    cl100k_base: of OpenAI's embedding models, and what tiktoken takes for any model it has
    not heard of.
    """

    name = "cl100k_base"

    @cached_property
    def _encoding(self) -> Any:
        import bpe_openai  # takes a second, and only those who send ids need it

        return bpe_openai.get_encoding(self.name)

    def text_of(self, ids: Sequence[int]) -> str:
        if ids and min(ids) < 0:
            raise self._unknown(min(ids))
        try:
            read: bytes = self._encoding.decode_bytes(ids)
        except (KeyError, OverflowError) as error:
            raise self._unknown(max(ids)) from error
        return read.decode("utf-8", errors="ignore")

    def _unknown(self, example: int) -> TokensUnknown:
        return TokensUnknown(
            f"The ids are not of the vocabulary {self.name}, which ends at "
            f"{self._encoding.n_vocab - 1} ({example} was sent). Send texts instead: in LangChain "
            "by OpenAIEmbeddings(check_embedding_ctx_length=False)."
        )
