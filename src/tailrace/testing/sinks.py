"""`check_sink`: whether a sink keeps the promises of `contract.Sink` and `contract.Writer`. Runs no pipeline.

A third party calls it from a test of its own, on a target that is real: processes that write into it are killed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Any, cast

from tailrace.contract import Movable, Positions, Sink, Writer
from tailrace.error import Fenced, Reject, Retryable
from tailrace.model import Batch, Limits, Position, Severity
from tailrace.testing.expect import expect
from tailrace.testing.killing import NAME, opened, write_and_die
from tailrace.testing.orders import LINEAGE, Cells, transaction

_FIRST: Cells = {"id": "1", "note": "first"}
_SECOND: Cells = {"id": "2", "note": None}
_PATIENCE_S = 60.0
"""A target may take a while to notice that the process that had it open is gone."""


def check_sink(
    make_sink: Callable[[], Sink],
    read: Callable[[], Iterable[Cells]],
    *,
    in_memory: bool = False,
    refused: Cells | None = None,
) -> list[str]:
    """Put a sink through its contract; returns what was shown, raises AssertionError for what was not.

    `make_sink` returns the sink over one target, empty at first, the same at every call. `read` returns what the target
    holds, opened afresh, as `{"id": …, "note": …}` of texts: for a sink that is `table_like` the rows, in any order;
    for any other the events in order (the row after the change, the key alone for a delete).

    Processes that write are killed, right after `write` returned and at calls that it makes: the sink is pickled for
    them. `in_memory` is for a target that lives in this process: nothing is killed then, and less is shown.

    `refused` is for a sink that raises `Reject`: a row that it can never take, by its `id` or its `note`.
    """
    trial = _Trial(make_sink, read, in_memory=in_memory)
    shown = [trial.declares(), trial.closes_twice()]
    shown.append(trial.writes_at_once() if in_memory else trial.writes_durably())
    shown.append(trial.takes_progress())
    if refused is not None:
        shown.append(trial.refuses(refused))
    sink = make_sink()
    if sink.transactional:
        shown.append(trial.keeps_positions())
        if not in_memory:
            shown.append(trial.keeps_them_together())
        shown += [trial.fences(), trial.moves(), trial.forgets()]
    if sink.table_like:
        shown += [trial.holds_rows(), trial.repeats_harmlessly(), trial.leaves_no_ghosts()]
        if sink.truncate:
            shown.append(trial.truncates())
    return shown


class _Trial:
    """The checks, on one target that they fill in turn."""

    def __init__(self, make_sink: Callable[[], Sink], read: Callable[[], Iterable[Cells]], *, in_memory: bool) -> None:
        self._make = make_sink
        self._read = read
        self._in_memory = in_memory
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

    def writes_at_once(self) -> str:
        writer = self._claimed()
        try:
            writer.write(self._batch(("c", _FIRST), ("c", _SECOND)))
            self._holds([_FIRST, _SECOND], "what write returned from is there before the writer is closed")
        finally:
            writer.close()
        self._holds([_FIRST, _SECOND], "what write returned from is there after it is closed")
        return "write returns when the batch is there"

    def writes_durably(self) -> str:
        write_and_die(self._make, next(self._lsn), _FIRST)
        self._open().close()
        self._holds([_FIRST], "what write returned from outlives a process that is killed right then")
        self._write(self._batch(("c", _SECOND)))
        self._holds([_FIRST, _SECOND], "what write returned from is there after close and open")
        return "write returns when the batch outlives its process"

    def takes_progress(self) -> str:
        before = list(self._read())
        self._write(Batch.progress(self._batch(("u", {"id": "1", "note": "first"})).positions[0]))
        expect(list(self._read()) == before, "an empty batch adds nothing")
        return "an empty batch is progress"

    def refuses(self, refused: Cells) -> str:
        """What a pipeline does with a batch of which one change can never succeed, interrupted in the middle."""
        before, transactional = list(self._read()), self._make().transactional
        rest: list[Cells] = [{"id": "40", "note": "before it"}, {"id": "41", "note": "behind it"}]
        lsn = next(self._lsn)
        batch = transaction(lsn, ("c", rest[0]), ("c", refused), ("c", rest[1]))
        end = batch.positions[0]
        self._refuses(batch, 1, refused, go_on=False)
        expect(not transactional or not self._knows(end), "the position of a batch that is refused is not stored")
        if self._in_memory:
            self._refuses(batch, 1, refused)
        else:
            write_and_die(self._make, lsn, rest[0], refused, rest[1])
            expect(not transactional or self._knows(end), "the position of the rest is stored with it")
        self._has_taken(before, rest)
        alone = self._batch(("c", refused))
        self._refuses(alone, 0, refused)
        expect(not transactional or self._knows(alone.positions[0]), "a batch of which nothing is left is progress")
        rest.append({"id": "42", "note": "after it"})
        self._write(self._batch(("c", rest[-1])))
        self._has_taken(before, rest)
        return "I4 of a batch of which a change is refused the rest arrives, neither lost nor doubled"

    def _refuses(self, batch: Batch, index: int, row: Cells, *, go_on: bool = True) -> None:
        """Have `batch` refused, and the rest of it taken by the same writer if that shall `go_on`."""
        writer = self._claimed()
        try:
            try:
                writer.write(batch)
            except Reject as reject:
                reasons, written = reject.reasons, reject.written
            else:
                raise AssertionError("a row that the sink can never take is refused")
            expect(list(reasons) == [index], f"Reject names the change that cannot be taken, {index}, not {[*reasons]}")
            told = [value for value in row.values() if value and len(value) > 8 and value in reasons[index]]
            expect(bool(reasons[index]) and not told, "I9 a reason says what is wrong, and no row values")
            if go_on:
                writer.write(batch.without([index, *written]))
        finally:
            writer.close()

    def _has_taken(self, before: Sequence[Cells], rows: Sequence[Cells]) -> None:
        sink, held = self._make(), list(self._read())
        if not sink.transactional and not sink.table_like:  # what is offered again may be there again
            held = held[: len(before)] + [row for n, row in enumerate(held) if n == held.index(row) >= len(before)]
        same = _sorted(held) == _sorted([*before, *rows]) if sink.table_like else held == [*before, *rows]
        expect(same, f"the rest of a batch is neither lost nor doubled; wanted {rows} beside {before}, found {held}")

    def keeps_positions(self) -> str:
        batch = self._batch(("c", {"id": "3", "note": "third"}))
        self._write(batch)
        writer = self._open()
        try:
            known = cast(Positions, writer).known()
            expect(known.get(LINEAGE) == batch.positions[0], "known() has the position of the last batch written")
        finally:
            writer.close()
        return "known has the position of what was written"

    def keeps_them_together(self) -> str:
        """Where the batch goes from absent to stored is found by halving the calls of a write; at none may it be half
        there."""
        keys = count(1_000)
        calls = write_and_die(self._make, next(self._lsn), {"id": str(next(keys)), "note": "whole"})
        absent, stored = 0, (calls or 0) + 1
        while stored - absent > 1:
            at = (absent + stored) // 2
            if self._stored_by_the_killed({"id": str(next(keys)), "note": f"killed at call {at}"}, at):
                stored = at
            else:
                absent = at
        return "rows and position are stored together, wherever a write is killed"

    def _stored_by_the_killed(self, row: Cells, at: int) -> bool:
        lsn = next(self._lsn)
        end = transaction(lsn, ("c", row)).positions[0]
        write_and_die(self._make, lsn, row, at=at)
        known = self._knows(end)
        there = any(held["id"] == row["id"] for held in self._read())
        expect(there or not known, f"a position is stored with its rows; killed at call {at}, it stood there alone")
        # What was under way may have arrived in between, both of it.
        known = known or (there and self._knows(end))
        expect(known or not there, f"rows are stored with their position; killed at call {at}, they stood there alone")
        return there

    def _knows(self, end: Position) -> bool:
        writer = self._open()
        try:
            return cast(Positions, writer).known().get(LINEAGE) == end
        finally:
            writer.close()

    def fences(self) -> str:
        old = self._open()
        cast(Positions, old).claim(LINEAGE)
        before = list(self._read_or_none())
        try:
            new = self._make().open(NAME, Limits())
        except Retryable:
            old.close()
            return "I16 a second process is kept out by a lock"
        try:
            cast(Positions, new).claim(LINEAGE)
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
        saved = positions.claim(LINEAGE)
        expect(saved is not None, "claim() returns what was saved")
        there = Position(LINEAGE + "_upgraded", cast(Position, saved).text)
        writer.move(LINEAGE, there)
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
        return self._unless_held(lambda: self._make().open(NAME, Limits()))

    def _claimed(self) -> Writer:
        return self._unless_held(lambda: opened(self._make()))

    def _unless_held(self, open_writer: Callable[[], Writer]) -> Writer:
        """Open, once whatever holds the target since a kill has let it go."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return open_writer()
            except Retryable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)  # a target tells nobody that it has let go

    def _read_or_none(self) -> Sequence[Cells]:
        """What the target holds while a writer has it open, where it can be read then."""
        try:
            return list(self._read())
        except Exception:  # noqa: BLE001 - many targets are locked by their writer
            return []

    def _write(self, batch: Batch) -> None:
        writer = self._claimed()
        try:
            writer.write(batch)
        finally:
            writer.close()

    def _holds(self, rows: Sequence[Cells], promise: str) -> None:
        held = list(self._read())
        same = _sorted(held) == _sorted(rows) if self._make().table_like else held == list(rows)
        expect(same, f"{promise}; wanted {rows}, found {held}")

    def _batch(self, *changes: tuple[Any, Cells]) -> Batch:
        return transaction(next(self._lsn), *changes)

    def _snapshot(self, attempt: str, rows: Sequence[Cells], *, end: bool = False) -> Batch:
        return transaction(next(self._lsn), *(("r", row) for row in rows), snapshot=(attempt, end))


def _sorted(rows: Iterable[Cells]) -> list[list[tuple[str, str | None]]]:
    return sorted((sorted(row.items(), key=str) for row in rows), key=str)


def _raises(kind: type[Exception], call: Callable[[], object]) -> bool:
    try:
        call()
    except kind:
        return True
    return False
