"""Code of the how-tos, as printed but for addresses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from devstack.stack import PROJECT


def pieces(page: str) -> dict[str, str]:
    """The first piece of Python below each heading that has one, by the heading."""
    text = (PROJECT / "docs" / "howto" / page).read_text()
    sections = re.split(r"^## ", text, flags=re.MULTILINE)
    found = {
        part.partition("\n")[0]: re.search(r"```python\n(.*?)```", part, re.DOTALL)
        for part in sections
    }
    return {heading: code[1] for heading, code in found.items() if code}


def addressed(code: str, addresses: Mapping[str, str]) -> str:
    """With our addresses in place of the printed ones, each of which must be there."""
    for printed, ours in addresses.items():
        assert printed in code, printed
        code = code.replace(printed, ours)
    return code


def run(code: str) -> Any:
    """As a module."""
    module = ModuleType("how_to")
    exec(code, vars(module))  # noqa: S102  # our own page
    return module
