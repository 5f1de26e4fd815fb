"""What there is to be seen of runs: lists of them, and what has happened in one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from migrations.model.errors import CursorInvalid
from migrations.model.history import Place

AT = datetime(2026, 11, 3, 9, 0, 0, 123456, tzinfo=UTC)
ID = UUID("6f1f4a52-6f3e-4d0e-9a53-0d6f2f1c9b11")


def test_a_place_comes_back_from_its_cursor_to_the_microsecond() -> None:
    assert Place(AT, ID) == Place.at(Place(AT, ID).cursor)


@pytest.mark.parametrize(
    "cursor", ["", "x", "!!!!", str(ID), Place(AT, ID).cursor + "A", Place(AT, ID).cursor[:-3]]
)
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(CursorInvalid):
        Place.at(cursor)


def test_a_place_without_a_timezone_is_refused() -> None:
    with pytest.raises(CursorInvalid):
        Place.at(Place(AT.replace(tzinfo=None) + timedelta(0), ID).cursor)
