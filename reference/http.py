"""Every route, from the description that ``/openapi`` gives."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from api import create_app
from reference.markdown import anchor, code, heading, table

_INTRODUCTION = """
The whole description, with examples and all answers, is at `/openapi/openapi.json` of a running
API, and with Swagger UI at `/openapi/swagger`.
Every request but those under *health* carries `Authorization: Bearer <token>`; what may be
answered instead of an answer is in [errors](errors.md).
"""
_METHODS = ("get", "post", "put", "patch", "delete")


def page() -> str:
    spec = create_app().spec_json
    schemas = spec["components"]["schemas"]
    parts = [heading("HTTP"), _INTRODUCTION, "\n", _contents(spec)]
    for tag in spec["tags"]:
        parts.append(f"\n## {tag['name']}\n\n{tag['description']}\n")
        parts += [_route(*route, schemas) for route in _routes(spec, tag["name"])]
    parts.append("\n## Bodies\n")
    parts += [_body(name, schemas[name]) for name in sorted(_sent(spec, schemas))]
    return "".join(parts)


def _routes(spec: dict[str, Any], tag: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, operations in spec["paths"].items():
        for method in _METHODS:
            operation = operations.get(method)
            if operation is not None and tag in operation["tags"]:
                yield method.upper(), path, operation


def _contents(spec: dict[str, Any]) -> str:
    rows = [
        (f"[{code(f'{method} {path}')}](#{anchor(f'{method} {path}')})", operation["summary"])
        for tag in spec["tags"]
        for method, path, operation in _routes(spec, tag["name"])
    ]
    return table(("request", "what it does"), rows)


def _route(method: str, path: str, operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    parts = [f"\n### {method} {path}\n\n{operation['summary']}.\n"]
    if operation.get("description"):
        parts.append(f"\n{_flowing(operation['description'])}\n")
    rows = [
        (code(p["name"]), p["in"], _kind(p["schema"]), p.get("description", ""))
        for p in operation.get("parameters", [])
    ]
    if rows:
        parts.append(f"\n{table(('parameter', 'in', 'kind', 'what it is'), rows)}")
    body = _schema_of(operation.get("requestBody", {}))
    if body:
        parts.append(f"\nBody: [{body}](#{anchor(body)}).\n")
    parts.append(f"\nAnswers: {', '.join(_answers(operation))}.\n")
    return "".join(parts)


def _answers(operation: dict[str, Any]) -> Iterator[str]:
    for status, response in operation["responses"].items():
        if status == "default":
            continue
        found = re.findall(r"^`([\w-]+)`:", response["description"], re.M)
        if found:
            yield f"{status} ({', '.join(map(code, found))})"
        else:
            kinds = [kind for kind in response.get("content", {}) if kind != "application/json"]
            yield f"{status}" + (f" ({', '.join(map(code, kinds))})" if kinds else "")


def _schema_of(message: dict[str, Any]) -> str | None:
    for kind in message.get("content", {}).values():
        reference = kind.get("schema", {}).get("$ref")
        if reference:
            return str(reference).rpartition("/")[2]
    return None


def _sent(spec: dict[str, Any], schemas: dict[str, Any]) -> set[str]:
    """The schemas of requests, and those that they are made of."""
    operations = [one for path in spec["paths"].values() for one in path.values()]
    sent = [(one.get("requestBody"), one.get("parameters")) for one in operations]
    found: set[str] = set()
    new = set(_named(sent))
    while new:
        found |= new
        new = {name for body in new for name in _named(schemas[body])} - found
    return found


def _named(schema: Any) -> Iterable[str]:
    return re.findall(r'"#/components/schemas/(\w+)"', json.dumps(schema))


def _body(name: str, schema: dict[str, Any]) -> str:
    needed = schema.get("required", [])
    rows = [
        (
            code(member),
            _kind(told),
            "required" if member in needed else _default(told),
            told.get("description", ""),
        )
        for member, told in schema.get("properties", {}).items()
    ]
    said = f"\n### {name}\n\n{_flowing(schema.get('description', ''))}\n"
    if rows:
        return f"{said}\n{table(('member', 'kind', 'default', 'what it is'), rows)}"
    return f"{said}\nOne of {', '.join(code(value) for value in schema.get('enum', []))}.\n"


def _default(told: dict[str, Any]) -> str:
    value = told.get("default")
    return "" if value is None else code(json.dumps(value))


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{anchor(name)})"
    if "anyOf" in schema or "oneOf" in schema:
        members = [_kind(one) for one in schema.get("anyOf") or schema["oneOf"]]
        return " or ".join(dict.fromkeys(kind for kind in members if kind != "null")) or "null"
    if "enum" in schema:
        return ", ".join(code(value) for value in schema["enum"])
    if "const" in schema:
        return code(schema["const"])
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return str(kind)


def _flowing(text: str) -> str:
    """Paragraphs, each on one line."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))
