"""Embedding over HTTP: OpenAI, and every provider that speaks its protocol."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx2
import numpy as np
import openai
import orjson

from migrations.adapters.providers.catalogue import OPENAI_PROVIDER
from migrations.adapters.providers.keys import read_key, scrub
from migrations.adapters.providers.rate_headers import rate_limit_headers
from migrations.adapters.providers.response_vectors import decode_response
from migrations.adapters.providers.tokens import estimate_tokens, pack
from migrations.adapters.providers.vectors import check_vectors
from migrations.adapters.providers.vendor_errors import refusal, reword, translate
from migrations.model.chunks import Embedded
from migrations.model.config import EmbeddingRef
from migrations.model.errors import InvalidVectors, ProviderUnavailable, TextRefused
from migrations.model.roles import PLAIN, TextRole

#: Told (provider, headers) after every answer, refusals included; only the
#: headers about limits are given. Called on the embedding thread, so it must be quick.
OnHeaders = Callable[[str, Mapping[str, str]], None]

#: A host that does not even accept the connection is not worth the whole timeout.
_CONNECT_SECONDS = 5.0

_ACCOUNT_HEADERS = ("OpenAI-Organization", "OpenAI-Project")


#: Stands for the key in the value of a header.
KEY_PLACE = "{key}"


@dataclass(frozen=True)
class Shape:
    """What a provider wants in a request beside OpenAI's own fields."""

    #: None leaves one out.
    headers: Mapping[str, str | None] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    #: None leaves a field out.
    body: Mapping[str, Any] = field(default_factory=dict)
    encoding_format: str = "auto"


@dataclass(frozen=True)
class Endpoint:
    """Where one provider is reached. ``key_variable`` names the variable, never holds the key."""

    provider: str
    base_url: str
    key_variable: str
    timeout_seconds: float
    max_inputs_per_request: int
    max_tokens_per_request: int
    shape: Shape = field(default_factory=Shape)


class Connection:
    """One provider's HTTP client, made at first use in each process and shared by its threads."""

    def __init__(self, endpoint: Endpoint, on_headers: OnHeaders | None = None) -> None:
        self.endpoint = endpoint
        self._on_headers = on_headers
        # The client sends OPENAI_ORG_ID and OPENAI_PROJECT_ID to whomever it talks to.
        names = () if endpoint.provider == OPENAI_PROVIDER else _ACCOUNT_HEADERS
        self._left_out = dict.fromkeys(names, openai.omit)
        #: None is not said. As auto, base64 is tried until it was answered or refused.
        self._format: str | None = {"auto": "base64", "none": None}.get(
            endpoint.shape.encoding_format, endpoint.shape.encoding_format
        )
        self._format_is_sure = endpoint.shape.encoding_format != "auto"
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._client: openai.OpenAI | None = None
        self._of_parents: list[openai.OpenAI | None] = []

    def __repr__(self) -> str:
        return f"Connection({self.endpoint.provider!r}, {self.endpoint.base_url!r})"

    def client(self) -> openai.OpenAI:
        """This process's client.

        Raises:
            ProviderKeyMissing, InvalidConfiguration: see :func:`read_key`.
        """
        if self._pid != os.getpid():
            self._forked()
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def close(self) -> None:
        """Close this process's client; the next call makes another."""
        if self._pid == os.getpid():
            with self._lock:
                client, self._client = self._client, None
            if client is not None:
                client.close()

    def _forked(self) -> None:
        """Begin anew in a child: sockets shared with the parent would mix up answers.

        The parent's client is kept, not closed, since closing may speak on its
        sockets; the lock is new because another thread may have held it at the fork.
        """
        self._of_parents.append(self._client)
        self._client, self._lock, self._pid = None, threading.Lock(), os.getpid()

    def _connect(self) -> openai.OpenAI:
        endpoint = self.endpoint
        total = endpoint.timeout_seconds
        return openai.OpenAI(
            api_key=read_key(endpoint.provider, endpoint.key_variable),
            base_url=endpoint.base_url,
            timeout=openai.Timeout(total, connect=min(_CONNECT_SECONDS, total)),
            max_retries=0,  # the domain retries: it knows the budget and who else waits
        )

    def post(
        self,
        ref: EmbeddingRef,
        texts: Sequence[str],
        dimensions: int | None,
        parameters: Mapping[str, Any],
    ) -> bytes:
        """One request; the body of its answer. ``parameters`` are those of the texts' role.

        Raises:
            ReembedError: the domain's error for whatever the provider answered,
                with the vendor's error as cause and no key anywhere in it.
        """
        client, shape = self.client(), self.endpoint.shape
        request: dict[str, object] = {
            "model": ref.model,
            "input": list(texts),
            "encoding_format": self._format,
            "dimensions": dimensions,
        }
        request |= {**shape.body, **parameters}
        try:
            # Not client.embeddings: it looks at each text for what its type hints say of it,
            # which takes nearly as long as all that the connection does.
            response = client.post(
                "/embeddings",
                content=orjson.dumps({k: v for k, v in request.items() if v is not None}),
                options={"headers": self._headers(client.api_key), "params": dict(shape.query)},
                cast_to=httpx2.Response,
            )
        except openai.OpenAIError as error:
            if isinstance(error, openai.APIStatusError):
                self._tell(error.response.headers)
            said = translate(error, ref, client.api_key, texts)
            scrub(error, client.api_key)
            reword(error, said.message)
            if isinstance(said, TextRefused):
                self._doubt_format(request["encoding_format"], said)
            raise said from error
        except orjson.JSONEncodeError as error:
            raise TextRefused("A text holds half a surrogate pair and is no Unicode.") from error
        self._tell(response.headers)
        self._format_is_sure = True
        return response.content

    def _headers(self, key: str) -> dict[str, Any]:
        own = self.endpoint.shape.headers
        return self._left_out | {
            name: openai.omit if value is None else value.replace(KEY_PLACE, key)
            for name, value in own.items()
        }

    def _doubt_format(self, refused: object, said: TextRefused) -> None:
        """Raises ProviderUnavailable, for another try, where base64 may have been what was refused.

        It was not where it was answered before, or where a request without it is refused, too.
        """
        if self._format_is_sure:
            return
        if refused is None:
            self._format, self._format_is_sure = "base64", True
            return
        self._format = None
        raise ProviderUnavailable(
            f"{said.message} It is asked again without encoding_format.", **said.details
        ) from said

    def decode(
        self, body: bytes, texts: Sequence[str], ref: EmbeddingRef, dimension: int | None
    ) -> Embedded:
        """The vectors of an answer's body. Raises the domain's error when it holds others or none.

        The error says what the answer is billed with.
        """
        source = f"{ref.provider}/{ref.model}"
        try:
            answer = decode_response(
                body,
                count=len(texts),
                dimension=dimension,
                estimate=lambda: sum(map(estimate_tokens, texts)),
                source=source,
            )
        except ProviderUnavailable as none:
            error = refusal(200, body, ref, self.client().api_key, texts)
            error.billed_tokens = none.billed_tokens
            raise error from none
        try:
            check_vectors(answer.vectors, source)
        except InvalidVectors as error:
            error.billed_tokens = answer.tokens
            raise
        return answer

    def _tell(self, headers: Mapping[str, str]) -> None:
        if self._on_headers is not None:
            self._on_headers(self.endpoint.provider, rate_limit_headers(headers))


