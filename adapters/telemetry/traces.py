"""OpenTelemetry traces: one span per request, one for each of its stages. Configured by the standard OTEL_* variables.

Only a `traceparent` is taken from a client. Its `tracestate` and `baggage` are free text, which we would pass on.
"""

import time
from collections.abc import Mapping

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from application.request_trace import ObservedRequest

_SERVICE = "tryon-images"


class Traces:
    """Makes spans after the fact, out of request traces."""

    def __init__(self, service_name: str | None, exporter: SpanExporter | None = None) -> None:
        # A name in the environment (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES) is found by Resource.create itself.
        resource = Resource.create({"service.name": service_name or _SERVICE} if service_name is not None else {})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer(_SERVICE)
        self._propagator = TraceContextTextMapPropagator()

    def record(self, request: ObservedRequest) -> None:
        """Never raises, never waits: spans are sent in the background, or dropped when nobody takes them."""
        to_unix_ns = time.time_ns() - time.monotonic_ns()
        carrier = {"traceparent": request.traceparent} if request.traceparent else {}
        span = self._tracer.start_span(
            f"{request.method} {request.route}",
            context=self._propagator.extract(carrier),
            kind=trace.SpanKind.SERVER,
            attributes=self._attributes(request),
            start_time=request.started_ns + to_unix_ns,
        )
        if request.status >= 500:
            span.set_status(trace.StatusCode.ERROR)
        inside = trace.set_span_in_context(span)
        for stage in request.trace.stages:
            child = self._tracer.start_span(stage.name, context=inside, start_time=stage.started_ns + to_unix_ns)
            child.end(stage.ended_ns + to_unix_ns)
        span.end(request.ended_ns + to_unix_ns)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()

    @staticmethod
    def _attributes(request: ObservedRequest) -> Mapping[str, str | int]:
        facts = {f"tryon.{name}": fact for name, fact in request.trace.facts.items()}
        return {
            "http.request.method": request.method,
            "http.route": request.route,
            "http.response.status_code": request.status,
            **facts,
        }
