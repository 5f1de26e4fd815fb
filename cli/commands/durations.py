"""How long something lasts, as people write it."""

from __future__ import annotations

from typing import Any

import click


class _Seconds(click.ParamType[int]):
    """A number and a unit: 45s, 30m, 12h, 90d. Given on as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        number, unit = str(value)[:-1], str(value)[-1:]
        units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
        if not number.isdecimal() or unit not in units or len(number) > 9:
            self.fail(f"{value!r} is no duration; write it as 45s, 30m, 12h or 90d.", param, ctx)
        return int(number) * units[unit]


SECONDS = _Seconds()
