"""Transactions that go on while faults are made, and the ledger of what was acknowledged (tests/crash/load.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.crash.load import Load, fill
from tests.waiting import until

_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class Done:
    """What a test has committed by itself: the transactions of `writer` up to `committed`."""

    writer: int
    committed: int


class Traffic:
    """Writers of a source that was filled, each on a connection of its own; they outlive a restart of the server."""

    def __init__(self, url: str, *, seed: int, rows: int = 500, writers: Sequence[int] = (1, 2)) -> None:
        fill(url, rows)
        self._done: list[Done] = []
        self._loads = [Load(url, writer, seed=seed, pause_s=_PAUSE_S) for writer in writers]
        for load in self._loads:
            load.start()

    def passes(self, count: int = 5) -> None:
        """Wait until each writer has committed so many more transactions."""
        goals = [load.committed + count for load in self._loads]
        until(lambda: all(load.committed >= goal for load, goal in zip(self._loads, goals, strict=True)), "for traffic")

    @property
    def cuts(self) -> int:
        """How often the server failed a writer."""
        return sum(load.cuts for load in self._loads)

    def adds(self, writer: int, committed: int) -> None:
        """Count what the test has committed by itself."""
        self._done.append(Done(writer, committed))

    def forgets(self, writer: int) -> None:
        """The server has lost what the test had committed by itself, as one does that is restored from a backup."""
        self._done = [done for done in self._done if done.writer != writer]

    def has(self, reached: Mapping[int, int]) -> bool:
        """Whether each transaction up to these, of each writer, was committed and acknowledged."""
        last = {0: 0} | {each.writer: each.committed for each in (*self._loads, *self._done)}
        return all(writer in last and tx <= last[writer] for writer, tx in reached.items())

    def stop(self) -> None:
        """No more transactions; harmless again."""
        for load in self._loads:
            load.stop()

    @property
    def committed(self) -> list[Done]:
        """The ledger, once stopped: asks the server for what was cut off before its acknowledgement."""
        for load in self._loads:
            load.resolve()
        return [*(Done(load.writer, load.committed) for load in self._loads), *self._done]
