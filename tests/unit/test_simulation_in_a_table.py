"""The same histories where texts stand in a table, and change there without their rows.

Rows that no writer touches have texts that change at any moment; whatever happens, each is
embedded again by whoever looks next. ``SIMULATION_SEEDS`` as in :mod:`tests.unit.test_simulation`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from migrations.model.errors import TextsUnavailable
from migrations.way_back.late_writes import sweep
from tests.fakes.world import SOURCE
from tests.unit.test_simulation import History

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "40"))
#: Of rows that are never written again.
STANDING = ["k900", "k901", "k902"]


class HistoryInATable(History):
    in_a_table = True

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        for key in STANDING:
            self.world.write(key, f"text of {key}")
        self.written = self.there_is(SOURCE)

    def happens(self, chances: Mapping[Any, int]) -> None:
        super().happens({**chances, self.change: 6, self.lose_the_table: 1})

    def change(self) -> None:
        """Now to a text that is new, now back to an earlier one.

        Once the run has read the row: a vector that was of another text before nobody moves.
        """
        key = self.chooser.choice(STANDING)
        if (SOURCE, key) not in self.world.store._texts:
            return
        text = f"text {self.chooser.randrange(3)} of {key}"
        self.world.tables.texts[key] = text
        self.written[key] = text, 1

    def lose_the_table(self) -> None:
        self.world.tables.away = self.chooser.choice([1, 2, 5])

    def put(self, collection: str, row: dict[str, Any], text: str) -> None:
        self.world.tables.texts[row["pk"]] = text
        self.world.vectors.put(collection, row)

    def there_is(self, collection: str) -> dict[Any, tuple[str, int]]:
        contents = self.world.contents(collection)
        texts = self.world.tables.texts
        return {key: (texts[str(key)], fields["page"]) for key, (fields, _) in contents.items()}

    def roll_back(self) -> None:
        try:
            super().roll_back()
        except TextsUnavailable as error:
            self.done[-1] += f" {error.code}"

    def calm_down(self) -> None:
        self.world.tables.away = 0
        super().calm_down()
        live = self.world.bot.live
        switched = self.world.store.switched_by("bot", live.generation)
        if switched is not None:
            sweep(self.world.services, switched)
            return
        for key in STANDING:  # nobody has moved them: whoever changes a text embeds it
            self.world.write(key, self.world.tables.texts[key])


@pytest.mark.parametrize("seed", range(SEEDS), ids=lambda seed: f"seed-{seed}")
def test_every_history_ends_with_all_chunks_of_the_texts_that_the_table_has(seed: int) -> None:
    history = HistoryInATable(seed)
    with capture_logs():
        try:
            history.live_through()
            history.judge()
        except BaseException:
            print(f"seed {seed}:", *history.done, sep="\n  ")
            print("failures:", *history.world.failures, sep="\n  ")
            raise
