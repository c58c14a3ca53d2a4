"""Spans of batches, by the SDK's own exporter in memory; nothing at all without an SDK."""

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tailrace.checkpoint import Memory
from tailrace.error import Fatal
from tailrace.model import Limits
from tailrace.pipeline import Pipeline
from tailrace.testing.fake import ListSink, Log, LogSource, Target

SECRET = "a-note-of-a-customer"


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """What the SDK of this process was given; the SDK goes with the test."""
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield memory


def pipeline(log: Log, target: Target) -> Pipeline:
    limits = Limits(save_interval_s=0)
    return Pipeline(LogSource(log), ListSink(target), name="p", checkpoint=Memory(), state_dir=None, limits=limits)


def named(exporter: InMemorySpanExporter, name: str) -> Sequence[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name == name]


def test_a_batch_is_a_span_with_write_and_save_as_children_and_without_values(exporter: InMemorySpanExporter) -> None:
    log, target = Log(), Target()
    end = log.insert(1, SECRET)
    pipeline(log, target).run(until_current=True)
    [batch], [write], [save] = (named(exporter, f"tailrace.{name}") for name in ("batch", "write", "save"))
    assert batch.attributes is not None
    assert dict(batch.attributes) == {
        "tailrace.pipeline": "p", "tailrace.source": "log", "tailrace.sink": "list", "tailrace.changes": 1,
        "tailrace.bytes": batch.attributes["tailrace.bytes"], "tailrace.positions": (end.text,),
        "tailrace.tables": ("public.orders",),
    }  # fmt: skip
    for child in (write, save):
        assert child.parent is not None and batch.context is not None
        assert child.parent.span_id == batch.context.span_id
    assert SECRET not in "".join(span.to_json() for span in exporter.get_finished_spans())


def test_i9_a_failure_is_told_by_its_class(exporter: InMemorySpanExporter) -> None:
    log, target = Log(), Target()
    log.insert(1)
    target.fail(ValueError(SECRET))
    with pytest.raises(Fatal):
        pipeline(log, target).run(until_current=True)
    [write] = named(exporter, "tailrace.write")
    assert write.attributes is not None
    assert write.attributes["error.type"] == "Fatal"
    assert not write.status.is_ok
    assert SECRET not in "".join(span.to_json() for span in exporter.get_finished_spans())


def test_without_an_sdk_opentelemetry_is_not_imported() -> None:
    program = """
import sys
from tailrace.checkpoint import Memory
from tailrace.pipeline import Pipeline
from tailrace.testing.fake import ListSink, Log, LogSource, Target
log, target = Log(), Target()
log.insert(1)
Pipeline(LogSource(log), ListSink(target), name="p", checkpoint=Memory(), state_dir=None).run(until_current=True)
print(len(target.records), [name for name in sys.modules if name.startswith(("opentelemetry", "prometheus"))])
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "1 []\n"


def test_two_pipelines_of_a_process_have_spans_of_their_own(exporter: InMemorySpanExporter) -> None:
    log, target = Log(), Target()
    for key in range(20):
        log.insert(key)
    threads = [threading.Thread(target=pipeline(log, target).run, kwargs={"until_current": True}) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    batches = {span.context.span_id for span in named(exporter, "tailrace.batch") if span.context}
    assert all(span.parent and span.parent.span_id in batches for span in named(exporter, "tailrace.save"))
