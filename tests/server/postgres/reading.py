"""Reads a real server through `Source.open`, without a pipeline; what is read is kept as plain values."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from tailrace.checkpoint.memory import Memory
from tailrace.contract import Positions, Stream
from tailrace.error import EndOfStream
from tailrace.model import UNCHANGED, Batch, Limits, Position
from tailrace.source import Postgres
from tests.waiting import until

PATIENCE_S = 90.0


@dataclass(frozen=True)
class Seen:
    """A change as it was read. `before` and `after` hold the texts of the server; an unsent cell is `...`."""

    op: str
    table: str
    key: dict[str, Any] | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    position: Position
    transaction: int | None


class Reading:
    """One pipeline's source over a checkpoint that survives `restart`, as it would a process."""

    def __init__(self, url: str, name: str, **options: Any) -> None:
        self.source = Postgres(url, **options)
        self.name = name
        self.limits = Limits(progress_interval_s=0.2)
        self.seen: list[Seen] = []
        self.batches: list[Batch] = []
        self.ended = False
        self._memory = Memory()
        self._positions: Positions | None = None
        self._stream: Stream | None = None

    @property
    def stream(self) -> Stream:
        assert self._stream is not None
        return self._stream

    @property
    def positions(self) -> Positions:
        """The open checkpoint; it is opened as needed, so that a test can look at or alter what is saved."""
        if self._positions is None:
            self._positions = self._memory.open(self.name)
        return self._positions

    @property
    def saved(self) -> Position | None:
        (position,) = self.positions.known().values()
        return position

    def open(self, *, until_current: bool = False, stop: threading.Event | None = None, **changes: Any) -> Reading:
        self.source = replace(self.source, **changes)
        self.ended = False
        self._stream = self.source.open(self.name, self.positions, self.limits, until_current=until_current, stop=stop)
        return self

    def read(self, timeout_s: float = 0.1, *, save: bool = True) -> Batch | None:
        """One read; what comes is kept, saved and confirmed, as a pipeline would."""
        try:
            batch = self.stream.read(timeout_s)
        except EndOfStream:
            self.ended = True
            return None
        assert batch is None or isinstance(batch, Batch)
        if batch is not None:
            self.batches.append(batch)
            self.seen.extend(_seen(batch))
            if save:
                self.positions.save(batch.positions)
                self.stream.confirm(batch.positions)
        return batch

    def until(self, done: Callable[[], bool], *, save: bool = True) -> Reading:
        """Read until `done`."""
        deadline = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < deadline, f"not after {PATIENCE_S} s; read {len(self.seen)} changes"
            assert not self.ended, "the stream ended"
            self.read(save=save)
        return self

    def first(self) -> Reading:
        """Read until something came, be it mere progress."""
        return self.until(lambda: bool(self.batches))

    def count(self, number: int) -> Reading:
        """Read until that many changes were seen in all."""
        return self.until(lambda: len(self.seen) >= number)

    def to_end(self) -> Reading:
        """Read until the stream ends by itself."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.ended:
            assert time.monotonic() < deadline, f"no end after {PATIENCE_S} s"
            self.read()
        return self

    def close(self) -> None:
        """Close the stream and the checkpoint, as the end of a process would."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        if self._positions is not None:
            self._positions.close()
            self._positions = None

    def restart(self, **changes: Any) -> Reading:
        self.close()
        return self.open(**changes)

    def ops(self) -> list[str]:
        return [change.op for change in self.seen]

    def rows(self) -> dict[tuple[str, ...], dict[str, Any]]:
        """The tables as a reader of the changes would hold them: (table, key values) to row."""
        return folded(self.seen)


def eventually(condition: Callable[[], bool]) -> None:
    """Wait for what the server does in its own time."""
    until(condition, timeout_s=PATIENCE_S)


def folded(changes: list[Seen]) -> dict[tuple[str, ...], dict[str, Any]]:
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    for change in changes:
        if change.op == "t":
            for key in [key for key in rows if key[0] == change.table]:
                del rows[key]
            continue
        if change.op == "m":
            continue
        assert change.key is not None
        now = (change.table, *change.key.values())
        was = change.before or change.key
        old = rows.pop((change.table, *(was[name] for name in change.key)), {})
        if change.op != "d":
            assert change.after is not None
            rows[now] = {name: old.get(name, ...) if v is ... else v for name, v in change.after.items()}
    return rows


def _seen(batch: Batch) -> Iterator[Seen]:
    for change in batch:
        if change.op == "m":
            assert change.message is not None
            after = {"prefix": change.message.prefix, "content": change.message.content}
            yield Seen("m", "", None, None, after, change.position, change.transaction)
            continue
        images = (change.key, change.before, change.after)
        key, before, after = (None if row is None else _texts(row.texts()) for row in images)
        yield Seen(change.op, str(change.table), key, before, after, change.position, change.transaction)


def _texts(cells: dict[str, Any]) -> dict[str, Any]:
    return {name: ... if cell is UNCHANGED else cell for name, cell in cells.items()}


Make = Callable[..., Reading]
Sql = Callable[..., list[tuple[Any, ...]]]
