"""Transactions that go on while faults are made, and the ledger of what was acknowledged (tests/crash/load.py)."""

from __future__ import annotations

from collections.abc import Sequence

from tests.crash.load import Load, fill
from tests.waiting import until


class Traffic:
    """Writers of a source that was filled, each on a connection of its own; they outlive a restart of the server."""

    def __init__(self, url: str, *, rows: int = 500, writers: Sequence[int] = (1, 2)) -> None:
        fill(url, rows)
        self.loads = [Load(url, writer) for writer in writers]
        for load in self.loads:
            load.start()

    def passes(self, count: int = 5) -> None:
        """Wait until each writer has committed so many more transactions."""
        goals = [load.committed + count for load in self.loads]
        until(lambda: all(load.committed >= goal for load, goal in zip(self.loads, goals, strict=True)), "for traffic")

    def stop(self) -> None:
        """No more transactions; harmless again."""
        for load in self.loads:
            load.stop()
