"""Prometheus' view of the pipelines: gathered when somebody asks, by `prometheus_client`. Costs a pipeline nothing.

Names keep to the conventions of the field: a prefix, the unit last, `_total` on what only grows, one label `pipeline`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tailrace._native import __version__
from tailrace.pipeline import State, Status

__all__ = ["CONTENT_TYPE", "METRICS", "Metrics", "Seen"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_RUNNING = {State.SNAPSHOT, State.STREAMING}


@dataclass(frozen=True, slots=True)
class Seen:
    """One pipeline at one moment: its Status, the verdict on it, and what the server keeps for it (None: unknown)."""

    status: Status
    healthy: bool
    retained_bytes: int | None


Value = Callable[[Seen], float | None]
METRICS: Sequence[tuple[type[CounterMetricFamily] | type[GaugeMetricFamily], str, str, Value]] = (
    (CounterMetricFamily, "tailrace_changes_total", "Changes made durable in the sink.", lambda s: s.status.changes),
    (CounterMetricFamily, "tailrace_change_bytes_total", "Bytes of their cells.", lambda s: s.status.nbytes),
    (CounterMetricFamily, "tailrace_batches_total", "Batches made durable in the sink.", lambda s: s.status.batches),
    (CounterMetricFamily, "tailrace_restarts_total", "Faults that were waited out.", lambda s: s.status.restarts),
    (GaugeMetricFamily, "tailrace_healthy", "1 when there was progress lately, or nothing to do.", lambda s: s.healthy),
    (GaugeMetricFamily, "tailrace_running", "1 in a snapshot or streaming.", lambda s: s.status.state in _RUNNING),
    (GaugeMetricFamily, "tailrace_failed", "1 when it has stopped for good; a human must act.",
     lambda s: s.status.state is State.FAILED),
    (GaugeMetricFamily, "tailrace_lag_seconds",
     "Age of the oldest change that is not durable; 0 when caught up, absent when unknown.", lambda s: s.status.lag_s),
    (GaugeMetricFamily, "tailrace_lag_bytes",
     "Log that the server has and the pipeline has not read; absent when unknown.", lambda s: s.status.lag_bytes),
    (GaugeMetricFamily, "tailrace_caught_up_timestamp_seconds",
     "Unix time; all that was committed before is durable.", lambda s: s.status.caught_up_at),
    (GaugeMetricFamily, "tailrace_progress_timestamp_seconds",
     "Unix time when something last became durable, or the source was seen idle.", lambda s: s.status.progressed_at),
    (GaugeMetricFamily, "tailrace_state_timestamp_seconds", "Unix time when the state last changed.",
     lambda s: s.status.since),
    (GaugeMetricFamily, "tailrace_retained_bytes",
     "Log that the server must keep for the pipeline; absent when unknown.", lambda s: s.retained_bytes),
    (GaugeMetricFamily, "tailrace_shelf_bytes", "Changes in memory that wait for the sink.",
     lambda s: s.status.shelf_nbytes),
    (GaugeMetricFamily, "tailrace_dead_letters", "Changes that the sink refused, parked.",
     lambda s: s.status.dead_letters),
)  # fmt: skip
"""Kind, name, help and value of each; None leaves the sample out."""


class Metrics(Collector):
    """Answers a scrape; `look` tells how the pipelines are at that moment."""

    def __init__(self, look: Callable[[], Iterable[Seen]]) -> None:
        self._look = look
        self._registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._registry.register(self)

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`."""
        seen = list(self._look())
        for kind, name, told, value in METRICS:
            family = kind(name, told, labels=["pipeline"])
            for each in seen:
                if (number := value(each)) is not None:
                    family.add_metric([each.status.name], number)
            yield family
        build = GaugeMetricFamily("tailrace_build_info", "1, labelled with the version.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build

    def describe(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`: nothing is to be checked in advance."""
        yield from ()
