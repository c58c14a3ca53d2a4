"""OpenTelemetry spans of what a pipeline does with a batch. Never holds values, never samples: that is the SDK's part.

There are spans when an SDK was set up in this process before the pipeline runs. Without one, OpenTelemetry is not even
imported, and a batch costs two empty `with` blocks.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Protocol

from tailrace.model import Batch, Position

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

__all__ = ["Spans", "spans"]

_NOTHING = nullcontext()


class Spans(Protocol):
    """What is traced of a line; used on the writer thread only."""

    def batch(self, batch: Batch) -> AbstractContextManager[None]:
        """From the shelf until it is durable in the sink."""
        ...

    def write(self) -> AbstractContextManager[None]:
        """In the sink, parking what it refuses included; a child of `batch`."""
        ...

    def save(self, positions: Sequence[Position]) -> AbstractContextManager[None]:
        """The position is made durable; a child of the last `batch`, even when that has ended."""
        ...


def spans(pipeline: str, *, source: str, sink: str) -> Spans:
    """The spans of one pipeline; empty ones unless somebody has set up an SDK."""
    module = sys.modules.get("opentelemetry.trace")
    if module is None or isinstance(module.get_tracer_provider(), module.ProxyTracerProvider):
        return _Silent()
    return _Traced(module.get_tracer("tailrace"), {"tailrace.pipeline": pipeline, "tailrace.source": source,
                                                  "tailrace.sink": sink})  # fmt: skip


class _Silent:
    """Nobody listens."""

    def batch(self, batch: Batch) -> AbstractContextManager[None]:
        """See `Spans.batch`."""
        return _NOTHING

    def write(self) -> AbstractContextManager[None]:
        """See `Spans.write`."""
        return _NOTHING

    def save(self, positions: Sequence[Position]) -> AbstractContextManager[None]:
        """See `Spans.save`."""
        return _NOTHING


class _Traced:
    """Spans of an SDK."""

    def __init__(self, tracer: Tracer, attributes: dict[str, str]) -> None:
        self._tracer = tracer
        self._attributes = attributes
        self._batch: Span | None = None

    @contextmanager
    def batch(self, batch: Batch) -> Iterator[None]:
        """See `Spans.batch`."""
        attributes = {**self._attributes, "tailrace.changes": len(batch), "tailrace.bytes": batch.nbytes}
        attributes["tailrace.positions"] = [position.text for position in batch.positions]
        attributes["tailrace.tables"] = [str(table) for table in batch.tables]
        with self._span("tailrace.batch", attributes) as self._batch:
            yield

    @contextmanager
    def write(self) -> Iterator[None]:
        """See `Spans.write`."""
        with self._span("tailrace.write", self._attributes):
            yield

    @contextmanager
    def save(self, positions: Sequence[Position]) -> Iterator[None]:
        """See `Spans.save`."""
        attributes = {**self._attributes, "tailrace.positions": [position.text for position in positions]}
        with self._span("tailrace.save", attributes, parent=self._batch):
            yield

    @contextmanager
    def _span(self, name: str, attributes: object, *, parent: Span | None = None) -> Iterator[Span]:
        """A span that fails with the class of what is raised: messages that are not ours may quote row values (I9)."""
        from opentelemetry.trace import Status, StatusCode, set_span_in_context

        with self._tracer.start_as_current_span(
            name,
            context=None if parent is None else set_span_in_context(parent),
            attributes=attributes,  # type: ignore[arg-type]
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except BaseException as error:
                span.set_attribute("error.type", type(error).__qualname__)
                span.set_status(Status(StatusCode.ERROR, type(error).__qualname__))
                raise
