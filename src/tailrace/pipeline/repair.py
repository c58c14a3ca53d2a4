"""Writes rows of the source again, at a known place in the stream, so that no newer change is overwritten by an older.

Runs on the writer thread, between batches. One round, for some keys of one table:

1. Mark. Everything up to the position that was written last is in the target. From now on the keys that the stream
   changes are noted. The source's transactions in progress are asked for: one of them may be in the target already and
   not yet be visible.
2. Look, once all of those have ended: the rows as one snapshot shows them, which has everything that was written.
3. Write, once the stream has passed everything that the snapshot could see: what the stream has not touched since the
   mark is still as it was looked at, and is written as if it were changed here. What was touched gets another round.

Never keeps a request over a restart of the process: who asked asks again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tailrace.comparison import ComparableSource, Key, SourceLook, SourceView
from tailrace.contract import Source
from tailrace.error import Fatal, Refused, Retryable, TailraceError
from tailrace.model import Batch, Change, Position, Table

__all__ = ["Repairs", "Ticket"]

_PATIENCE_S = 60.0
_NUDGE_S = 0.1
_TOUCHED_MAX = 1_000_000

log = logging.getLogger("tailrace.pipeline")


@dataclass(eq=False, slots=True)
class Ticket:
    """What was asked for, and what became of it."""

    table: str
    keys: tuple[Key, ...]
    done: threading.Event = field(default_factory=threading.Event)
    repaired: int = 0
    error: TailraceError | None = None


@dataclass(slots=True)
class _Round:
    ticket: Ticket
    table: Table
    keys: tuple[Key, ...]
    pending: frozenset[int]
    began: float
    touched: set[Key] = field(default_factory=set)
    void: bool = False
    """The whole table was touched, or too much of it to tell."""
    look: SourceLook | None = None
    looked_at: float = 0.0
    nudged: bool = False


class Repairs:
    """What was asked of one pipeline. `submit` may be called on any thread, everything else on the writer's."""

    def __init__(self) -> None:
        self._asked: deque[Ticket] = deque()
        self._now: Ticket | None = None
        self._round: _Round | None = None
        self._view: SourceView | None = None

    def submit(self, table: str, keys: Sequence[Key]) -> Ticket:
        """Ask for these rows of a source's table to be written again; `Ticket.done` tells when that is over."""
        ticket = Ticket(table, tuple(keys))
        self._asked.append(ticket)
        return ticket

    @property
    def active(self) -> bool:
        """There is something to do."""
        return self._now is not None or bool(self._asked)

    def begin_life(self) -> None:
        """The stream was opened again: what was noted of it is void, and the round begins anew."""
        self._round = None
        self._close()

    def end(self) -> None:
        """The pipeline ends: tell those who wait."""
        self._close()
        waiting = [self._now] if self._now is not None else []
        self._round, self._now = None, None
        while self._asked:
            waiting.append(self._asked.popleft())
        for ticket in waiting:
            ticket.error = Retryable(
                "the pipeline ended before the rows were repaired", hint="run it, and verify again"
            )
            ticket.done.set()

    def saw(self, batch: Batch) -> None:
        """Note what the stream has changed; call it with every batch as it came, once it is written."""
        round = self._round
        if round is None or round.void or not len(batch):
            return
        if batch.snapshot is not None:
            round.void = True
            return
        name = str(round.table)
        if not any(str(table) == name for table in batch.tables):
            return
        for change in batch:
            if change.op != "m" and str(change.table) == name:
                _note(change, round)
        round.void = round.void or len(round.touched) > _TOUCHED_MAX

    def step(self, source: Source, name: str, *, at: Mapping[str, Position], write: Callable[[Batch], None]) -> None:
        """Go on as far as possible now.

        Faults of the source, and what `write` says is `Refused`, end the request; its other faults are the pipeline's.
        """
        if self._now is None:
            if not self._asked:
                return
            self._now = self._asked.popleft()
        try:
            batch = self._prepare(source, name, self._now, at=at)
        except TailraceError as error:
            self._finish(self._now, error)
            return
        if batch is None:
            return
        if len(batch):
            try:
                write(batch)
            except Refused as error:
                self._finish(self._now, error)
                return
        self._written(len(batch))

    def _prepare(self, source: Source, name: str, ticket: Ticket, *, at: Mapping[str, Position]) -> Batch | None:
        """The changes to write now; None when it is too early."""
        if self._view is None:
            if not isinstance(source, ComparableSource):
                raise Fatal(f"source {source.kind} cannot be asked for single rows")
            self._view = source.view(name)
        view = self._view
        if self._round is None:
            tables = {str(table): table for table in view.tables()}
            if ticket.table not in tables:
                raise Fatal(f"{ticket.table} is not captured by pipeline {name}")
            self._round = _Round(ticket, tables[ticket.table], ticket.keys, view.pending(), time.monotonic())
        round = self._round
        if round.look is None:
            round.pending &= view.pending()
            if round.pending:
                self._wait(round, "a transaction of the source that began before the repair does not end")
                return None
            round.look, round.looked_at = view.look(round.table, round.keys), time.monotonic()
        if not view.reached({lineage: position.text for lineage, position in at.items()}, round.look.upto):
            if not round.nudged and time.monotonic() - round.looked_at > _NUDGE_S:
                round.nudged = True
                view.nudge()
            self._wait(round, "the stream does not come as far as the repair has looked")
            return None
        which = [] if round.void else [i for i, key in enumerate(round.look.keys) if key not in round.touched]
        lineage = view.lineage(at)
        assert lineage is not None
        changes = view.changes(round.table, round.look, which=which, lineage=lineage) if which else []
        return Batch.progress(at[lineage]).with_changes(changes)

    def _wait(self, round: _Round, why: str) -> None:
        if time.monotonic() - round.began > _PATIENCE_S:
            raise Retryable(f"{round.table} was not repaired: {why}", hint="run verify again later")

    def _written(self, rows: int) -> None:
        """Rows were written; what the stream has touched meanwhile is marked anew."""
        round = self._round
        assert round is not None and round.look is not None and self._view is not None
        ticket = round.ticket
        ticket.repaired += rows
        left = tuple(key for key in round.look.keys if round.void or key in round.touched)
        if not left:
            self._finish(ticket, None)
        elif time.monotonic() - round.began > _PATIENCE_S:
            self._finish(ticket, Retryable(f"{len(left)} row(s) of {round.table} are written too often to be repaired"))
        else:
            self._round = _Round(ticket, round.table, left, self._view.pending(), round.began)

    def _finish(self, ticket: Ticket, error: TailraceError | None) -> None:
        ticket.error = error
        if error is not None:
            log.warning("rows of %s were not repaired: %s", ticket.table, error.args[0])
        self._now = self._round = None
        if not self._asked:
            self._close()
        ticket.done.set()

    def _close(self) -> None:
        if self._view is not None:
            self._view.close()
            self._view = None


def _note(change: Change, round: _Round) -> None:
    if change.op == "t" or change.table.key != round.table.key:
        round.void = True
        return
    for row in (change.key, change.before):
        if row is not None:
            texts = row.texts()
            round.touched.add(tuple(str(texts.get(name)) for name in round.table.key))
