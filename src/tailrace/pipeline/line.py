"""One life of a pipeline, from open to close: read → shelf → transform → write → save → confirm. Never retries.

The writer is the thread that calls `Line.run`, so that handlers run where the user called `run()` and a
KeyboardInterrupt reaches them; the source is opened and read by a thread of its own (`reader.py`).
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Sequence
from typing import cast

from tailrace.contract import (
    Awaiting,
    BrokenOff,
    Checkpoint,
    Interruptible,
    Letters,
    Positions,
    Replaying,
    Roaming,
    Stream,
    Writer,
    Yielding,
)
from tailrace.error import ConfigError, EndOfStream, Fatal, Fenced, Refused, Reject, Retryable
from tailrace.model import Assigned, Batch, Position, Revoked, Unreadable
from tailrace.pipeline.beat import Beat
from tailrace.pipeline.failpoint import Place, reach
from tailrace.pipeline.gauge import Gauge, Look
from tailrace.pipeline.leaving import Leaving
from tailrace.pipeline.plan import Plan, replay, tell_unmatched
from tailrace.pipeline.reader import SILENT_S, Reader
from tailrace.pipeline.repair import Repairs
from tailrace.pipeline.shaping import UNREADABLE, Step, named, shaped, steps_of
from tailrace.pipeline.shelf import End, Shelf
from tailrace.pipeline.spans import spans
from tailrace.pipeline.status import State
from tailrace.pipeline.stopping import LATE, Stopping

__all__ = ["Line"]

_IDLE_S = 0.5
_ASKED_S = 0.5
_SOON_S = 0.02
_OPENING_S = 1.0
_MOVED_S = 2.0

log = logging.getLogger("tailrace.pipeline")


class Line:
    """The seven rooms, opened once. Fields are touched by the writer thread only, unless said otherwise."""

    def __init__(
        self, plan: Plan, gauge: Gauge, stopping: Stopping, *, until_current: bool, repairs: Repairs | None = None
    ) -> None:
        self._plan = plan
        self._steps = steps_of(plan.transforms)
        self._gauge = gauge
        self._stopping = stopping
        self._repairs = repairs or Repairs()
        self._until_current = until_current
        self._spans = spans(plan.name, source=plan.source.kind, sink=plan.sink.kind)
        self.shelf = Shelf(nbytes_max=plan.limits.shelf_bytes_max, take_nbytes_max=plan.limits.batch_bytes_max)
        self._reader: Reader | None = None
        self._writer: Writer | None = None
        self._leaving: Leaving
        self._letters: Letters | None = None
        # Where the position is kept with the rows there is nothing to gain from saving late.
        self._save_interval_s = 0.0 if plan.sink.transactional else plan.limits.save_interval_s
        self._save_at = 0.0
        self._beat = Beat(plan.sink)
        self._asked_at = 0.0
        self._last: dict[str, Position] | None = None
        self._unsaved: dict[str, Position] = {}
        self._claimed: set[str] = set()
        """Lineages of a shared stream that are ours, as far as we were told."""
        self.progressed = False
        """Something was written: the next failure is a new one."""

    def look(self) -> Look:
        """What is to be seen from outside; from any thread."""
        reader = self._reader
        if reader is None:
            return Look(doing=f"opening sink {self._plan.sink.kind}")
        if not reader.opened:
            return Look(doing=f"opening source {self._plan.source.kind}")
        return Look(
            shelf_nbytes=self.shelf.nbytes,
            lag_bytes=reader.lag_bytes(),
            lags=reader.lags(),
            oldest=self.shelf.oldest(),
            caught_at=reader.caught_at,
            opened=True,
            doing=self._doing(reader),
        )

    def _doing(self, reader: Reader) -> str:
        now = time.monotonic()
        busy_s = now - self.shelf.visited_at
        if busy_s > SILENT_S:
            return f"sink {self._plan.sink.kind} has been at work for {busy_s:.0f} s"
        if (silent_s := now - reader.alive_at) > SILENT_S:
            return f"source {self._plan.source.kind} has not come back for {silent_s:.0f} s"
        if self.shelf.holding:
            return f"writing to {self._plan.sink.kind}"
        return "caught up" if reader.lag_bytes() == 0 else reader.unheard or f"reading from {self._plan.source.kind}"

    def interrupt(self) -> None:
        """A stop was asked for: nobody waits for next tries; from any thread or signal handler."""
        if isinstance(self._writer, Interruptible):
            self._writer.interrupt()

    def run(self) -> None:
        """Open everything (the writer before the stream, I13), work until the end or a stop, close everything."""
        plan = self._plan
        self._repairs.begin_life()
        with contextlib.ExitStack() as stack:
            kept = None
            if not plan.sink.transactional:
                kept = self._open_checkpoint(plan.checkpoint)
                stack.callback(kept.close)
            with named(f"opening sink {plan.sink.kind}"):
                writer = self._writer = self._open_sink()
            stack.callback(self._close, writer)
            if self._stopping:
                self.interrupt()
            positions = kept or cast(Positions, writer)
            if plan.dead_letters is not None:
                with named("opening the dead letters"):
                    self._letters = plan.dead_letters.open(plan.name, plan.limits, stopped=lambda: bool(self._stopping))
                stack.callback(self._letters.close)
                self._gauge.dead_letters = self._letters.count()
            self._leaving = Leaving(writer)
            reader = self._reader = Reader(
                plan.name, lambda stop: self._open_source(positions, stop), self.shelf, revoking=self._leaving.ask
            )
            reader.start()
            stack.callback(self._finish, reader)
            try:
                self._work(writer, positions, reader)
                # Before the group learns that we leave: whoever gets them need not end our session.
                self._yield_up(sorted(self._claimed), positions)
            except Fenced as error:
                if not reader.shared:
                    raise
                # We may be one of many: another member has what we were given up for, and we may have the rest.
                raise Retryable(str(error.args[0]), hint="what was not written is the other member's now") from error
            except EndOfStream:  # of the sink: whoever read what it writes has left
                self._settle(positions, reader)
            except BaseException:  # a KeyboardInterrupt too
                self._settle_in_distress(positions, reader)
                raise

    def _open_sink(self) -> Writer:
        plan = self._plan
        if isinstance(plan.sink, Awaiting):
            return plan.sink.open_unless(lambda: bool(self._stopping), plan.name, plan.limits)
        return plan.sink.open(plan.name, plan.limits)

    def _open_checkpoint(self, checkpoint: Checkpoint | None) -> Positions:
        if checkpoint is None:
            raise ConfigError(
                f"pipeline {self._plan.name}: sink {self._plan.sink.kind} cannot keep the position",
                hint="give it a checkpoint, or a state_dir for the default one",
            )
        with named("opening the checkpoint"):
            return checkpoint.open(self._plan.name)

    def _open_source(self, positions: Positions, stop: threading.Event) -> Stream:
        plan = self._plan
        with named(f"opening source {plan.source.kind}"):
            tell_unmatched(plan)
            return plan.source.open(plan.name, positions, plan.limits, until_current=self._until_current, stop=stop)

    def _work(self, writer: Writer, positions: Positions, reader: Reader) -> None:
        """The writer's loop. Returns at the end of a bounded stream and when a stop is done."""
        while True:
            taken = self.shelf.take(self._patience_s())
            if isinstance(taken, list):
                self._start_from(positions)
                for batch in Batch.merge(taken):
                    self._deliver(batch, writer, positions=positions, reader=reader)
                    if time.monotonic() >= self._save_at:
                        self._settle(positions, reader)
            elif isinstance(taken, Assigned):
                self._claim(taken, positions, reader)
            elif isinstance(taken, Revoked):
                self._give_up(taken, positions, reader)
            elif isinstance(taken, Unreadable):
                self._set_aside(taken, writer, positions=positions, reader=reader)
            elif isinstance(taken, End):
                self._settle(positions, reader)
                self._raise(taken)
                return
            else:
                self._idle(reader, writer, positions)
                if time.monotonic() >= self._save_at:
                    self._settle(positions, reader)
            self._answer_operators(writer, positions, reader)
            self._repair(writer, positions, reader)
            if self._stopping and self._stopped(reader):
                self._settle(positions, reader)
                return

    def _idle(self, reader: Reader, writer: Writer, positions: Positions) -> None:
        """Nothing came: that is well while the stream answers, and says that nothing is there or goes on towards it."""
        if not reader.opened or time.monotonic() - reader.moved_at >= _MOVED_S:
            return
        self._gauge.progressed()
        if self._gauge.state is State.STARTING:
            self._gauge.state = State.STREAMING
        if self._gauge.state is State.STREAMING and not self._beat.left_s():
            self._start_from(positions)
            if self._last:  # the same position again: there is nothing to save or to confirm
                self._write(Batch.progress(next(reversed(self._last.values()))), writer)

    def _patience_s(self) -> float:
        """How long to wait for a batch: not beyond the moment when a save is due."""
        idle_s = min(_SOON_S if self._repairs.active else _IDLE_S, max(self._beat.left_s(), _SOON_S))
        return min(idle_s, max(0.0, self._save_at - time.monotonic())) if self._unsaved else idle_s

    def _raise(self, end: End) -> None:
        """The stream broke; a stop that was asked for makes that unimportant, since all that was read is written."""
        if end.error is not None and not (self._stopping and isinstance(end.error, Retryable)):
            with named(f"source {self._plan.source.kind}"):
                raise end.error

    def _stopped(self, reader: Reader) -> bool:
        """Ask the reader to end; True when there is no sense in waiting for it."""
        self._gauge.state = State.STOPPING
        reader.quiet()
        if not reader.opened:
            return True  # nothing was read, and a server that does not answer must not hold us
        if self._stopping.overdue:
            log.warning(LATE, self._plan.name, self._plan.limits.stop_timeout_s)
            return True
        return False

    def _claim(self, assigned: Assigned, positions: Positions, reader: Reader) -> None:
        """Own what has come to us, and learn where it begins; no other process writes it from here on (I16)."""
        self._start_from(positions)
        self._settle(positions, reader)
        assert self._last is not None
        claimed: dict[str, Position | None] = dict.fromkeys(assigned.lineages)
        ours = [lineage for lineage in assigned.lineages if lineage not in self._leaving]  # others were revoked since
        for lineage in ours:
            with named(f"claiming {lineage}"):
                claimed[lineage] = at = positions.claim(lineage)
            if at is None:
                self._last.pop(lineage, None)
            else:
                self._last[lineage] = at
                self._gauge.saved[lineage] = at.text
        self._claimed.update(ours)
        self._leaving.renew(ours)
        if isinstance(self._letters, Roaming):
            self._letters.take_over(ours)
            self._gauge.dead_letters = self._letters.count()
        reader.begin(claimed)

    def _give_up(self, revoked: Revoked, positions: Positions, reader: Reader) -> None:
        """All that was read of these lineages is written, since the mark stands behind it, or they have gone before."""
        self._part(self._leaving.take(), positions, reader)
        if not self._leaving.end(revoked):
            self._part([revoked], positions, reader)

    def _part(self, going: Sequence[Revoked], positions: Positions, reader: Reader) -> None:
        """Save how far lineages are written, and let them go."""
        if going:
            self._settle(positions, reader)
        for revoked in going:
            self._yield_up(revoked.lineages, positions)
            for lineage in revoked.lineages:
                self._gauge.saved.pop(lineage, None)
                if self._last is not None:
                    self._last.pop(lineage, None)
            reader.release(revoked.lineages)

    def _yield_up(self, lineages: Sequence[str], positions: Positions) -> None:
        self._claimed.difference_update(lineages)
        if isinstance(self._letters, Roaming):
            self._letters.hand_over(lineages)
            self._gauge.dead_letters = self._letters.count()
        if lineages and isinstance(positions, Yielding):
            with named("giving lineages up"):
                positions.yield_up(lineages)

    def _start_from(self, positions: Positions) -> None:
        """Learn where this life began, once the source is open: by then it has claimed its lineages."""
        if self._last is None and self._reader is not None and self._reader.shared:
            self._last = {}  # what is known is everybody's: ours comes with its claims
        elif self._last is None:
            self._last = {lineage: at for lineage, at in positions.known().items() if at is not None}
            self._gauge.saved.update({lineage: at.text for lineage, at in self._last.items()})

    def _deliver(self, batch: Batch, writer: Writer, *, positions: Positions, reader: Reader) -> None:
        """Transform and write one batch, whole (I4), but for what goes meanwhile."""
        assert self._last is not None
        for position in batch.positions:
            before = self._last.get(position.lineage)
            if before is not None and position < before:
                raise Fatal(
                    f"source {self._plan.source.kind} went back from {before.text} to {position.text} (I3)",
                    hint="this is a bug of the source; nothing of this batch was written",
                )
        self._gauge.state = State.SNAPSHOT if batch.snapshot else State.STREAMING
        with self._spans.batch(batch):
            shaped = self._transform(self._leaving.kept(batch))
            reach(Place.TRANSFORM)
            with self._spans.write():
                self._write_kept(shaped, writer, positions=positions, reader=reader)
        self._repairs.saw(batch)
        for position in batch.positions:
            if position.lineage in self._leaving:
                continue
            self._last[position.lineage] = self._unsaved[position.lineage] = position
        self.progressed |= batch.snapshot is None  # a snapshot that is broken off begins anew
        handled = self._leaving.handled(batch)
        self._gauge.wrote(len(handled), handled.nbytes)

    def _transform(self, batch: Batch) -> Batch:
        # An empty table has a mark to be renamed or left out; progress has nothing to transform.
        for step in self._steps if len(batch) or batch.snapshot else ():
            batch = self._step(batch, step)
        return batch

    def _step(self, batch: Batch, step: Step) -> Batch:
        """One transform; what it refuses is parked as it was given it, durably (I14)."""
        name, _ = step
        while True:
            batch = self._park_behind(batch, transform=name)
            try:
                return shaped(batch, step)
            except Reject as reject:
                batch = self._park(batch, reject, transform=name)

    def _write_kept(self, batch: Batch, writer: Writer, *, positions: Positions, reader: Reader) -> None:
        """Write a batch; when the writer breaks off, let go of what was revoked, and go on with the rest."""
        assert self._last is not None
        while True:
            try:
                self._write(batch, writer)
            except BrokenOff as broken:
                done = self._leaving.reached(batch, broken.undone)
                going = self._leaving.take(done)
                for position in done:
                    if position.lineage in self._leaving:
                        self._last[position.lineage] = self._unsaved[position.lineage] = position
                self._part(going, positions, reader)
                batch = self._leaving.kept(batch)
            else:
                return

    def _write(self, batch: Batch, writer: Writer) -> None:
        """Write what can be written; what the sink refuses is parked first, durably (I14)."""
        batch = self._park_behind(batch)
        while (reject := self._try(batch, writer)) is not None:
            batch = self._park_behind(self._park(batch, reject))

    def _try(self, batch: Batch, writer: Writer) -> Reject | None:
        """Write `batch`, or say what the sink refuses of it: then it is written no further than that says."""
        began = time.monotonic()
        try:
            reach(Place.WRITE_BEFORE)
            with named(f"sink {self._plan.sink.kind}"):
                writer.write(batch)
        except Reject as reject:
            return reject
        except Exception as error:
            if not isinstance(error, BrokenOff) and self._reader and self._reader.shared:  # others know of nothing
                self._unsaved.update((at.lineage, at) for at in self._leaving.reached(batch))
            raise
        reach(Place.WRITE_AFTER)
        self._beat.wrote(began)
        return None

    def _park_behind(self, batch: Batch, *, transform: str | None = None) -> Batch:
        if self._letters is None or not len(batch) or not (behind := self._letters.parked(batch, transform=transform)):
            return batch
        self._letters.park(batch, behind, transform=transform)
        self._gauge.dead_letters = self._letters.count()
        return batch.without(list(behind))

    def _park(self, batch: Batch, reject: Reject, *, transform: str | None = None) -> Batch:
        who = f"sink {self._plan.sink.kind}" if transform is None else f"transform {transform}"
        reasons = reject.checked(len(batch), who)
        first = min(reasons)
        change = batch[first]
        where = f"{change.table} at {change.position.text}" if change.op != "m" else change.position.text
        if self._letters is None:
            raise Refused(
                f"{who} refused {len(reasons)} change(s), the first of {where}: {reasons[first]}",
                hint="mend the cause, or give the pipeline dead_letters to park such changes in",
            ) from reject.__cause__ or reject
        self._letters.park(batch, reasons, transform=transform)
        self._gauge.dead_letters = self._letters.count()
        log.warning(
            "%s: parked %d change(s), the first of %s: %s", self._plan.name, len(reasons), where, reasons[first]
        )
        rest = batch.without([*reasons, *reject.written])
        if len(rest) >= len(batch):
            raise Fatal(
                f"{who} refused changes of {where} that cannot be taken out of the batch",
                hint="please report it; they are parked, and nothing else was written",
            )
        return rest

    def _set_aside(self, unreadable: Unreadable, writer: Writer, *, positions: Positions, reader: Reader) -> None:
        """Park a record that the source does not understand, and go on behind it; without dead letters, stop there."""
        if any(position.lineage in self._leaving for position in unreadable.batch.positions):
            return  # whoever goes on with it comes to it again
        if self._letters is None:
            raise Fatal(f"a record is not understood: {unreadable.reason}", hint=unreadable.hint)
        self._letters.park(unreadable.batch, {0: unreadable.reason}, transform=UNREADABLE)
        self._gauge.dead_letters = self._letters.count()
        log.warning("%s: parked a record that is not understood: %s", self._plan.name, unreadable.reason)
        for position in unreadable.batch.positions:
            self._deliver(Batch.progress(position), writer, positions=positions, reader=reader)

    def _answer_operators(self, writer: Writer, positions: Positions, reader: Reader) -> None:
        """Replay or drop the dead letters that were asked for, between batches."""
        if self._letters is None or not reader.opened or time.monotonic() < self._asked_at:
            return
        self._start_from(positions)
        if not self._last and self._plan.sink.transactional:
            return  # it would have to keep a position with the rows, and there is none yet
        if reader.shared and not self._claimed and isinstance(self._letters, Roaming):
            return  # nothing is ours yet: what is parked may belong to other members, in the middle of their changes
        assert self._last is not None
        self._asked_at = time.monotonic() + _ASKED_S
        try:
            if left := replay(self._letters, writer, at=self._last, plan=self._plan):
                log.info("%s: %d dead letter(s) replayed or dropped", self._plan.name, left)
        except BrokenOff:  # what was not offered stays asked for, of whoever has it then
            self._part(self._leaving.take(), positions, reader)
        self._gauge.dead_letters = self._letters.count()

    def _repair(self, writer: Writer, positions: Positions, reader: Reader) -> None:
        """Write rows again that `tailrace verify` found to differ, between batches: like dead letters, they do not move
        the position."""
        if not self._repairs.active or not reader.opened:
            return
        self._start_from(positions)
        if not self._last:
            return

        def write(batch: Batch) -> None:
            # What is refused is not parked: later changes of its row would wait behind it. Who asked is told.
            batch, refused = self._park_behind(self._transform(batch)), list[str]()
            while (reject := self._try(batch, writer)) is not None:
                reasons = reject.checked(len(batch), f"sink {self._plan.sink.kind}")
                batch = batch.without([*reasons, *reject.written])
                refused.extend(reasons.values())
            if isinstance(writer, Replaying):
                writer.forget_replayed([change.position for change in batch])
            if refused:
                raise Refused(f"sink {self._plan.sink.kind} refused {len(refused)} row(s), the first: {refused[0]}")

        self._repairs.step(self._plan.source, self._plan.name, at=self._last, write=write)

    def _settle(self, positions: Positions, reader: Reader) -> None:
        """Save what is written, then confirm what is saved: in this order, always (I1)."""
        self._save_at = time.monotonic() + self._save_interval_s
        if not self._unsaved:
            return
        saved: Sequence[Position] = list(self._unsaved.values())
        reach(Place.SAVE_BEFORE)
        with self._spans.save(saved), named("saving the position"):
            positions.save(saved)
        reach(Place.SAVE_AFTER)
        self._unsaved.clear()
        self._gauge.saved.update({position.lineage: position.text for position in saved})
        reader.confirm(saved)
        reach(Place.CONFIRM)

    def _settle_in_distress(self, positions: Positions, reader: Reader) -> None:
        """What was written before the fault need not come again; but the fault is what gets reported."""
        try:
            self._settle(positions, reader)
        except Exception as error:  # noqa: BLE001 - at-least-once: what is not saved is repeated
            log.info("%s: the last position was not saved: %s", self._plan.name, type(error).__name__)

    def _finish(self, reader: Reader) -> None:
        longest_s = self._plan.limits.stop_timeout_s if reader.opened else _OPENING_S
        if not reader.finish(min(longest_s, max(self._stopping.left_s, _OPENING_S))):
            # A server that never answered has given nothing that a stop could lose.
            level = logging.INFO if self._stopping and not reader.opened else logging.WARNING
            log.log(level, "%s: source %s does not come back; leaving it", self._plan.name, self._plan.source.kind)

    def _close(self, writer: Writer) -> None:
        """A failing close must not hide why it closes; what it held was durable or comes again."""
        try:
            writer.close()
        except Exception as error:  # noqa: BLE001 - see above
            log.warning("%s: closing sink %s raised %s", self._plan.name, self._plan.sink.kind, type(error).__name__)
