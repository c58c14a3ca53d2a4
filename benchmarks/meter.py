"""What this process spends between two points. Never looks at other processes."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import TypedDict


class Numbers(TypedDict):
    """What a side of a benchmark reports of itself."""

    seconds: float
    cpu_s: float
    events: int
    rss_mb: float
    extra: dict[str, float]


class Meter:
    """Wall and processor seconds (of all threads) of a `with` block."""

    def __enter__(self) -> Meter:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = time.perf_counter() - self._wall
        self.cpu_s = time.process_time() - self._cpu

    def numbers(self, events: int, **extra: float) -> Numbers:
        """As a side reports them, with this process's highest resident memory so far."""
        return Numbers(seconds=self.seconds, cpu_s=self.cpu_s, events=events, rss_mb=peak_mb(), extra=extra)


def peak_mb() -> float:
    """The highest resident memory that this process ever had (VmHWM), in MB of 2^20 bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("this kernel does not tell VmHWM")
