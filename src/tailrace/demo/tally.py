"""What the demo has seen so far: numbers from the writer's and the pipelines' reports. Never talks to a process."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_RATE_WINDOW_S = 3.0
_RECENT_S = 2.0


def quantile(lags_ms: Mapping[int, int], share: float) -> int | None:
    """The lag that `share` of the changes did not exceed; None without changes."""
    left = share * sum(lags_ms.values())
    for lag_ms in sorted(lags_ms):
        left -= lags_ms[lag_ms]
        if left <= 0:
            return lag_ms
    return None


@dataclass(slots=True)
class Pace:
    """A count that grows, and how fast it grew over the last seconds."""

    count: int = 0
    _marks: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=64))

    def reach(self, count: int) -> None:
        """The count is now `count`."""
        self.count = count
        self._marks.append((time.monotonic(), count))

    @property
    def per_s(self) -> float:
        """Mean growth over the last three seconds."""
        now = time.monotonic()
        recent = [mark for mark in self._marks if now - mark[0] <= _RATE_WINDOW_S]
        return (recent[-1][1] - recent[0][1]) / (recent[-1][0] - recent[0][0]) if len(recent) > 1 else 0.0


@dataclass(slots=True)
class PipelineTally:
    """One pipeline over all its lives: `counted` and `lags_ms` go on where a killed process stopped reporting."""

    name: str
    road: str
    """Where it leads, in words."""
    state: str = "starting"
    partitions: int = 0
    """How many of a topic's are its own."""
    error: str | None = None
    delivered: Pace = field(default_factory=Pace)
    lags_ms: Counter[int] = field(default_factory=Counter)
    latest: list[str] = field(default_factory=list)
    _earlier: int = 0
    _recent: deque[tuple[float, Counter[int]]] = field(default_factory=lambda: deque(maxlen=64))

    def take(self, report: Mapping[str, Any]) -> None:
        """Add a report."""
        lags = Counter({int(lag_ms): count for lag_ms, count in report["lags_ms"].items()})
        self.state, self.error, self.partitions = report["state"], report["error"], report["partitions"]
        self.delivered.reach(self._earlier + report["changes"])
        self.latest = report["latest"] or self.latest
        self.lags_ms.update(lags)
        self._recent.append((time.monotonic(), lags))

    def killed(self) -> None:
        """Its process is gone; the next one counts from zero."""
        self.state = "killed"
        self._earlier = self.delivered.count

    @property
    def recent_lag_ms(self) -> int | None:
        """Median lag of the last two seconds."""
        now = time.monotonic()
        recent: Counter[int] = Counter()
        for at, lags in self._recent:
            if now - at <= _RECENT_S:
                recent.update(lags)
        return quantile(recent, 0.5)


@dataclass(slots=True)
class Tally:
    """Everything that the view shows and the result needs."""

    title: str
    pipelines: dict[str, PipelineTally]
    targets: Mapping[str, tuple[str, ...]]
    """Each copy, with the pipelines that fill it."""
    seconds: float
    kills_due: int
    written: Pace = field(default_factory=Pace)
    transactions: int = 0
    kills: int = 0
    phase: str = "starting"
    started_at: float = field(default_factory=time.monotonic)

    def lags_ms(self, target: str) -> Counter[int]:
        """The lags of every change in a copy."""
        return sum((self.pipelines[name].lags_ms for name in self.targets[target]), Counter[int]())

    @property
    def elapsed_s(self) -> float:
        """Seconds since the writer started."""
        return time.monotonic() - self.started_at

    def take(self, report: Mapping[str, Any]) -> None:
        """Add a report of the writer or of a pipeline."""
        if "pipeline" in report:
            self.pipelines[report["pipeline"]].take(report)
        else:
            self.written.reach(report["rows"])
            self.transactions = report["transactions"]
