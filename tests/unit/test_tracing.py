"""Spans, where they are switched on: one migration is one trace, and nothing it says is told."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from devstack.server import PROJECT
from migrations import bootstrap
from migrations.adapters.tracing import OpenTelemetryTracing
from migrations.model.errors import StateStoreUnavailable
from migrations.model.states import Phase
from migrations.process import tracing
from tests.fakes.api_client import TARGET, Api
from tests.fakes.world import World

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(OpenTelemetryTracing(provider))
    yield exporter
    tracing.use(None)


def named(spans: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in spans.get_finished_spans() if span.name == name]


def trace_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


def test_the_request_the_phases_and_the_batches_of_a_migration_are_one_trace(
    spans: InMemorySpanExporter,
) -> None:
    api = Api()
    spans.clear()  # of the registration, which was no request
    start = "/bots/support/embeddings/start-migration"
    answer = api.post(start, json={**TARGET, "batch_size": 3})
    api.world.deliver()
    (request,) = named(spans, "POST /bots/<bot_id>/embeddings/start-migration")
    assert request.parent is None
    work = [span for span in spans.get_finished_spans() if span is not request]
    assert {f"phase {phase}" for phase in Phase} | {"batch", "embed"} == {one.name for one in work}
    assert {trace_of(request)} == {trace_of(span) for span in work}
    migration_id = answer.json["migration"]["migration_id"]
    phases = [span for span in work if span.name.startswith("phase")]
    for span in (*phases, *named(spans, "batch")):
        assert span.attributes is not None
        assert migration_id == span.attributes["reembed.migration_id"]


def test_a_request_is_within_its_callers_trace(spans: InMemorySpanExporter) -> None:
    Api().get("/healthz", None, headers={"traceparent": CALLER})
    (span,) = named(spans, "GET /healthz")
    assert span.parent is not None
    assert CALLER == f"00-{trace_of(span)}-{span.parent.span_id:016x}-01"
    spans.clear()
    Api().get("/nowhere/1", None, headers={"traceparent": "no such thing"})
    (span,) = named(spans, "GET none")
    assert span.parent is None


def test_calls_to_a_provider_are_within_the_work_that_makes_them(
    spans: InMemorySpanExporter,
) -> None:
    World(12).complete()
    batches = {span.context.span_id for span in named(spans, "batch") if span.context}
    calls = named(spans, "embed")
    for_batches = [c for c in calls if (c.attributes or {})["reembed.purpose"] == "data_migration"]
    assert for_batches
    assert {c.parent.span_id for c in for_batches if c.parent} <= batches


def test_a_migration_that_no_request_is_known_of_has_a_trace_of_its_own(
    spans: InMemorySpanExporter,
) -> None:
    world = World(12)
    tracing_of_before, tracing._tracing = tracing._tracing, tracing._Off()
    migration = world.start()
    tracing._tracing = tracing_of_before
    world.deliver()
    assert migration.trace is None
    assert {migration.id.hex} == {trace_of(span) for span in spans.get_finished_spans()}


def test_of_an_error_its_code_is_told_and_not_what_it_says(spans: InMemorySpanExporter) -> None:
    with pytest.raises(StateStoreUnavailable), tracing.span("phase"):
        raise StateStoreUnavailable("an unspeakable text")
    with pytest.raises(ValueError, match="unspeakable"), tracing.span("phase"):
        raise ValueError("an unspeakable text")
    told = [span.to_json() for span in spans.get_finished_spans()]
    assert "unspeakable" not in str(told)
    codes = [(span.attributes or {})["error.type"] for span in spans.get_finished_spans()]
    assert [StateStoreUnavailable.code, "ValueError"] == codes


def test_no_text_key_or_owner_is_told(spans: InMemorySpanExporter) -> None:
    world = World(["an unspeakable text"] * 3)
    world.complete()
    told = str([span.to_json() for span in spans.get_finished_spans()])
    for word in ("unspeakable", "k001", "owner"):
        assert word not in told


def test_nothing_is_imported_for_it_unless_an_endpoint_is_set() -> None:
    program = (
        "import sys, api, worker\n"
        "from migrations.bootstrap import start_tracing\n"
        "start_tracing('reembed-api')\n"
        # redis-py looks for OpenTelemetry's metrics by itself.
        "ours = ('opentelemetry.sdk.trace', 'opentelemetry.exporter')\n"
        "print([name for name in sys.modules if name.startswith(ours)])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert "[]" == ended.stdout.splitlines()[-1]


def test_an_endpoint_switches_it_on(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[object] = []
    monkeypatch.setattr(tracing, "use", used.append)
    bootstrap.start_tracing("reembed-api")
    assert [] == used
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    bootstrap.start_tracing("reembed-api")
    assert [OpenTelemetryTracing] == [type(one) for one in used]
