"""`--traces`: sends spans by OTLP, as OpenTelemetry's own OTEL_… variables say. Never decides what is sampled."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tailrace.error import ConfigError

__all__ = ["traced"]


@contextlib.contextmanager
def traced() -> Iterator[None]:
    """Set up the SDK for this process; what it still holds is sent at the end. `ConfigError` without the extra."""
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ConfigError("--traces needs OpenTelemetry", hint="pip install 'tailrace[otel]'") from error
    named = Resource({SERVICE_NAME: "tailrace"}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=named)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()
