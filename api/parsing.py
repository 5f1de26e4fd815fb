"""What is wrong with a request, in sentences a caller can act on."""

from __future__ import annotations

import difflib
import json
from typing import Any, NoReturn

from flask import request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

from api import schemas
from api.problems import BodyMalformed, RequestInvalid

#: Bodies are a few fields; anything larger is a mistake or an attack.
MAX_BODY_BYTES = 64 * 1024
#: But for a list that may have a thousand texts.
MAX_LIST_BYTES = 1024 * 1024
#: Texts to be embedded, a few thousand at once.
MAX_TEXTS_BYTES = 8 * 1024 * 1024
#: And for a thousand chunks with their texts.
MAX_CHUNKS_BYTES = 4 * 1024 * 1024
_MOST_BYTES = {
    "golden.put": MAX_LIST_BYTES,
    "search.search": MAX_LIST_BYTES,
    "openai.embeddings": MAX_TEXTS_BYTES,
    "chunks.put": MAX_CHUNKS_BYTES,
    "chunks.delete": MAX_LIST_BYTES,
    "conflicts.settle_conflicts": MAX_LIST_BYTES,
}

#: A body of nonsense is not answered with a larger one.
_ERRORS_SHOWN = 50

#: pydantic's kinds of error, in our words; ``{}`` names are from the error's context.
_SENTENCES = {
    "missing": "This field is required.",
    "string_type": "Must be a string.",
    "int_type": "Must be a whole number.",
    "int_from_float": "Must be a whole number.",
    "float_type": "Must be a number.",
    "bool_type": "Must be true or false.",
    "model_type": "Must be a JSON object.",
    "greater_than": "Must be greater than {gt}.",
    "greater_than_equal": "Must be at least {ge}.",
    "less_than": "Must be less than {lt}.",
    "less_than_equal": "Must be at most {le}.",
    "string_too_short": "Must have at least {min_length} character(s).",
    "string_too_long": "Must have at most {max_length} characters.",
    "string_unicode": "Must be valid Unicode.",
    "enum": "Must be {expected}.",
    "uuid_parsing": "Must be a UUID, as in the answer that started the migration.",
}


def check_body() -> None:
    """Refuse a body that cannot be read, before it is looked at field by field.

    flask-openapi3 would take malformed JSON for an absent body.

    Raises:
        BodyMalformed, UnsupportedMediaType, RequestEntityTooLarge.
    """
    most = _MOST_BYTES.get(request.endpoint or "", MAX_BODY_BYTES)
    request.max_content_length = most
    sent = request.get_data()
    if len(sent) >= most:
        # Werkzeug cuts a chunked body at the limit without a word.
        raise RequestEntityTooLarge
    if not sent:
        return
    try:
        body = request.get_json()
    except UnsupportedMediaType:
        raise
    except (BadRequest, RecursionError) as error:
        raise BodyMalformed from error
    if not isinstance(body, dict):
        raise RequestInvalid(errors=[_entry("body", "$", "model_type", "Must be a JSON object.")])


def refuse(error: ValidationError) -> NoReturn:
    """Turn pydantic's findings into one problem; called by flask-openapi3.

    Raises:
        RequestInvalid: always.
    """
    model = getattr(schemas, error.title, None)
    found = error.errors(include_url=False)[:_ERRORS_SHOWN]
    entries = [_describe(model, one) for one in found]
    raise RequestInvalid(_summary(entries), errors=entries) from error


def _describe(model: type[BaseModel] | None, found: ErrorDetails) -> dict[str, Any]:
    place = model.place if model and issubclass(model, schemas.RequestPart) else "body"
    path = "$" + "".join(_step(part) for part in found["loc"])
    return _entry(place, path, found["type"], _sentence(model, found))


def _step(part: str | int) -> str:
    """One step of a JSON path (RFC 9535): plain names by a dot, all others in brackets."""
    if isinstance(part, str) and part.isidentifier():
        return f".{part[:100]}"
    return f"[{json.dumps(part if isinstance(part, int) else part[:100])}]"


def _entry(place: str, path: str, code: str, message: str) -> dict[str, Any]:
    return {"in": place, "path": path, "code": code, "message": message}


def _sentence(model: type[BaseModel] | None, found: ErrorDetails) -> str:
    if found["type"] == "extra_forbidden":
        return _unknown_field(model, str(found["loc"][-1]))
    context = {name: _plain(limit) for name, limit in found.get("ctx", {}).items()}
    if found["type"] == "string_pattern_mismatch":
        return schemas.PATTERNS[context["pattern"]]
    template = _SENTENCES.get(found["type"])
    # Never formatted: pydantic's own message may repeat the caller's braces.
    said = found["msg"].removeprefix("Value error, ").rstrip(".") + "."
    return template.format(**context) if template else said


def _plain(limit: Any) -> Any:
    """300 rather than 300.0: limits of numbers come as the field's own type."""
    return int(limit) if isinstance(limit, float) and limit.is_integer() else limit


def _unknown_field(model: type[BaseModel] | None, name: str) -> str:
    names = list(model.model_fields) if model else []
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"There is no such field; did you mean '{close[0]}'?"
    if names:
        return f"There is no such field; there are: {', '.join(names)}."
    return "This request takes no fields."


def _summary(entries: list[dict[str, Any]]) -> str:
    first = f"{entries[0]['path']}: {entries[0]['message']}"
    more = len(entries) - 1
    return first if not more else f"{first} ({more} more in 'errors'.)"
