"""A source that reads a list and a sink that writes one, for tests of pipelines and plug-ins. Never talks to a server.

They keep the contracts of `contract.py` to the letter, and fail on request.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from tailrace._native import BatchBuilder
from tailrace.contract import Positions
from tailrace.error import EndOfStream, Fenced, HistoryLost, Reject
from tailrace.model import Batch, Change, Column, Finding, Limits, Position, Revoked, Table

__all__ = ["ORDERS", "AtomicSink", "ListSink", "Log", "LogSource", "Record", "Target"]

ORDERS = Table(
    "public", "orders", [Column("id", "int8", nullable=False), Column("note", "text")], key=["id"]
)  # fmt: skip
"""The table that a `Log` writes unless it is given another."""


_STEP = 4096
"""Bytes of log that a transaction takes."""


class Log:
    """The server's side: transactions that were committed, faults that are to come, and what was confirmed."""

    def __init__(self, lineage: str = "test/log") -> None:
        self.lineage = lineage
        self.confirmed: list[Position] = []
        self.released: list[str] = []
        self.events: list[str] = []
        """What streams were asked for, in order: open, tend (once in a row), close."""
        self._builder = BatchBuilder(lineage)
        self._batches: list[Batch] = []
        self._faults: deque[tuple[int, BaseException | Revoked]] = deque()
        self._changed = threading.Condition()
        self._lsn = 1 << 20

    def commit(self, *changes: tuple[str, Mapping[str, str | None]], table: Table = ORDERS) -> Position:
        """Commit one transaction of (op, cells); returns the position where it ends.

        The cells are the row after the change, for op d the row before it; for op t none.
        """
        with self._changed:
            self._lsn += _STEP
            self._builder.begin(xid=self._lsn >> 12, lsn=self._lsn, committed_at_us=time.time_ns() // 1000)
            for op, cells in changes:
                if op == "d":
                    self._builder.add("d", table, before=cells)
                elif op == "t":
                    self._builder.add("t", table)
                else:
                    self._builder.add(op, table, after=cells)  # type: ignore[arg-type]
            self._builder.commit()
            batch = self._builder.take()
            self._batches.append(batch)
            self._changed.notify_all()
        return batch.positions[0]

    def insert(self, key: int, note: str = "") -> Position:
        """Commit one insert into `ORDERS`."""
        return self.commit(("c", {"id": str(key), "note": note}))

    def fail(self, error: BaseException | Revoked) -> None:
        """Once everything committed so far has been read, `read` raises `error` (or returns the `Revoked`), once."""
        with self._changed:
            self._faults.append((len(self._batches), error))
            self._changed.notify_all()

    def note(self, event: str) -> None:
        """Record an event, unless it repeats the last one."""
        if not self.events or self.events[-1] != event:
            self.events.append(event)

    def after(self, position: Position | None) -> int:
        """Index of the first batch behind `position`; `HistoryLost` when it is no transaction's end."""
        if position is None:
            return 0
        ends = [batch.positions[0] for batch in self._batches]
        if position not in ends:
            raise HistoryLost(f"{position.text} is not in the log of {self.lineage}")
        return ends.index(position) + 1

    def nbytes_after(self, index: int) -> int:
        """How much a stream at `index` has not read."""
        return _STEP * (len(self._batches) - index)

    def next(self, index: int, bound: int | None, timeout_s: float) -> Batch | Revoked | None:
        """What a stream at `index` reads."""
        with self._changed:
            self._changed.wait_for(lambda: self._ready(index, bound), timeout_s)
            if self._faults and index >= self._faults[0][0]:
                error = self._faults.popleft()[1]
                if isinstance(error, Revoked):
                    return error
                raise error
            if bound is not None and index >= bound:
                raise EndOfStream
            return self._batches[index] if index < len(self._batches) else None

    def _ready(self, index: int, bound: int | None) -> bool:
        faulty = bool(self._faults) and index >= self._faults[0][0]
        return faulty or index < len(self._batches) or (bound is not None and index >= bound)

    def __len__(self) -> int:
        return len(self._batches)


@dataclass(frozen=True, slots=True)
class LogSource:
    """Reads a `Log` from right behind the saved position."""

    kind: ClassVar[str] = "log"
    log: Log = field(default_factory=Log)

    def check(self) -> list[Finding]:
        """See `Source.check`: nothing is ever missing."""
        return []

    def open(
        self,
        name: str,
        positions: Positions,
        limits: Limits,
        *,
        until_current: bool = False,
        stop: threading.Event | None = None,
    ) -> _LogStream:
        """See `Source.open`."""
        known = positions.known()
        if known and self.log.lineage not in known:
            raise HistoryLost(f"the saved position is of {', '.join(known)}, but this is {self.log.lineage}")
        saved = positions.claim(self.log.lineage)
        self.log.note("open")
        return _LogStream(self.log, self.log.after(saved), len(self.log) if until_current else None)

    def drop(self, name: str) -> list[str]:
        """See `Source.drop`: there is nothing to remove."""
        return []


class _LogStream:
    """See `Stream`."""

    def __init__(self, log: Log, index: int, bound: int | None) -> None:
        self._log = log
        self._index = index
        self._bound = bound

    def read(self, timeout_s: float) -> Batch | Revoked | None:
        """See `Stream.read`."""
        item = self._log.next(self._index, self._bound, timeout_s)
        if isinstance(item, Batch):
            self._index += 1
        return item

    def tend(self) -> None:
        """See `Stream.tend`."""
        self._log.note("tend")

    def confirm(self, positions: Sequence[Position]) -> None:
        """See `Stream.confirm`."""
        self._log.confirmed.extend(positions)

    def lag_bytes(self) -> int:
        """See `Measured.lag_bytes`."""
        return self._log.nbytes_after(self._index)

    def release(self, lineages: Sequence[str]) -> None:
        """See `Stream.release`."""
        self._log.released.extend(lineages)

    def close(self) -> None:
        """See `Stream.close`."""
        self._log.note("close")


@dataclass(frozen=True, slots=True)
class Record:
    """One change as a `Target` keeps it: cells as the server sent them."""

    op: str
    table: str
    key: Mapping[str, Any] | None
    cells: Mapping[str, Any] | None
    position: str


def _record(change: Change) -> Record:
    row = change.before if change.op == "d" else change.after
    return Record(
        op=change.op,
        table="" if change.op == "m" else str(change.table),
        key=change.key.texts() if change.key is not None else None,
        cells=row.texts() if row is not None else None,
        position=change.position.text,
    )


class Target:
    """The target's side: what is durable in it, and the faults that are to come."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.writes: list[int] = []
        """Number of changes of each successful write; 0 is progress."""
        self.offers = 0
        self.refuse: Callable[[Change], str | None] = lambda change: None
        """The reason why the sink can never take this change, or None."""
        self.gate = threading.Event()
        """While it is cleared, writes wait."""
        self.gate.set()
        self.events: list[str] = []
        self.epochs: dict[str, int] = {}
        self.saved: dict[str, Position | None] = {}
        self._faults: deque[BaseException] = deque()
        self._changed = threading.Condition()

    def fail(self, *errors: BaseException) -> None:
        """The next writes raise these, one each."""
        self._faults.extend(errors)

    def write(self, batch: Batch, commit: Callable[[], None] = lambda: None) -> None:
        """Take the whole batch or nothing of it; `commit` runs in the same step."""
        with self._changed:
            self.offers += 1
            self._changed.notify_all()
        self.gate.wait()
        if self._faults:
            raise self._faults.popleft()
        changes = list(batch)
        reasons = {index: reason for index, change in enumerate(changes) if (reason := self.refuse(change)) is not None}
        if reasons:
            raise Reject(reasons)
        with self._changed:
            commit()
            self.records += map(_record, changes)
            self.writes.append(len(changes))
            self._changed.notify_all()

    def wait(self, count: int, timeout_s: float = 60.0) -> list[Record]:
        """Wait until `count` records are durable; returns all of them. TimeoutError after `timeout_s`."""
        self.wait_for(lambda: len(self.records) >= count, timeout_s)
        return list(self.records)

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
        """Wait until `condition` holds, asked again at every offer and write. TimeoutError after `timeout_s`."""
        with self._changed:
            if not self._changed.wait_for(condition, timeout_s):
                raise TimeoutError(f"{len(self.records)} records and {self.offers} offers after {timeout_s} s")

    @property
    def keys(self) -> list[str | None]:
        """The `id` of every record, in order."""
        return [record.key["id"] if record.key else None for record in self.records]


@dataclass(frozen=True, slots=True)
class ListSink:
    """Writes into a `Target`, and leaves the position to a checkpoint."""

    kind: ClassVar[str] = "list"
    transactional: ClassVar[bool] = False
    table_like: ClassVar[bool] = False
    truncate: ClassVar[bool] = True
    target: Target = field(default_factory=Target)

    def check(self) -> list[Finding]:
        """See `Sink.check`: nothing is ever missing."""
        return []

    def open(self, name: str, limits: Limits) -> _ListWriter:
        """See `Sink.open`."""
        self.target.events.append("open")
        return _ListWriter(self.target)


class _ListWriter:
    """See `Writer`."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def write(self, batch: Batch) -> None:
        """See `Writer.write`."""
        self._target.write(batch)

    def close(self) -> None:
        """See `Writer.close`."""
        self._target.events.append("close")


@dataclass(frozen=True, slots=True)
class AtomicSink:
    """Writes into a `Target`, the position in the same step: exactly-once."""

    kind: ClassVar[str] = "atomic"
    transactional: ClassVar[bool] = True
    table_like: ClassVar[bool] = False
    truncate: ClassVar[bool] = True
    target: Target = field(default_factory=Target)

    def check(self) -> list[Finding]:
        """See `Sink.check`: nothing is ever missing."""
        return []

    def open(self, name: str, limits: Limits) -> _AtomicWriter:
        """See `Sink.open`."""
        self.target.events.append("open")
        return _AtomicWriter(self.target)


class _AtomicWriter:
    """See `Writer` and `Positions`."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._epochs: dict[str, int] = {}

    def known(self) -> Mapping[str, Position | None]:
        """See `Positions.known`."""
        return dict(self._target.saved)

    def claim(self, lineage: str) -> Position | None:
        """See `Positions.claim`."""
        self._epochs[lineage] = self._target.epochs[lineage] = self._target.epochs.get(lineage, 0) + 1
        return self._target.saved.setdefault(lineage, None)

    def write(self, batch: Batch) -> None:
        """See `Writer.write`."""

        def commit() -> None:
            for position in batch.positions:
                if self._epochs.get(position.lineage) != self._target.epochs.get(position.lineage):
                    raise Fenced(f"{position.lineage} was claimed again since")
            self._target.saved.update({position.lineage: position for position in batch.positions})

        self._target.write(batch, commit)

    def save(self, positions: Sequence[Position]) -> None:
        """See `Positions.save`: `write` has done it."""

    def forget(self) -> None:
        """See `Positions.forget`."""
        self._target.saved.clear()
        self._target.epochs.clear()

    def move(self, lineage: str, position: Position) -> None:
        """See `Movable.move`."""
        if self._epochs.get(lineage) != self._target.epochs.get(lineage):
            raise Fenced(f"{lineage} was claimed again since")
        del self._target.saved[lineage]
        self._epochs[position.lineage] = self._target.epochs[position.lineage] = self._target.epochs.pop(lineage)
        self._target.saved[position.lineage] = position

    def close(self) -> None:
        """See `Writer.close`."""
        self._target.events.append("close")
