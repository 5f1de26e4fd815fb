"""The files of the page: others' by the hashes that are pinned beside them, and our own style.

A browser that knows the hash runs what was vendored and nothing else, and may keep it for good.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

from flask import Response, send_from_directory, url_for

FOLDER = Path(__file__).resolve().parents[1] / "static"
#: One a line, as ``sha256sum`` writes and checks them; of files in ``vendor``.
HASHES = FOLDER / "SHA256SUMS"
_FOR_GOOD = "public, max-age=31536000, immutable"


class Asset(NamedTuple):
    url: str
    #: As the attribute ``integrity`` wants it.
    integrity: str


@cache
def pinned() -> dict[str, str]:
    """SHA-256 in hexadecimal digits, by the names of the vendored files."""
    lines = (line.split() for line in HASHES.read_text().splitlines())
    return {name: digest for digest, name in lines}


@cache
def _digest(name: str) -> str:
    vendored = pinned().get(Path(name).name)
    return vendored or hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()


def asset(name: str) -> Asset:
    """``name`` is below ``api/static``; its address changes when it does."""
    digest = _digest(name)
    url = url_for("door.static_file", filename=name, v=digest[:16])
    return Asset(url, "sha256-" + base64.b64encode(bytes.fromhex(digest)).decode())


def static_file(filename: str) -> Response:
    response = send_from_directory(FOLDER, filename)
    response.headers["Cache-Control"] = _FOR_GOOD
    return response
