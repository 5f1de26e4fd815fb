"""Provider keys: read from the environment by name, kept out of everything written."""

from __future__ import annotations

import os
import re
from typing import Any

from migrations.model.errors import InvalidConfiguration, ProviderKeyMissing, ReembedError

#: Sent where a provider needs no key, since the client insists on one.
NO_KEY = "none"

_REDACTED = "[key]"
#: OpenAI quotes part of a wrong key, with asterisks in it.
_LOOKS_LIKE_KEY = re.compile(r"\b(?:sk|pk|rk)-[\w*\-]{4,}")
_SECRET_HEADERS = ("authorization", "api-key", "x-api-key")


def has_key(variable: str) -> bool:
    return not variable or bool(os.environ.get(variable, "").strip())


def read_key(provider: str, variable: str) -> str:
    """The key, without the line ending a secret file leaves behind.

    Raises:
        ProviderKeyMissing: the variable is unset or empty.
        InvalidConfiguration: it holds what no HTTP header can, which the HTTP
            client would refuse with the key in its message.
    """
    if not variable:
        return NO_KEY
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ProviderKeyMissing(
            f"Set {variable} in the environment of the API and the workers: "
            f"it is the key of the provider {provider}.",
            provider=provider,
            variable=variable,
        )
    if not (key.isascii() and key.isprintable()):
        raise InvalidConfiguration(
            f"{variable} holds characters that no key has; check for a copying mistake."
        )
    return key


def redact(text: str, key: str) -> str:
    if key != NO_KEY:
        text = text.replace(key, _REDACTED)
    return _LOOKS_LIKE_KEY.sub(_REDACTED, text)


def scrub(error: BaseException, key: str) -> None:
    """Take the key out of a vendor's exception and of everything it was caused by.

    The exception is kept as a cause, and so ends up in logs and tracebacks; some
    providers repeat the key they refuse.
    """
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        one = pending.pop()
        if one is None or id(one) in seen or isinstance(one, ReembedError):  # ours holds none
            continue
        seen.add(id(one))
        _scrub_one(one, key)
        pending += [one.__cause__, one.__context__]


def _scrub_one(error: BaseException, key: str) -> None:
    error.args = _cleaned(error.args, key)
    for name in ("message", "body"):
        if hasattr(error, name):
            setattr(error, name, _cleaned(getattr(error, name), key))
    request = _request_of(error)
    for header in _SECRET_HEADERS:
        if request is not None:
            request.headers.pop(header, None)


def _request_of(error: BaseException) -> Any:
    try:
        return getattr(error, "request", None)
    except RuntimeError:  # httpx raises it where an error has no request
        return None


def _cleaned(value: Any, key: str) -> Any:
    if isinstance(value, str):
        return redact(value, key)
    if isinstance(value, bytes):
        return redact(value.decode("utf-8", "replace"), key).encode()
    if isinstance(value, dict):
        return {_cleaned(k, key): _cleaned(v, key) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_cleaned(item, key) for item in value)
    return value
