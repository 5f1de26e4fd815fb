"""The vocabulary in which LangChain and others send texts to OpenAI; it comes with a package.

Of that package only the file is read: its own decoder takes 93 MB of each process, and this
ten.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from migrations.model.errors import TokensUnknown

#: What has a number of its own, and is in no file.
_SPECIAL = {
    100257: b"<|endoftext|>",
    100258: b"<|fim_prefix|>",
    100259: b"<|fim_middle|>",
    100260: b"<|fim_suffix|>",
    100276: b"<|endofprompt|>",
}


class OpenAIVocabulary:
    """Implements :class:`migrations.ports.vocabulary.Vocabulary`.

    cl100k_base: of OpenAI's embedding models, and what tiktoken takes for any model it has
    not heard of.
    """

    name = "cl100k_base"

    @cached_property
    def _words(self) -> dict[int, bytes]:
        """Read when the first ids come: it takes a while, and only those who send ids need it."""
        found = find_spec("bpe_openai")
        (folder,) = (found and found.submodule_search_locations) or ("",)
        lines = gzip.decompress((Path(folder) / "data" / f"{self.name}.tiktoken.gz").read_bytes())
        pairs = (line.split() for line in lines.splitlines())
        return {int(number): base64.b64decode(word) for word, number in pairs} | _SPECIAL

    def text_of(self, ids: Sequence[int]) -> str:
        words = self._words
        try:
            read = b"".join([words[number] for number in ids])
        except KeyError as error:
            raise self._unknown(error.args[0]) from error
        return read.decode("utf-8", errors="ignore")

    def _unknown(self, example: int) -> TokensUnknown:
        return TokensUnknown(
            f"The ids are not of the vocabulary {self.name}, which ends at {max(self._words)} "
            f"({example} was sent). Send texts instead: in LangChain by "
            "OpenAIEmbeddings(check_embedding_ctx_length=False)."
        )
