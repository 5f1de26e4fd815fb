"""Every setting: its variable, default and meaning."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from migrations.model.gates import Gates
from migrations.model.roles import TextRole
from migrations.settings import ModelSettings, ProviderSettings, Settings
from reference.markdown import code, heading, table

_EXAMPLE = Path(__file__).parents[1] / ".env.example"
_INTRODUCTION = """
Variables of the environment, or lines of a file `.env` in the working directory;
`REEMBED_ENV_FILE` names another file, and set but empty none.
[`.env.example`](../../.env.example) has all of them with their defaults; how values are quoted
stands there, too.
Keys of providers are no settings: they stand in the variables that `REEMBED_OPENAI_API_KEY_ENV`
and `api_key_env` name.
"""
_HEADINGS = ("variable", "default", "what it is")


def page() -> str:
    parts = [heading("Settings"), _INTRODUCTION]
    for title, names in _sections():
        rows = [_row(f"REEMBED_{name.upper()}", Settings.model_fields[name]) for name in names]
        parts.append(f"\n## {title}\n\n{table(_HEADINGS, rows)}")
    for title, model in (
        ("A provider in REEMBED_PROVIDERS", ProviderSettings),
        ("A model of a provider", ModelSettings),
        ("A role of texts", TextRole),
        ("REEMBED_GATES", Gates),
    ):
        parts.append(f"\n## {title}\n\n{_members(model)}")
    return "".join(parts)


def _sections() -> Iterator[tuple[str, list[str]]]:
    """As .env.example has them; a test holds its lines against the settings."""
    parts = re.split(r"^# --- (.+?) -+$", _EXAMPLE.read_text(), flags=re.M)[1:]
    for title, text in zip(parts[::2], parts[1::2], strict=True):
        names = re.findall(r"^REEMBED_(\w+)=", text, re.M)
        yield title[0].upper() + title[1:], [name.lower() for name in names]


def _members(model: type[BaseModel]) -> str:
    rows = [_row(name, field) for name, field in model.model_fields.items()]
    return table(("member", "default", "what it is"), rows)


def _row(name: str, field: FieldInfo) -> tuple[str, str, str]:
    return code(name), _default(field), (field.description or "") + _bounds(field)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "its defaults"
    if value is None or value == "":
        return ""
    return code(str(value).lower() if isinstance(value, bool) else value)


def _bounds(field: FieldInfo) -> str:
    """Least and most, as far as they are said."""
    said = {
        sign: getattr(rule, name)
        for rule in field.metadata
        for name, sign in (("gt", "above"), ("ge", "at least"), ("lt", "below"), ("le", "at most"))
        if getattr(rule, name, None) is not None
    }
    return (
        f" ({', '.join(f'{sign} {_number(value)}' for sign, value in said.items())})"
        if said
        else ""
    )


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
