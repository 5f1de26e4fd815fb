"""From the fields of a form to the request that the API would be sent as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from flask import request
from pydantic import ValidationError

from api import parsing
from api.problems import RequestInvalid
from api.schemas.parts import RequestPart

Body = TypeVar("Body", bound=RequestPart)


class Refused(Exception):
    """What is wrong with the fields, each in a sentence."""

    def __init__(self, sentences: list[str]) -> None:
        super().__init__(" ".join(sentences))
        self.sentences = sentences


def text(name: str) -> str | None:
    """None where nothing was typed."""
    return request.form.get(name, "").strip() or None


def whole(name: str) -> int | str | None:
    """As it was typed where that is no whole number, for the schema to refuse."""
    typed = text(name)
    try:
        return typed if typed is None else int(typed)
    except ValueError:
        return typed


def decimal(name: str) -> float | str | None:
    typed = text(name)
    try:
        return typed if typed is None else float(typed)
    except ValueError:
        return typed


def flag(name: str) -> bool:
    """A box that is not ticked is not sent."""
    return request.form.get(name) == "yes"


def to_request(schema: type[Body], values: Mapping[str, Any]) -> Body:
    """By the rules of the API; what was left empty is left out. Raises Refused."""
    try:
        return schema.model_validate({n: v for n, v in values.items() if v is not None})
    except ValidationError as error:
        raise Refused(_sentences(error)) from None


def _sentences(error: ValidationError) -> list[str]:
    try:
        parsing.refuse(error)
    except RequestInvalid as refusal:
        found = refusal.details["errors"]
        return [f"{one['path'].removeprefix('$').lstrip('.')}: {one['message']}" for one in found]
