"""`check_sink`: whether a sink keeps the promises of `contract.Sink` and `contract.Writer`. Runs no pipeline.

A third party calls it from a test of its own, on a target that is real.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count
from typing import Any, cast

from tailrace._native import BatchBuilder
from tailrace.contract import Movable, Positions, Sink, Writer
from tailrace.error import Fenced, Retryable
from tailrace.model import Batch, Column, Limits, Position, Severity, Table
from tailrace.testing.expect import expect

TABLE = Table("public", "orders", [Column("id", "int8", nullable=False), Column("note", "text")], key=["id"])
"""The table whose changes `check_sink` writes."""

Cells = Mapping[str, str | None]

_LINEAGE = "postgres/0/test/check_sink"
_NAME = "check_sink"


def check_sink(make_sink: Callable[[], Sink], read: Callable[[], Iterable[Cells]]) -> list[str]:
    """Put a sink through its contract; returns what was shown, raises AssertionError for what was not.

    `make_sink` returns the sink over one target, empty at first, the same at every call. `read` returns what the target
    holds, opened afresh, as `{"id": …, "note": …}` of texts: for a sink that is `table_like` the rows, in any order;
    for any other the events in order (the row after the change, the key alone for a delete).
    """
    trial = _Trial(make_sink, read)
    shown = [trial.declares(), trial.closes_twice(), trial.writes_durably(), trial.takes_progress()]
    sink = make_sink()
    if sink.transactional:
        shown += [trial.keeps_positions(), trial.fences(), trial.moves(), trial.forgets()]
    if sink.table_like:
        shown += [trial.holds_rows(), trial.repeats_harmlessly(), trial.leaves_no_ghosts()]
        if sink.truncate:
            shown.append(trial.truncates())
    return shown


class _Trial:
    """The checks, on one target that they fill in turn."""

    def __init__(self, make_sink: Callable[[], Sink], read: Callable[[], Iterable[Cells]]) -> None:
        self._make = make_sink
        self._read = read
        self._builder = BatchBuilder(_LINEAGE)
        self._lsn = count(1 << 24, 1 << 12)

    def declares(self) -> str:
        sink = self._make()
        expect(isinstance(sink, Sink), "kind, transactional, table_like, truncate, check and open are there")
        for name in ("table_like", "truncate"):
            expect(isinstance(getattr(type(sink), name, None), bool), f"{name} is a bool of the class")
        expect(isinstance(sink.transactional, bool), "transactional is a bool")
        errors = [finding for finding in sink.check() if finding.severity is Severity.ERROR]
        expect(not errors, f"check() finds nothing amiss with a good target: {errors}")
        return "declares what it is and finds a good target good"

    def closes_twice(self) -> str:
        writer = self._open()
        writer.close()
        writer.close()
        return "I12 closing twice is harmless"

    def writes_durably(self) -> str:
        rows: list[Cells] = [{"id": "1", "note": "first"}, {"id": "2", "note": None}]
        self._write(self._batch(("c", rows[0]), ("c", rows[1])))
        self._holds(rows, "what write returned from is there after close and open")
        return "write returns when the batch is durable"

    def takes_progress(self) -> str:
        before = list(self._read())
        self._write(Batch.progress(self._batch(("u", {"id": "1", "note": "first"})).positions[0]))
        expect(list(self._read()) == before, "an empty batch adds nothing")
        return "an empty batch is progress"

    def keeps_positions(self) -> str:
        batch = self._batch(("c", {"id": "3", "note": "third"}))
        self._write(batch)
        writer = self._open()
        try:
            known = cast(Positions, writer).known()
            expect(known.get(_LINEAGE) == batch.positions[0], "known() has the position of the last batch written")
        finally:
            writer.close()
        return "rows and position are stored together"

    def fences(self) -> str:
        old = self._open()
        cast(Positions, old).claim(_LINEAGE)
        before = list(self._read_or_none())
        try:
            new = self._make().open(_NAME, Limits())
        except Retryable:
            old.close()
            return "I16 a second process is kept out by a lock"
        try:
            cast(Positions, new).claim(_LINEAGE)
            batch = self._batch(("c", {"id": "99", "note": "from the paused process"}))
            expect(_raises(Fenced, lambda: old.write(batch)), "a write of an older epoch raises Fenced")
        finally:
            old.close()
            new.close()
        expect(not before or list(self._read()) == before, "a fenced write leaves nothing behind")
        return "I16 of two claims only the last one writes"

    def moves(self) -> str:
        writer = self._open()
        if not isinstance(writer, Movable):
            writer.close()
            return "its position stays with its lineage"
        positions = cast(Positions, writer)
        saved = positions.claim(_LINEAGE)
        expect(saved is not None, "claim() returns what was saved")
        there = Position(_LINEAGE + "_upgraded", cast(Position, saved).text)
        writer.move(_LINEAGE, there)
        expect(dict(positions.known()) == {there.lineage: there}, "move() leaves the other lineage and nothing else")
        writer.close()
        again = self._open()
        kept = cast(Positions, again)
        expect(kept.claim(there.lineage) == there, "what was moved is found again")
        cast(Movable, again).move(there.lineage, cast(Position, saved))
        again.close()
        return "a position is carried over to another lineage"

    def forgets(self) -> str:
        writer = self._open()
        positions = cast(Positions, writer)
        positions.forget()
        expect(not positions.known(), "after forget() nothing is known")
        writer.close()
        return "forget removes every claim and position"

    def holds_rows(self) -> str:
        self._write(
            self._batch(
                ("c", {"id": "10", "note": "ten"}), ("u", {"id": "10", "note": "TEN"}), ("c", {"id": "11", "note": "x"})
            )
        )
        self._write(self._batch(("d", {"id": "11"}), ("c", {"id": "12", "note": "twelve"})))
        rows = {row["id"]: row["note"] for row in self._read()}
        expect(rows.get("10") == "TEN" and rows.get("12") == "twelve", "updates and inserts are applied in order")
        expect("11" not in rows, "a deleted row is gone")
        return "it holds the rows as they are at the source"

    def repeats_harmlessly(self) -> str:
        batch = self._batch(("u", {"id": "10", "note": "again"}), ("c", {"id": "13", "note": "n"}), ("d", {"id": "12"}))
        self._write(batch)
        once = _sorted(self._read())
        self._write(batch)
        expect(_sorted(self._read()) == once, "a batch that comes again changes nothing")
        return "I4 a batch that is offered again is harmless"

    def leaves_no_ghosts(self) -> str:
        self._write(self._snapshot("attempt-1", [{"id": "20", "note": "deleted later"}, {"id": "21", "note": "stays"}]))
        self._write(self._snapshot("attempt-2", [{"id": "21", "note": "stays"}], end=True))
        # Progress beyond the snapshot: a sink may keep a snapshot aside until it is complete.
        self._write(Batch.progress(self._batch(("u", {"id": "21", "note": "stays"})).positions[0]))
        rows = {row["id"] for row in self._read()}
        expect("20" not in rows, "a row of an earlier attempt that the new one does not have is gone")
        expect("21" in rows, "a row of the new attempt is there")
        return "I15 a restarted snapshot leaves no ghost rows"

    def truncates(self) -> str:
        self._write(self._batch(("t", {}), ("c", {"id": "30", "note": "after"})))
        self._holds([{"id": "30", "note": "after"}], "TRUNCATE removes what came before it, and nothing else")
        return "TRUNCATE is applied in its place"

    def _open(self) -> Writer:
        return self._make().open(_NAME, Limits())

    def _read_or_none(self) -> Sequence[Cells]:
        """What the target holds while a writer has it open, where it can be read then."""
        try:
            return list(self._read())
        except Exception:  # noqa: BLE001 - many targets are locked by their writer
            return []

    def _write(self, batch: Batch) -> None:
        writer = self._open()
        try:
            if self._make().transactional:
                cast(Positions, writer).claim(_LINEAGE)
            writer.write(batch)
        finally:
            writer.close()

    def _holds(self, rows: Sequence[Cells], promise: str) -> None:
        held = list(self._read())
        same = _sorted(held) == _sorted(rows) if self._make().table_like else held == list(rows)
        expect(same, f"{promise}; wanted {rows}, found {held}")

    def _batch(self, *changes: tuple[Any, Cells]) -> Batch:
        lsn = next(self._lsn)
        self._builder.begin(xid=lsn >> 12, lsn=lsn, committed_at_us=1_767_225_600_000_000)
        for op, cells in changes:
            if op == "d":
                self._builder.add("d", TABLE, before=cells)
            elif op == "t":
                self._builder.add("t", TABLE)
            else:
                self._builder.add(op, TABLE, after=cells)
        self._builder.commit()
        return self._builder.take()

    def _snapshot(self, attempt: str, rows: Sequence[Cells], *, end: bool = False) -> Batch:
        lsn = next(self._lsn)
        self._builder.begin(xid=lsn >> 12, lsn=lsn, committed_at_us=1_767_225_600_000_000)
        for row in rows:
            self._builder.add("r", TABLE, after=row)
        self._builder.commit()
        return self._builder.take(snapshot=(attempt, TABLE, True, end))


def _sorted(rows: Iterable[Cells]) -> list[list[tuple[str, str | None]]]:
    return sorted((sorted(row.items(), key=str) for row in rows), key=str)


def _raises(kind: type[Exception], call: Callable[[], object]) -> bool:
    try:
        call()
    except kind:
        return True
    return False
