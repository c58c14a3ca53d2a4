"""How often the position is saved when nobody says how often: by a clock that the writes move."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import pytest

from tailrace.checkpoint import Memory
from tailrace.contract import Positions
from tailrace.model import Batch, Position
from tailrace.pipeline import Pipeline
from tailrace.testing.fake import AtomicSink, ListSink, Log, LogSource, Target
from tests.waiting import TIMEOUT_S

WRITE_S, WRITES = 0.125, 33


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Slow(Target):
    """Each write takes as long as the clock says."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def write(self, batch: Batch, commit: Callable[[], None] = lambda: None) -> None:
        self._clock.now += WRITE_S
        super().write(batch, commit)


class Noted:
    """A checkpoint that notes when it was saved."""

    def __init__(self, clock: Clock) -> None:
        self.times: list[float] = []
        self._clock = clock

    def open(self, name: str) -> Positions:
        inner = Memory().open(name)
        save = inner.save

        def noting(positions: Sequence[Position]) -> None:
            save(positions)
            self.times.append(self._clock.now)

        inner.save = noting  # type: ignore[method-assign]
        return inner


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("tailrace.pipeline.line.time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def follow(pipeline: Pipeline, log: Log, target: Target) -> None:
    """One write for each transaction, and a stop behind the last."""
    thread = threading.Thread(target=pipeline.run)
    thread.start()
    try:
        for key in range(WRITES):
            log.insert(key)
            target.wait(key + 1, TIMEOUT_S)
    finally:
        pipeline.stop()
        thread.join(TIMEOUT_S)
    assert not thread.is_alive()


def test_a_checkpoint_of_its_own_is_saved_once_a_second(clock: Clock) -> None:
    log, target, checkpoint = Log(), Slow(clock), Noted(clock)
    follow(
        Pipeline(LogSource(log), ListSink(target), name="p", checkpoint=checkpoint, state_dir=None),  # type: ignore[arg-type]
        log,
        target,
    )
    *paced, _ = checkpoint.times  # the last is that of the stop
    between = {after - before for before, after in itertools.pairwise(paced)}
    assert between == {1.0}
    assert len(checkpoint.times) == 1 + (WRITES - 1) * WRITE_S, "the first at once, and the last before the stop"


def test_where_the_position_is_kept_with_the_rows_each_write_saves_it(clock: Clock) -> None:
    log, target = Log(), Slow(clock)
    follow(Pipeline(LogSource(log), AtomicSink(target), name="p", state_dir=None), log, target)
    assert len(set(log.confirmed)) == len(log.confirmed) == WRITES
