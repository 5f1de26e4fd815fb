"""One HTTP request, with any body at all: what an orderly client never sends."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from urllib.parse import urlsplit

from devstack.client import Answer


def fetch(url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Answer:
    """GET, or POST where there is a body. Raises OSError when nobody answers."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    try:
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        connection.request("GET" if body is None else "POST", path, body, dict(headers or {}))
        reply = connection.getresponse()
        text = reply.read().decode()
        is_json = "json" in reply.headers.get("Content-Type", "")
        told = json.loads(text) if is_json and text else text
        return Answer(reply.status, told, reply.headers)
    finally:
        connection.close()
