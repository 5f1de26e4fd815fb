"""What was paid, in tokens and in money, over HTTP and on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from migrations.settings import Settings
from tests.fakes.api_client import ACME, MODEL, Api
from tests.fakes.command_line import CommandLine

PRICES = {f"local/{MODEL}": 0.5, "openai/*": 2.0}


@pytest.fixture
def api() -> Api:
    return Api(prices=PRICES)


def migrated(api: Api) -> str:
    migration = api.start()
    api.world.deliver()
    return str(migration.id)


def asked(api: Api, path: str, token: str = "acme-token") -> Any:  # noqa: S107
    answer = api.get(path, token)
    assert 200 == answer.status_code, answer.json
    return answer.json


def test_a_migration_is_paid_for_at_the_operators_price(api: Api) -> None:
    run = migrated(api)
    bill = asked(api, f"/embeddings/migration/{run}/spend")
    assert asked(api, f"/embeddings/migration/{run}/progress")["tokens_used"] == bill["tokens"] > 0
    assert bill["tokens"] * 0.5 / 1e6 == pytest.approx(bill["cost_usd"], rel=1e-3)
    assert 0 == bill["unpriced_tokens"]
    purposes = {line["purpose"]: line for line in bill["spend"]}
    assert {"data_migration", "verification"} <= set(purposes)
    line = purposes["data_migration"]
    assert (MODEL, "migration", 0.5) == (
        line["model"],
        line["by"],
        line["price_per_million_tokens_usd"],
    )
    assert line["requests"] > 0


def test_a_bot_has_paid_for_its_migrations_and_for_all_else_it_was_asked(api: Api) -> None:
    run = migrated(api)
    before = asked(api, "/bots/support/spend")["tokens"]
    api.post("/bots/support/search", json={"text": "where?"})
    api.services.spending.flush()
    bill = asked(api, "/bots/support/spend")
    errands = sum(line["tokens"] for line in bill["spend"] if line["by"] == "errand")
    moved = asked(api, f"/embeddings/migration/{run}/spend")["tokens"]
    assert bill["tokens"] == errands + moved
    assert bill["tokens"] > before


def test_an_owner_pays_for_all_bots_also_for_those_that_were_removed(api: Api) -> None:
    migrated(api)
    before = asked(api, "/spend")
    assert before["tokens"] == asked(api, "/bots/support/spend")["tokens"]
    assert 200 == api.delete("/bots/support").status_code
    after = asked(api, "/spend")
    assert (before["tokens"], before["requests"]) == (after["tokens"], after["requests"])
    assert {"errand"} == {line["by"] for line in after["spend"]}


def test_what_has_no_price_is_told_as_tokens(api: Api) -> None:
    api.world.store.record_errand(ACME.owner, "support", "mine", "unheard-of", "question", 11)
    bill = asked(api, "/spend")
    (line,) = [line for line in bill["spend"] if line["provider"] == "mine"]
    assert (None, None) == (line["price_per_million_tokens_usd"], line["cost_usd"])
    assert 11 == bill["unpriced_tokens"]


@pytest.mark.parametrize(
    ("provider", "model", "price"),
    [("openai", "anything", 2.0), ("voyage", "voyage-3", 0.06), ("local", MODEL, 0.5)],
)
def test_the_operators_word_comes_before_the_list(
    api: Api, provider: str, model: str, price: float
) -> None:
    api.world.store.record_errand(ACME.owner, "support", provider, model, "question", 1_000_000)
    lines = asked(api, "/spend")["spend"]
    (line,) = [one for one in lines if (one["model"], one["purpose"]) == (model, "question")]
    assert (price, price) == (line["price_per_million_tokens_usd"], line["cost_usd"])


def test_estimates_and_dimension_info_use_the_same_prices(api: Api) -> None:
    found = api.post("/bots/support/embeddings/estimate-migration", json={}).json
    assert found["tokens"] * 0.5 / 1e6 == pytest.approx(found["cost_usd"], abs=1e-4)
    assert any("REEMBED_PRICES" in line for line in found["basis"])
    info = api.get("/bots/support/embeddings/dimension-info").json
    prices = {one["model"]: one["price_per_million_tokens_usd"] for one in info["known_models"]}
    assert (0.5, 2.0) == (prices[MODEL], prices["text-embedding-3-small"])


def test_others_see_what_they_have_paid_themselves(api: Api) -> None:
    run = migrated(api)
    assert 0 == asked(api, "/spend", "rival-token")["tokens"]
    mine = asked(api, "/spend")
    assert mine == asked(api, "/spend?owner=acme", "admin-token") == asked(api, "/spend?owner=acme")
    assert mine == asked(api, "/spend", "admin-token")
    assert 403 == api.get("/spend?owner=acme", "rival-token").status_code
    for path in ("/bots/support/spend", f"/embeddings/migration/{run}/spend"):
        assert 404 == api.get(path, "rival-token").status_code


@pytest.mark.parametrize("prices", [{"openai": 1}, {"/x": 1}, {"openai/x": -1}, {"x/y": "dear"}])
def test_what_is_no_price_is_refused_at_the_start(prices: Any) -> None:
    known = {"database_url": "postgresql+psycopg2://h/d", "redis_url": "redis://h"}
    with pytest.raises(ValidationError):
        Settings(**known, milvus_uri="http://h", prices=prices, _env_file=None)


def test_the_command_line_shows_what_was_paid(api: Api, tmp_path: Path) -> None:
    run, line = migrated(api), CommandLine(api, tmp_path)
    shown = line.done("spend", "--migration", run)
    assert "data_migration" in shown
    assert "US dollars." in shown
    line.told("spend")
    line.told("spend", "--bot", "support")
    assert 2 == line.run("spend", "--bot", "support", "--owner", "acme").exit_code
