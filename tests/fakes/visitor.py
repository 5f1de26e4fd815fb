"""Somebody at the page with a browser that runs no script: reads HTML and sends its forms."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from tests.fakes.api_client import ACME_TOKEN

HOME = "/dashboard/"


@dataclass
class Form:
    method: str
    action: str
    fields: dict[str, str] = field(default_factory=dict)


class _Page(HTMLParser):
    """Its forms with what a browser would send of them, its links and its words."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.tags: list[str] = []
        self._select: str | None = None
        self._form: Form | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        name, value = given.get("name"), given.get("value") or ""
        if tag == "form":
            self._form = Form(given.get("method") or "get", given.get("action") or "")
            self.forms.append(self._form)
        elif tag == "a":
            self.links.append(given.get("href") or "")
        elif tag == "select":
            self._select = name
        elif self._form is None:
            return
        elif tag == "option" and self._select:
            if self._select not in self._form.fields or "selected" in given:
                self._form.fields[self._select] = value
        elif tag == "input" and name:
            ticked = given.get("type") not in {"checkbox", "radio"} or "checked" in given
            if ticked and "disabled" not in given:
                self._form.fields[name] = value

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        if tag == "select":
            self._select = None

    def handle_data(self, data: str) -> None:
        self.words += data.split()


class Visitor:
    """``at`` is where the last answer came from, after redirects were followed."""

    def __init__(self, app: Flask, token: str | None = ACME_TOKEN) -> None:
        self.client = app.test_client()
        self.answer: TestResponse
        if token is not None:
            self.log_in(token)

    def log_in(self, token: str) -> TestResponse:
        self.get("/dashboard/login")
        return self.send("login", token=token)

    def get(self, path: str, **headers: str) -> TestResponse:
        self.answer = self.client.get(path, headers=headers, follow_redirects=True)
        return self.answer

    def send(self, action: str, **fields: str) -> TestResponse:
        """The form of the present page whose address ends so, filled in by ``fields``."""
        form = next(one for one in self.page.forms if one.action.endswith(action))
        sent = {**form.fields, **fields}
        self.answer = self.client.open(
            form.action, method=form.method.upper(), data=sent, follow_redirects=True
        )
        return self.answer

    @property
    def page(self) -> Any:
        return _Page(self.answer.text)

    @property
    def at(self) -> str:
        return self.answer.request.path

    @property
    def words(self) -> str:
        return " ".join(self.page.words)
