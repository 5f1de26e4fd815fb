"""Bots of real applications on milvus-lite, registered as they come, go away and come back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devstack.milvus_lite import MilvusLiteServer
from tests.applications.moves import Moves, MovesOn, names_on
from tests.applications.verdicts import LITE


@pytest.fixture(scope="module")
def moves(moves_on: MovesOn, milvus_lite_server: MilvusLiteServer) -> Iterator[Moves]:
    with moves_on(LITE, milvus_lite_server.url, 4) as moves:
        yield moves


@pytest.mark.parametrize("name", names_on(LITE))
def test_its_text_is_found_right_or_it_is_refused(moves: Moves, name: str) -> None:
    moves.assert_as_expected(name)
