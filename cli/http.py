"""HTTP with the standard library: proxies and certificates as the environment says."""

from __future__ import annotations

import http.client
import ssl
import urllib.error
import urllib.request
from email.message import Message
from typing import IO

from cli.client import Reply, Request
from cli.endings import Away


class _GoesNowhereElse(urllib.request.HTTPRedirectHandler):
    """The token is for one address: a redirection is an answer, not an order."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Message,
        newurl: str,
    ) -> None:
        return None


_OPENER = urllib.request.build_opener(_GoesNowhereElse)


def over_http(request: Request) -> Reply:
    """Raises Away, with a sentence."""
    asked = urllib.request.Request(  # noqa: S310 -- the address was checked to be http or https
        request.url, request.body, dict(request.headers), method=request.method
    )
    try:
        with _OPENER.open(asked, timeout=request.seconds) as reply:
            return _reply(reply.status, reply.headers, reply.read())
    except urllib.error.HTTPError as refusal:
        with refusal:
            return _reply(refusal.code, refusal.headers, refusal.read())
    except (OSError, UnicodeError, http.client.HTTPException) as error:
        raise Away(_why(request, error)) from error


def _reply(status: int, headers: Message, body: bytes) -> Reply:
    return Reply(status, {name.lower(): value for name, value in headers.items()}, body)


def _why(request: Request, error: BaseException) -> str:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    host = "/".join(request.url.split("/", 3)[:3])
    if isinstance(cause, ssl.SSLCertVerificationError):
        return (
            f"The certificate of {host} is not trusted: {cause.verify_message}. SSL_CERT_FILE may "
            "name a file with the authority that has signed it."
        )
    if isinstance(cause, TimeoutError):
        return f"The API at {host} has not answered within {request.seconds:.0f} s."
    reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return (
        f"The API at {host} is not reached: {reason or type(cause).__name__}. Is it running, and "
        "is the address right?"
    )
