"""A repair takes its place in the stream: what the stream touches meanwhile is never overwritten by an older row."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

from tailrace._native import BatchBuilder
from tailrace.comparison import Key, Seen, SourceLook, SourceView
from tailrace.contract import Source
from tailrace.error import Refused, Retryable
from tailrace.model import Batch, Change, Column, Position, Table
from tailrace.pipeline.repair import Repairs, Ticket

LINEAGE = "test/one"
ITEMS = Table("public", "items", [Column("id", "int4", nullable=False), Column("n", "int4")], key=["id"])
OTHERS = Table("public", "others", [Column("id", "int4", nullable=False)], key=["id"])


def at(place: int) -> dict[str, Position]:
    """Everything before `place` is written."""
    return {LINEAGE: Position(LINEAGE, f"{place:04}")}


def streamed(table: Table, *ids: int, place: int = 1, op: str = "u") -> Batch:
    """A transaction that the stream brings."""
    builder = BatchBuilder(LINEAGE)
    builder.begin(xid=1, committed_at_us=0, lsn=place)
    for number in ids:
        row = {"id": str(number)} | ({"n": "0"} if table is ITEMS else {})
        builder.add(cast(Any, op), table, after=None if op in "dt" else row, before=row if op == "d" else None)
    builder.commit()
    return builder.take()


@dataclass
class Origin:
    """A source and its view: rows by key, the transactions in progress, the end of its log."""

    rows: dict[str, str] = field(default_factory=lambda: {"1": "10", "2": "20", "3": "30"})
    running: frozenset[int] = frozenset()
    end: int = 5
    looks: list[tuple[Key, ...]] = field(default_factory=list)
    nudges: int = 0
    closed: int = 0
    kind: ClassVar[str] = "origin"

    def view(self, name: str) -> SourceView:
        """See `ComparableSource.view`."""
        return cast(SourceView, self)

    def tables(self) -> Sequence[Table]:
        """See `SourceView`."""
        return [ITEMS]

    def pending(self) -> frozenset[int]:
        """See `SourceView`."""
        return self.running

    def look(self, table: Table, keys: Sequence[Key], *, what: object = None) -> SourceLook:
        """See `SourceView`."""
        self.looks.append(tuple(keys))
        seen = tuple(Seen("v", self.rows[key[0]]) if key[0] in self.rows else None for key in keys)
        return SourceLook(tuple(keys), seen, self.running, f"{self.end:04}")

    def lineage(self, positions: Collection[str]) -> str | None:
        """See `SourceView`."""
        return next(iter(positions), None)

    def reached(self, positions: Mapping[str, str], upto: str) -> bool:
        """See `SourceView`."""
        return positions[LINEAGE] >= upto

    def nudge(self) -> None:
        """See `SourceView`."""
        self.nudges += 1

    def changes(self, table: Table, look: SourceLook, *, which: Sequence[int], lineage: str) -> list[Change]:
        """See `SourceView`."""
        builder = BatchBuilder(lineage)
        builder.begin(xid=0, committed_at_us=0, lsn=900 + len(self.looks))
        for index in which:
            row, id = look.seen[index], look.keys[index][0]
            if row is None:
                builder.add("d", table, before={"id": id})
            else:
                builder.add("u", table, after={"id": id, "n": row.digest})
        builder.commit()
        return list(builder.take())

    def close(self) -> None:
        """See `SourceView`."""
        self.closed += 1


class Writing:
    """The writer's loop, step by step."""

    def __init__(self) -> None:
        self.origin = Origin()
        self.repairs = Repairs()
        self.written: list[tuple[str, str, str | None]] = []
        self.batches: list[Batch] = []
        self.refusal: Refused | None = None

    def ask(self, *ids: int, table: str = "public.items") -> Ticket:
        """Ask for a repair."""
        return self.repairs.submit(table, [(str(number),) for number in ids])

    def step(self, place: int) -> None:
        """Between two batches, with everything before `place` written."""

        def write(batch: Batch) -> None:
            if self.refusal is not None:
                raise self.refusal
            self.batches.append(batch)
            for change in batch:
                assert change.key is not None
                n = None if change.after is None else str(change.after.text("n"))
                self.written.append((change.op, str(change.key.text("id")), n))

        self.repairs.step(cast(Source, self.origin), "p", at=at(place), write=write)


