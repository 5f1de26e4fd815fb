"""The report of a migration: as JSON, and as a page that needs nothing but itself."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from api.plots import bars_of, ranges
from migrations.model.golden import GoldenQuery
from migrations.model.report import Check
from migrations.model.states import Status
from migrations.proof.not_compared import not_compared
from tests.fakes.api_client import ACME, Api
from tests.fakes.embedders import LOCAL_256
from tests.fakes.world import row_of


@pytest.fixture
def api() -> Api:
    return Api()


def migrated(api: Api, **changes: Any) -> str:
    """The path of the report of a run that has gone as far as it does by itself."""
    migration = api.start(**changes)
    api.world.settle()
    return f"/embeddings/migration/{migration.id}/report"


def test_the_report_says_what_was_compared_how_much_and_what_was_not(api: Api) -> None:
    report = api.get(migrated(api)).json
    names = {check["name"] for check in report["checks"]}
    assert {"content", "vectors_of_their_text", "neighbourhoods", "retrieval"} <= names
    assert any("no golden queries" in sentence for sentence in report["not_compared"])
    assert {"validation", "data_migration", "verification"} <= report["tokens"].keys()
    assert report["verified_at"] is not None


def test_a_run_that_was_taken_back_for_what_was_found_keeps_its_report(api: Api) -> None:
    migration = api.start()
    api.world.deliver(before="migrations.phase.verification")
    another = row_of("k003", "another", LOCAL_256)
    api.world.vectors.put(migration.target_collection, another)
    api.world.settle()
    assert Status.ROLLED_BACK == api.stored(str(migration.id)).status
    report = api.get(f"/embeddings/migration/{migration.id}/report").json
    assert ["content"] == [check["name"] for check in report["checks"] if not check["passed"]]


def test_before_verification_nothing_was_compared(api: Api) -> None:
    report = api.get(f"/embeddings/migration/{api.start().id}/report").json
    assert ([], ["Nothing was compared yet."]) == (report["checks"], report["not_compared"])


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ({}, "application/json"),
        ({"query_string": {"format": "html"}}, "text/html"),
        ({"headers": {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}}, "text/html"),
        ({"headers": {"Accept": "*/*"}}, "application/json"),
        (
            {"headers": {"Accept": "text/html"}, "query_string": {"format": "json"}},
            "application/json",
        ),
    ],
)
def test_the_report_comes_as_it_is_asked_for(api: Api, how: dict[str, Any], kind: str) -> None:
    assert kind == api.get(migrated(api), **how).mimetype


def test_a_format_that_there_is_not_is_refused(api: Api) -> None:
    assert 422 == api.get(migrated(api), query_string={"format": "pdf"}).status_code


def test_the_page_needs_no_script_and_loads_nothing(api: Api) -> None:
    page = api.get(migrated(api), query_string={"format": "html"})
    assert "<script" not in page.text
    assert not re.search(r"(?:src|href)=|url\(|@import", page.text)
    assert "script-src" not in page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "prefers-color-scheme: dark" in page.text


def test_what_others_wrote_is_shown_as_text(api: Api) -> None:
    migration = api.start(postpone=True, gates_reason="<script>alert(1)</script>", gates={})
    api.world.settle()
    api.world.system.accept(ACME, migration.id, "<b>because</b>")
    page = api.get(f"/embeddings/migration/{migration.id}/report?format=html").text
    assert "<b>because" not in page
    assert "&lt;b&gt;because" in page


def test_plots_are_drawn_of_what_was_measured(api: Api) -> None:
    path = migrated(api)
    migration = api.stored(path.split("/")[3])
    verification: dict[str, Any] = dict(migration.verification or {})
    shown = [
        Check(
            name="neighbourhoods", passed=True, message="", details={"histogram": [0] * 5 + [6] * 6}
        ),
        Check(
            name="scores",
            passed=True,
            message="",
            details={
                "lowest": 0.1,
                "highest": 0.9,
                "before": [1] * 20,
                "after": [2] * 20,
                "thresholds": [{"share": 0.5, "before": 0.75, "after": 0.625}],
            },
        ),
    ]
    verification["checks"] = [check.model_dump() for check in shown]
    row = api.world.store._rows[migration.id]
    object.__setattr__(row.migration, "verification", verification)
    page = api.get(path, query_string={"format": "html"}).text
    drawn = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    plots = [ET.fromstring(svg) for svg in drawn]  # noqa: S314 # our own page
    assert [11, 40] == [len(plot.findall("rect")) for plot in plots]
    assert "0.625" in page


def test_bars_stand_side_by_side_as_shares_of_their_series() -> None:
    bars = bars_of([("before", [1, 3]), ("after", [0, 8])], ranges(0, 1, 2))
    assert [40.0, 120.0, 0.0, 160.0] == [bar.height for bar in bars]
    assert "after, 0.500 to 1.000: 8 (100.0%)" == bars[-1].tells


def test_a_sample_says_how_likely_it_finds_what_is_wrong() -> None:
    checks = [
        Check(name="vectors", passed=True, message="", details={"sampled": 200}),
        Check(name="content", passed=True, message="", details={"rows": 20_000}),
    ]
    (vectors, *_) = not_compared(checks)
    assert "19800 of 20000 rows" in vectors
    assert "probability of 87%, of two rows of all with 2.0%" in vectors


def test_a_bot_with_golden_queries_was_asked_the_questions_of_users(api: Api) -> None:
    api.world.system.set_golden_queries(ACME, "support", [GoldenQuery("a", "text 3?")])
    report = api.get(migrated(api)).json
    assert not any("golden" in sentence for sentence in report["not_compared"])


def test_a_list_of_questions_may_be_longer_than_other_bodies(api: Api) -> None:
    queries = [{"text": f"{i} " + "long " * 40} for i in range(1000)]
    assert 200 == api.put("/bots/support/golden-queries", json={"queries": queries}).status_code
    start = "/bots/support/embeddings/start-migration"
    assert 413 == api.post(start, json={"provider": "x" * 70_000}).status_code
