"""The page as plain words, for whoever only looks: no browser, no script."""

from __future__ import annotations

import html
import re

import requests

_SECONDS = 15.0


class PlainPage:
    """Somebody who logs in with a token when it is asked for; ``url`` is the API's."""

    def __init__(self, url: str, token: str) -> None:
        self._home, self._token = f"{url}/dashboard", token
        self._session = requests.Session()

    def shows(self, path: str) -> str:
        """The words of a page, or of the login that is in its way, a line of its HTML each."""
        shown = self._session.get(f"{self._home}/{path}", timeout=_SECONDS)
        form = re.search('name="csrf_token" value="([^"]*)"', shown.text)
        if "/login" in shown.url and form is not None:
            given = {"csrf_token": form[1], "token": self._token}
            shown = self._session.post(shown.url, data=given, timeout=_SECONDS)
            if "/login" not in shown.url:
                shown = self._session.get(f"{self._home}/{path}", timeout=_SECONDS)
        return html.unescape(re.sub("<[^>]*>", "", shown.text))
