"""What Prometheus is told: how much of what, never whose; and that the store is away."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from api import create_app
from api.metrics.catalogue import ALL
from api.metrics.requests import DURATIONS
from migrations.model.errors import NoAnswer, StateStoreUnavailable
from migrations.model.figures import Figures
from migrations.model.states import Kind, Status
from migrations.model.task_names import CONTROL_QUEUE
from migrations.model.workers import WorkerNote
from migrations.process import figures as process_figures
from migrations.process.figures import FRESH_SECONDS, Recent
from tests.fakes.api_client import Api

ADMIN, SCRAPER = "admin-token", "a-token-for-prometheus-alone"


def scraped(api: Api, token: str = ADMIN) -> dict[str, dict[tuple[str, ...], float]]:
    """By name of a sample, the numbers by the values of their labels."""
    answer = api.get("/metrics", token)
    assert 200 == answer.status_code, answer.text
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def test_migrations_are_told_by_direction_status_and_phase() -> None:
    api = Api()
    migration = api.start()
    found = scraped(api)
    assert 1 == found["reembed_migrations"]["forward", "pending"]
    assert len(Kind) * len(Status) == len(found["reembed_migrations"])
    assert {"validation": 1} == {
        phase: number for (phase,), number in found["reembed_migrations_at_work"].items() if number
    }
    api.world.deliver()
    found = scraped(api)
    assert "completed" == api.stored(str(migration.id)).status
    assert 1 == found["reembed_migrations"]["forward", "completed"]
    assert {(): 1} == found["reembed_bots_with_way_back"]
    assert 71 * 3600 < found["reembed_way_back_first_end_seconds"][()] <= 72 * 3600
    assert any(
        purpose == "data_migration" for *_, purpose in found["reembed_provider_tokens_total"]
    )


def test_every_metric_of_the_table_is_exposed_with_its_labels() -> None:
    api = Api()
    migration = api.start()
    api.world.store.record_failed_chunk(migration.id, "k", "text-too-long", "It is too long.")
    api.world.store.record_spend(migration.id, "openai", "large", "search", 3)
    lines = api.get("/metrics", "admin-token").text
    families = {one.name: one for one in text_string_to_metric_families(lines)}
    for metric in ALL:
        family = families[metric.name.removesuffix("_total")]
        assert metric.kind == family.type, metric.name
        for sample in family.samples:
            assert set(metric.labels) == set(sample.labels), metric.name
            for label, value in sample.labels.items():
                allowed = metric.labels[label]
                assert allowed is None or value in allowed, (metric.name, value)


def test_what_has_a_price_is_told_in_money() -> None:
    api = Api(prices={"openai/large": 2.0})
    api.world.store.record_errand("acme", "support", "openai", "large", "search", 500_000)
    api.world.store.record_errand("acme", "support", "mine", "unheard-of", "search", 7)
    found = scraped(api)
    costs = found["reembed_provider_cost_dollars_total"]
    assert 1.0 == costs["large", "openai", "search"]
    assert {"openai", "local"} == {provider for _, provider, _ in costs}
    assert 7 == found["reembed_provider_tokens_total"]["unheard-of", "mine", "search"]


def test_neither_ids_nor_owners_nor_texts_are_told() -> None:
    api = Api()
    migration = api.start()
    api.world.store.record_failed_chunk(migration.id, "k001", "text-too-long", "text 1.")
    api.progress(migration)
    api.get("/bots/support")
    api.world.deliver()
    text = api.get("/metrics", "admin-token").text
    for word in ("acme", "support", str(migration.id), migration.target_collection, "k001"):
        assert word not in text, word


def test_requests_are_told_by_the_pattern_of_their_route() -> None:
    api = Api()
    alone = create_app(api.services).test_client()
    admin = {"Authorization": "Bearer admin-token"}
    for path in ("/bots/a", "/bots/b", "/nowhere/1", "/nowhere/2", "/healthz"):
        alone.get(path, headers=admin)
    alone.open("/healthz", method="BREW")
    text = alone.get("/metrics", headers=admin).text
    counted = {
        tuple(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == f"{DURATIONS.name}_count"
    }
    assert {
        ("GET", "/bots/<bot_id>", "404"): 2,
        ("none", "none", "404"): 2,
        ("GET", "/healthz", "200"): 1,
        ("none", "none", "405"): 1,
    } == counted


@pytest.mark.parametrize(
    ("token", "status"),
    [(None, 401), ("wrong", 401), ("é" * 20, 401), ("acme-token", 403), ("admin-token", 200)],
)
def test_others_than_admins_are_refused(token: str | None, status: int) -> None:
    assert status == Api(metrics_token=SCRAPER).get("/metrics", token).status_code
    assert status == Api().get("/metrics", token).status_code


def test_prometheus_may_have_a_token_of_its_own_that_opens_nothing_else() -> None:
    api = Api(metrics_token=SCRAPER)
    assert 1 == scraped(api, SCRAPER)["reembed_state_store_up"][()]
    assert 401 == api.get("/bots", SCRAPER).status_code
    assert 401 == Api().get("/metrics", SCRAPER).status_code


def test_a_state_store_that_is_away_is_told_and_is_no_error() -> None:
    api = Api(metrics_token=SCRAPER)
    api.world.store.reachable = False
    found = scraped(api, SCRAPER)
    assert {(): 0} == found["reembed_state_store_up"]
    assert "reembed_migrations" not in found
    assert 503 == api.get("/metrics", "admin-token").status_code


def test_the_format_is_what_the_scraper_asks_for() -> None:
    api = Api()
    plain = api.get("/metrics", "admin-token")
    assert "text/plain; version=0.0.4; charset=utf-8" == plain.content_type
    openmetrics = {"Accept": "application/openmetrics-text; version=1.0.0"}
    told = api.get("/metrics", "admin-token", headers=openmetrics)
    assert told.content_type.startswith("application/openmetrics-text")
    assert told.text.endswith("# EOF\n")


def test_refusals_and_waits_of_the_limiter_are_told_by_provider() -> None:
    api = Api(metrics_token=SCRAPER)
    api.world.limiter.refused("openai")
    api.world.limiter.waited("openai", 1.5)
    api.world.store.reachable = False
    found = scraped(api, SCRAPER)
    assert {("openai",): 1} == found["reembed_limiter_refusals_total"]
    assert {("openai",): 1.5} == found["reembed_limiter_waited_seconds_total"]


def test_workers_that_are_alive_are_told_by_the_queues_they_take_from() -> None:
    api = Api()
    assert {0} == set(scraped(api)["reembed_queue_workers"].values())
    note = WorkerNote("1", "control@h", "h", 1, (CONTROL_QUEUE,), "0", api.world.clock.now())
    api.world.store.note_worker(note)
    assert 1 == scraped(api)["reembed_queue_workers"][(CONTROL_QUEUE,)]
    api.world.clock.sleep(3600)
    assert {0} == set(scraped(api)["reembed_queue_workers"].values())


# --- asking for them --------------------------------------------------------------------


class Store:
    def __init__(self) -> None:
        self.asked = 0
        self.fault: Exception | None = None
        self.now = 0.0

    def figures(self) -> Figures:
        self.asked += 1
        if self.fault:
            raise self.fault
        return Figures()


def recent(store: Store) -> Recent[Figures]:
    return Recent(store.figures, lambda: store.now)


def test_whoever_looks_within_a_few_seconds_is_told_the_same() -> None:
    store = Store()
    figures = recent(store)
    assert [Figures()] * 3 == [figures.get() for _ in range(3)]
    assert 1 == store.asked
    store.now = FRESH_SECONDS
    figures.get()
    assert 2 == store.asked


@pytest.mark.parametrize("fault", [StateStoreUnavailable(), NoAnswer("No answer within 3 s.")])
def test_figures_of_before_are_not_told_while_nobody_answers(fault: Any) -> None:
    store = Store()
    figures = recent(store)
    figures.get()
    store.fault, store.now = fault, FRESH_SECONDS
    assert figures.get() is None
    store.fault, store.now = None, 2 * FRESH_SECONDS
    assert Figures() == figures.get()


def test_a_state_store_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_figures, "PATIENCE_SECONDS", 0.01)
    thawed = threading.Event()

    def hang() -> Figures:
        thawed.wait(20)
        return Figures()

    figures = Recent(hang, lambda: 0.0)
    assert figures.get() is None
    thawed.set()
