"""Bots of real applications on the real Milvus, registered as they come, go away and come back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devstack.milvus_standalone import MilvusStandaloneServer
from tests.applications.moves import Moves, MovesOn, names_on
from tests.applications.verdicts import REAL


@pytest.fixture(scope="module")
def moves(moves_on: MovesOn, milvus_standalone_server: MilvusStandaloneServer) -> Iterator[Moves]:
    with moves_on(REAL, milvus_standalone_server.url, 10) as moves:
        yield moves


@pytest.mark.parametrize("name", names_on(REAL))
def test_its_text_is_found_right_or_it_is_refused(moves: Moves, name: str) -> None:
    moves.assert_as_expected(name)
