"""Where the API is and what lets one in: the environment, else what ``login`` has kept."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import click

URL, TOKEN, FILE = "REEMBED_URL", "REEMBED_TOKEN", "REEMBED_CONFIG"
_LOCAL = {"127.0.0.1", "::1", "localhost"}


@dataclass(frozen=True)
class Address:
    url: str
    token: str = field(repr=False)

    @property
    def is_overheard(self) -> bool:
        """Whether the token goes over a network as it is."""
        parts = urlsplit(self.url)
        return parts.scheme == "http" and parts.hostname not in _LOCAL


def address_of(environ: Mapping[str, str]) -> Address:
    """Raises click.UsageError where either is missing or cannot be one.

    A token that was kept is sent to the address that it was kept with, and nowhere else.
    """
    kept = kept_in(config_file(environ))
    url = checked_url(environ[URL]) if environ.get(URL) else kept.url if kept else None
    if url is None:
        raise click.UsageError(
            f"No address is known. Run 'reembed login', or set {URL} and {TOKEN}."
        )
    if environ.get(TOKEN):
        return Address(url, checked_token(environ[TOKEN]))
    if kept is None or kept.url != url:
        raise click.UsageError(
            f"No token is known for {url}. Run 'reembed login {url}', or set {TOKEN}."
        )
    return kept


def config_file(environ: Mapping[str, str]) -> Path:
    if environ.get(FILE):
        return Path(environ[FILE])
    return Path(click.get_app_dir("reembed")) / "login.json"


def kept_in(file: Path) -> Address | None:
    """What was kept; None where nothing is. Raises click.UsageError for what cannot be read."""
    try:
        found = json.loads(file.read_text())
        return Address(checked_url(found["url"]), checked_token(found["token"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, click.UsageError):
        # Not its words: they may hold a part of the file.
        raise click.UsageError(
            f"{file} cannot be read as what 'reembed login' writes; log in again."
        ) from None


def keep(address: Address, file: Path) -> None:
    """In a file of mode 0600, whole or not at all. Raises OSError."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as out:
            json.dump({"url": address.url, "token": address.token}, out)
        new.replace(file)
    finally:
        with suppress(FileNotFoundError):
            new.unlink()


def checked_url(text: str) -> str:
    """Without a slash at its end. Raises click.UsageError."""
    try:
        parts = urlsplit(text.strip())
        is_one = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one:
        raise click.UsageError("The address must be one such as https://reembed.example.org.")
    if parts.username is not None or parts.query or parts.fragment:
        raise click.UsageError("The address has no user, password, query or fragment in it.")
    return text.strip().rstrip("/")


def checked_token(text: str) -> str:
    """Raises click.UsageError, which does not repeat it."""
    token = text.strip()
    if not token or not all("!" <= letter <= "~" for letter in token):
        raise click.UsageError("The token is empty, or holds what no token holds.")
    return token
