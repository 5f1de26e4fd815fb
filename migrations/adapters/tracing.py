"""OpenTelemetry; imported only where an endpoint for its spans is set."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from migrations.model.errors import ReembedError
from migrations.ports.tracing import Kind, Span, Value

_KINDS = {
    "server": SpanKind.SERVER,
    "consumer": SpanKind.CONSUMER,
    "client": SpanKind.CLIENT,
    "internal": SpanKind.INTERNAL,
}
_PROPAGATOR = TraceContextTextMapPropagator()


class _Open:
    """A span under way. What an error has said may repeat a text, so only its code is told."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def name(self, name: str) -> None:
        self._span.update_name(name)

    def note(self, **attributes: Value) -> None:
        for key, value in attributes.items():
            self._span.set_attribute(f"reembed.{key}", value)

    def fails(self, code: str) -> None:
        self._span.set_attribute("error.type", code)
        self._span.set_status(Status(StatusCode.ERROR))


class OpenTelemetryTracing:
    """Implements :class:`migrations.ports.tracing.Tracing`."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("reembed")

    @contextmanager
    def span(
        self, name: str, parent: str | None, kind: Kind, attributes: dict[str, Value]
    ) -> Iterator[Span]:
        is_within = trace.get_current_span().get_span_context().is_valid
        above = _PROPAGATOR.extract({"traceparent": parent}) if parent and not is_within else None
        with self._tracer.start_as_current_span(
            name,
            context=above,
            kind=_KINDS[kind],
            record_exception=False,
            set_status_on_exception=False,
        ) as begun:
            span = _Open(begun)
            span.note(**attributes)
            try:
                yield span
            except Exception as error:
                span.fails(error.code if isinstance(error, ReembedError) else type(error).__name__)
                raise

    def here(self) -> str | None:
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        return carrier.get("traceparent")


def exporting(service: str) -> OpenTelemetryTracing:
    """To where OpenTelemetry's own variables say, in the background."""
    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": service}
    provider = TracerProvider(resource=Resource.create(named))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return OpenTelemetryTracing(provider)