class ProtocolEmbedder:
    """One model of one provider; see :class:`migrations.ports.embedders.Embedder`."""

    def __init__(
        self,
        ref: EmbeddingRef,
        connection: Connection,
        *,
        sends_dimensions: bool,
        role: TextRole = PLAIN,
    ) -> None:
        self._ref = ref
        self._role = role
        self._connection = connection
        self._dimensions = ref.dimension if sends_dimensions else None
        self._expected: int | None = ref.dimension

    @property
    def ref(self) -> EmbeddingRef:
        return self._ref

    @property
    def role(self) -> TextRole:
        return self._role

    def __repr__(self) -> str:
        return f"ProtocolEmbedder({self._ref})"

    def requests(self, texts: Sequence[str]) -> Sequence[slice]:
        return self._requests(self._role.around_all(texts))

    def _requests(self, sent: Sequence[str]) -> Sequence[slice]:
        endpoint = self._connection.endpoint
        return tuple(pack(sent, endpoint.max_inputs_per_request, endpoint.max_tokens_per_request))

    def embed(self, texts: Sequence[str]) -> Embedded:
        return self.ask(texts)()

    def ask(self, texts: Sequence[str]) -> Callable[[], Embedded]:
        sent = self._role.around_all(texts)
        parts = [sent[part] for part in self._requests(sent)] if sent else []
        told = self._role.parameters
        bodies = [self._connection.post(self._ref, part, self._dimensions, told) for part in parts]
        return partial(self._read, parts, bodies)

    def _read(self, parts: Sequence[Sequence[str]], bodies: Sequence[bytes]) -> Embedded:
        if not parts:
            return Embedded(np.empty((0, self._ref.dimension), dtype=np.float32), 0)
        answers = [
            self._connection.decode(body, part, self._ref, self._expected)
            for part, body in zip(parts, bodies, strict=True)
        ]
        if len(answers) == 1:
            return answers[0]
        return Embedded(
            np.concatenate([answer.vectors for answer in answers]),
            sum(answer.tokens for answer in answers),
        )


class OwnDimensionEmbedder(ProtocolEmbedder):
    """A model that is not told any dimension; ``learn`` hears which one it answers with."""

    def __init__(
        self, ref: EmbeddingRef, connection: Connection, learn: Callable[[EmbeddingRef, int], None]
    ) -> None:
        super().__init__(ref, connection, sends_dimensions=False)
        self._expected = None
        self._learn = learn

    def _read(self, parts: Sequence[Sequence[str]], bodies: Sequence[bytes]) -> Embedded:
        embedded = super()._read(parts, bodies)
        self._learn(self._ref, embedded.vectors.shape[1])
        return embedded
