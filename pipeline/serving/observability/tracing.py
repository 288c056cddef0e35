"""OpenTelemetry traces of requests, sent by OTLP over HTTP; off unless an endpoint is configured.

OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT turns tracing on;
OTEL_TRACES_SAMPLER and OTEL_SERVICE_NAME apply. BentoML's own tracing slows every request, so
`OTEL_SDK_DISABLED` keeps it off; ours uses a provider of its own. No span attribute names a user.
"""

import os
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.trace import Span, Tracer

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
DISABLED = "OTEL_SDK_DISABLED"
NANOSECONDS = 1_000_000_000
SERVER_ERROR = 500


class Tracing:
    """Starts the trace of each request."""

    def __init__(self, processor: "SpanProcessor") -> None:
        """Create a provider that sends finished spans to `processor`."""
        self._provider = _build_provider(processor)
        self._tracer = self._provider.get_tracer("evergreen")

    def begin(self, name: str, headers: Iterable[tuple[bytes, bytes]]) -> "RequestTrace":
        """Return the trace of a request, which continues the caller's if the headers name one."""
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        carrier = {
            key.decode("latin-1"): value.decode("latin-1")
            for key, value in headers
            if key in {b"traceparent", b"tracestate"}
        }
        context = TraceContextTextMapPropagator().extract(carrier)
        span = self._tracer.start_span(name, context=context, kind=SpanKind.SERVER)
        return RequestTrace(self._tracer, span)

    def close(self) -> None:
        """Send pending spans."""
        self._provider.shutdown()


class RequestTrace:
    """The span of one request, and those of its stages."""

    def __init__(self, tracer: "Tracer", span: "Span") -> None:
        """Wrap a started span."""
        self._tracer = tracer
        self._span = span

    def add_stages(self, seconds: Mapping[str, float]) -> None:
        """Add a span for each of the consecutive stages that end now.

        Args:
            seconds: Duration by stage, in order.
        """
        from opentelemetry.trace import set_span_in_context

        context = set_span_in_context(self._span)
        begin = time.time_ns() - int(sum(seconds.values()) * NANOSECONDS)
        for name, value in seconds.items():
            end = begin + int(value * NANOSECONDS)
            self._tracer.start_span(name, context=context, start_time=begin).end(end)
            begin = end

    def end(self, *, method: str, route: str, status: int, request_id: str) -> None:
        """End the request's span."""
        from opentelemetry.trace import StatusCode

        self._span.set_attribute("http.request.method", method)
        self._span.set_attribute("http.route", route)
        self._span.set_attribute("http.response.status_code", status)
        self._span.set_attribute("evergreen.request_id", request_id)
        if status >= SERVER_ERROR:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


def build_tracing(environment: Mapping[str, str]) -> Tracing | None:
    """Return tracing if the environment configures an endpoint, else None."""
    if not any(environment.get(name) for name in ENDPOINTS):
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    return Tracing(BatchSpanProcessor(OTLPSpanExporter()))


def _build_provider(processor: "SpanProcessor") -> "TracerProvider":
    """Return a provider that works although OTEL_SDK_DISABLED is set in this process."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    disabled = os.environ.pop(DISABLED, None)
    try:
        default = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "evergreen"}
        provider = TracerProvider(resource=Resource.create(default))
        provider.add_span_processor(processor)
    finally:
        if disabled is not None:
            os.environ[DISABLED] = disabled
    return provider
