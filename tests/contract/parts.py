"""A log in parts, and a source that shares them with all its readers: to each its share, as they come and go.

Never gives one up before its reader has settled it. Each method of `PartStream` is one that a test may break.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, cycle, islice
from typing import ClassVar

from tailrace.contract import Positions
from tailrace.error import EndOfStream, HistoryLost
from tailrace.model import Assigned, Batch, Finding, Limits, Position, Revoked, Unreadable
from tailrace.testing.fake import Log

_SETTLE_S = 60.0
Settle = Callable[[Revoked, float], bool]


class Parts:
    """The server's side: what each part holds, who reads it, and who has it."""

    def __init__(self, size: int = 3) -> None:
        self.logs = {f"test/parts/{at}": Log(f"test/parts/{at}") for at in range(size)}
        self.readers: list[PartStream] = []
        self.owners: dict[str, PartStream] = {}
        self.read: dict[str, int] = {}
        """How far readers have told that they are."""
        self.changed = threading.Condition()
        self._ids = count()
        self._turn = cycle(self.logs)

    def commit(self, rows: int) -> None:
        """So many rows, one transaction each, dealt out to the parts in turn."""
        for name in islice(self._turn, rows):
            self.insert(name)

    def insert(self, name: str) -> None:
        """One row into one part."""
        with self.changed:
            self.logs[name].insert(next(self._ids))
            self.changed.notify_all()

    def share(self, reader: PartStream) -> list[str]:
        """What is to be the reader's now."""
        at = self.readers.index(reader)
        return [name for number, name in enumerate(self.logs) if number % len(self.readers) == at]


class PartStream:
    """See `Stream` and `Shared`."""

    def __init__(self, parts: Parts, *, until_current: bool) -> None:
        self.parts = parts
        self.places: dict[str, int | None] = {}
        """Parts that are ours, and what comes next of them; None before it is begun."""
        self.marks: deque[Assigned] = deque()
        self.settle: Settle = lambda revoked, timeout_s: True
        self.closed = False
        with parts.changed:
            parts.readers.append(self)
            self.bounds = {name: len(log) for name, log in parts.logs.items()} if until_current else None
            parts.changed.notify_all()

    def attach(self, settle: Settle) -> None:
        self.settle = settle

    def begin(self, claimed: Mapping[str, Position | None]) -> None:
        for name, saved in claimed.items():
            if name in self.places:
                self.places[name] = self.start(name, saved)

    def start(self, name: str, saved: Position | None) -> int:
        return self.parts.logs[name].after(saved)

    def read(self, timeout_s: float) -> Batch | Assigned | Unreadable | None:
        self.look()
        deadline = time.monotonic() + timeout_s
        while not self.marks:
            if (batch := self.next()) is not None:
                return batch
            if self.is_done():
                raise EndOfStream
            with self.parts.changed:
                if not self.parts.changed.wait(max(deadline - time.monotonic(), 0.0)):
                    return None
            self.look()
        return self.marks.popleft()

    def tend(self) -> None:
        self.look()

    def confirm(self, positions: Sequence[Position]) -> None:
        """Advice that nobody needs."""

    def release(self, lineages: Sequence[str]) -> None:
        """What was settled is let go of already."""

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        with self.parts.changed:
            self.parts.readers.remove(self)
            self.disown(list(self.places))

    def next(self) -> Batch | None:
        """The next batch of any part that is read."""
        for name, at in self.places.items():
            if at is not None and (batch := self.parts.logs[name].next(at, None, 0.0)) is not None:
                assert isinstance(batch, Batch)
                self.places[name] = at + 1
                return batch
        return None

    def look(self) -> None:
        """Let go of what is another's, and take what is ours and nobody has."""
        with self.parts.changed:
            share = self.parts.share(self)
        if going := [name for name in self.places if name not in share]:
            self.let_go(going)
        with self.parts.changed:
            free = [name for name in share if name not in self.parts.owners]
            self.parts.owners.update(dict.fromkeys(free, self))
        if free:
            self.offer(free)

    def offer(self, lineages: list[str]) -> None:
        self.places.update(dict.fromkeys(lineages))
        self.marks.append(Assigned(tuple(lineages)))

    def let_go(self, lineages: list[str]) -> None:
        """A mark that was not told yet goes with them: `settle` is for what the reader knows of."""
        new = {name for mark in self.marks for name in mark.lineages}
        left = (tuple(name for name in mark.lineages if name not in lineages) for mark in self.marks)
        self.marks = deque(Assigned(names) for names in left if names)
        if known := tuple(name for name in lineages if name not in new):
            self.settle(Revoked(known), _SETTLE_S)
        self.forget(lineages)

    def forget(self, lineages: list[str]) -> None:
        for name in lineages:
            self.places.pop(name, None)
        self.disown(lineages)

    def disown(self, lineages: list[str]) -> None:
        with self.parts.changed:
            for name in lineages:
                if self.parts.owners.get(name) is self:
                    del self.parts.owners[name]
            self.parts.changed.notify_all()

    def is_done(self) -> bool:
        """A bounded stream has brought all of its parts that there was, and somebody has each of the others."""
        if self.bounds is None or self.parts.owners.keys() != self.parts.logs.keys():
            return False
        return all(at is not None and at >= self.bounds[name] for name, at in self.places.items())


@dataclass(frozen=True)
class PartSource:
    """Reads a log in parts, as one of its readers."""

    kind: ClassVar[str] = "parts"
    parts: Parts = field(default_factory=Parts)
    stream: type[PartStream] = PartStream

    def check(self) -> list[Finding]:
        return []

    def open(
        self,
        name: str,
        positions: Positions,
        limits: Limits,
        *,
        until_current: bool = False,
        stop: threading.Event | None = None,
    ) -> PartStream:
        self.refuse_foreign(positions)
        return self.stream(self.parts, until_current=until_current)

    def refuse_foreign(self, positions: Positions) -> None:
        if strange := positions.known().keys() - self.parts.logs.keys():
            raise HistoryLost(f"the saved position is of {', '.join(sorted(strange))}")

    def drop(self, name: str) -> list[str]:
        return []