def test_rows_are_written_once_the_stream_has_passed_what_was_looked_at() -> None:
    writing = Writing()
    ticket = writing.ask(1, 9)
    writing.step(3)
    writing.step(4)
    assert (writing.written, ticket.done.is_set()) == ([], False)
    writing.step(5)
    assert writing.written == [("u", "1", "10"), ("d", "9", None)]
    assert (ticket.done.is_set(), ticket.repaired, ticket.error) == (True, 2, None)
    assert writing.batches[0].positions == (at(5)[LINEAGE],)
    assert not writing.repairs.active
    assert writing.origin.closed == 1


def test_what_the_stream_touched_meanwhile_is_not_written_but_looked_at_again() -> None:
    writing = Writing()
    ticket = writing.ask(1, 2, 3)
    writing.step(3)
    writing.repairs.saw(streamed(ITEMS, 2))
    writing.repairs.saw(streamed(OTHERS, 1))
    writing.repairs.saw(streamed(ITEMS, 3, op="d"))
    writing.origin.rows = {"1": "10", "2": "21"}
    writing.step(5)
    assert (writing.written, ticket.done.is_set()) == ([("u", "1", "10")], False)
    writing.origin.end = 7
    writing.step(6)
    writing.step(7)
    assert writing.written == [("u", "1", "10"), ("u", "2", "21"), ("d", "3", None)]
    assert (ticket.done.is_set(), ticket.repaired) == (True, 3)
    assert writing.origin.looks == [(("1",), ("2",), ("3",)), (("2",), ("3",))]


def test_a_truncate_touches_every_row() -> None:
    writing = Writing()
    writing.ask(1)
    writing.step(3)
    writing.repairs.saw(streamed(ITEMS, 1, op="t"))
    writing.origin.rows = {}
    writing.step(5)
    writing.step(5)
    assert writing.written == [("d", "1", None)]


def test_a_row_is_not_looked_at_while_a_transaction_may_be_written_but_not_yet_visible() -> None:
    writing = Writing()
    writing.origin.running = frozenset({7, 8})
    writing.ask(1)
    writing.step(5)
    writing.origin.running = frozenset({8, 9})
    writing.step(5)
    assert writing.origin.looks == []
    writing.origin.running = frozenset({9})  # it began after the mark: what it does, the stream brings
    writing.step(5)
    assert writing.written == [("u", "1", "10")]


def test_a_change_between_the_mark_and_the_look_counts_as_touched() -> None:
    writing = Writing()
    writing.origin.running = frozenset({7})
    writing.ask(1)
    writing.step(3)
    writing.repairs.saw(streamed(ITEMS, 1))
    writing.origin.running = frozenset()
    writing.step(5)
    assert writing.written == []
    writing.step(5)
    assert writing.written == [("u", "1", "10")]


def test_a_stream_that_is_opened_again_begins_the_round_anew() -> None:
    writing = Writing()
    ticket = writing.ask(1)
    writing.step(3)
    writing.repairs.begin_life()
    writing.origin.rows["1"] = "11"
    writing.step(5)
    assert writing.written == [("u", "1", "11")]
    assert ticket.done.is_set()


def test_whoever_waits_is_told_when_the_pipeline_ends() -> None:
    writing = Writing()
    tickets = [writing.ask(1), writing.ask(2)]
    writing.step(3)
    writing.repairs.end()
    assert all(ticket.done.is_set() and isinstance(ticket.error, Retryable) for ticket in tickets)
    assert not writing.repairs.active


def test_a_table_that_is_not_captured_is_refused_and_the_next_request_is_served() -> None:
    writing = Writing()
    wrong, right = writing.ask(1, table="public.secrets"), writing.ask(1)
    writing.step(5)
    assert wrong.done.is_set()
    assert "not captured" in str(wrong.error)
    writing.step(5)
    assert right.repaired == 1


def test_what_the_target_refuses_ends_the_request_and_not_the_pipeline() -> None:
    writing = Writing()
    wrong, right = writing.ask(1), writing.ask(2)
    writing.refusal = Refused("a check of the target")
    writing.step(5)
    assert (wrong.done.is_set(), wrong.repaired, wrong.error) == (True, 0, writing.refusal)
    writing.refusal = None
    writing.step(5)
    assert (right.repaired, right.error, writing.repairs.active) == (1, None, False)
