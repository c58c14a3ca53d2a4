"""`check_source`: whether a source keeps the promises of `contract.Source` and `contract.Stream`. Runs no pipeline.

A third party calls it from a test of its own, on a server that is real.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Sequence

from tailrace.contract import Shared, Source, Stream
from tailrace.error import EndOfStream, Fatal, Retryable, TailraceError
from tailrace.model import Batch, Limits, Position, Severity
from tailrace.testing.evidence import NAME, KeptPositions, check_order, confirm_aside, identities
from tailrace.testing.expect import expect
from tailrace.testing.sharing import SharedTrial

_TIMEOUT_S = 30.0
_LOOK_S = 0.2
_TENDS = 20
"""How often the suite tends between two reads, while what was committed waits or is on its way."""


def check_source(make_source: Callable[[], Source], commit: Callable[[int], object]) -> list[str]:
    """Put a source through its contract; returns what was shown, raises AssertionError for what was not.

    `make_source` returns a source that reads one table, without a position of its own. `commit(n)` commits one
    transaction of `n` new rows into that table. The table may hold rows at the start. What the source creates on the
    server is dropped at the end.

    Of a source whose streams are `Shared`, `make_source` reads at least two lineages, and `commit(n)` spreads `n` new
    rows evenly over them, each durable when it returns. Several readers are then opened side by side, on threads of
    their own, and lineages must come and go between them; each move may take a minute.
    """
    trial = _Trial(make_source, commit)
    shown = [trial.declares()]
    try:
        stream = trial.opens()
        if isinstance(stream, Shared):
            stream.close()
            stream.close()
            shown += SharedTrial(make_source, commit).run()
        else:
            shown += trial.run(stream)
    finally:
        removed = _drop(make_source())
    expect(all(isinstance(line, str) for line in removed), "drop() says in words what it removed")
    return shown


def _drop(source: Source) -> list[str]:
    """A server may take a moment to learn that its last reader has left."""
    deadline = time.monotonic() + _TIMEOUT_S
    while True:
        try:
            return source.drop(NAME)
        except Retryable:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_LOOK_S)  # nor does it tell when it has learned


class _Trial:
    """The checks, in an order in which each finds what the one before left."""

    def __init__(self, make_source: Callable[[], Source], commit: Callable[[int], object]) -> None:
        self._make = make_source
        self._commit = commit
        self._positions = KeptPositions()

    def declares(self) -> str:
        source = self._make()
        expect(dataclasses.is_dataclass(source), "a source is a dataclass: its fields are its whole configuration")
        expect(isinstance(source, Source), "kind, check, open and drop are there")
        errors = [finding for finding in source.check() if finding.severity is Severity.ERROR]
        expect(not errors, f"check() finds nothing amiss with a good server: {errors}")
        return "declares what it is and finds a good server good"

    def opens(self) -> Stream:
        self._commit(3)
        return self._open(until_current=True)

    def run(self, first: Stream) -> list[str]:
        return [
            self.reads_what_is_there(first),
            self.streams_in_order(),
            self.repeats_the_same(),
            self.waits_and_is_advised(),
            self.tends(),
            self.resumes_behind_what_is_saved(),
            self.hears_a_stop(),
            self.refuses_what_is_foreign(),
        ]

    def reads_what_is_there(self, stream: Stream) -> str:
        batches = _drain(stream)
        check_order(batches)
        expect(bool(self._positions.known()), "open() claims its lineage before it reads")
        expect(sum(map(len, batches)) >= 3, "the first open delivers what is there")
        self._save(batches)
        return "until_current delivers what is there and ends"

    def streams_in_order(self) -> str:
        stream = self._open()
        try:
            for size in (1, 5, 2):
                self._commit(size)
            batches = _take(stream, 8)
        finally:
            stream.close()
            stream.close()
        check_order(batches)
        changes = [change for batch in batches for change in batch]
        expect([change.op for change in changes] == ["c"] * 8, "new rows come as op c, each once, none from before")
        for batch in batches:
            ends = {change.transaction for change in batch}
            others = [other for other in batches if other is not batch]
            cut = any(change.transaction in ends for other in others for change in other)
            expect(not cut, "a batch ends where a transaction ends")
        return "I3 I7 I12 transactions come whole, in order, under positions of their own"

    def repeats_the_same(self) -> str:
        first, second = self._until_end(), self._until_end()
        expect(identities(first) == identities(second), "what was not saved comes again with the same positions")
        expect(sum(map(len, first)) == 8, "right after the saved position: nothing is left out, nothing comes twice")
        return "I6 I7 what is read again has the same positions"

    def waits_and_is_advised(self) -> str:
        stream = self._open()
        try:
            batches = _take(stream, 8)
            ends = batches[-1].positions
            self._save(batches)
            for _ in range(2):
                confirm_aside(stream, ends)
            started = time.monotonic()
            idle = stream.read(0.2)
            took_s = time.monotonic() - started
            quiet = idle is None or (isinstance(idle, Batch) and len(idle) == 0)
            expect(quiet, "an idle source has nothing to read, or progress")
            expect(took_s < 5.0, "read() returns soon after its timeout")
            self._commit(1)
            expect(sum(map(len, _take(stream, 1))) == 1, "it goes on after confirm()")
        finally:
            stream.close()
        return "I2 confirm is cheap advice from any thread; read keeps its timeout"

    def tends(self) -> str:
        self._commit(2)
        self._commit(3)
        batches = _drain(self._open(until_current=True), tends=_TENDS)
        check_order(batches)
        expect(identities(batches) == identities(self._until_end()), "I11 tend() takes nothing of what waits")
        return "I11 tend takes nothing of what waits"

    def resumes_behind_what_is_saved(self) -> str:
        rest = self._until_end()
        expect(sum(map(len, rest)) == 6, "the next open starts right after the saved position")
        return "I6 it resumes right behind what is saved"

    def hears_a_stop(self) -> str:
        """While another reader has what it wants: that is where it may have to wait, on a server that is good."""
        holder = self._open()
        try:
            ended = self._opened_and_stopped()
        finally:
            holder.close()
        expect(ended is not None, "open() ends as soon as `stop` is set: another reader has what it waits for")
        expect(not ended, f"beside another reader open() raises only what is a TailraceError, close() nothing: {ended}")
        return "open() does not wait once it is to stop"

    def _opened_and_stopped(self) -> list[Exception] | None:
        """What `open`, stopped at once, raised beside refusals, or its stream's `close`; None when it does not end."""
        raised, stop, asked = list[Exception](), threading.Event(), threading.Event()

        def begin() -> None:
            asked.set()
            try:
                try:
                    stream = self._make().open(NAME, self._positions, Limits(), stop=stop)
                except TailraceError:  # of its own, at once or once it was stopped
                    return
                stream.close()
            except Exception as error:  # noqa: BLE001 - told by whoever asked
                raised.append(error)

        opening = threading.Thread(target=begin, name="check-source-open", daemon=True)
        opening.start()
        asked.wait()
        stop.set()
        opening.join(_TIMEOUT_S)
        return None if opening.is_alive() else raised

    def refuses_what_is_foreign(self) -> str:
        """Twice: another server's position, and a text under the own lineage that the source did not write."""
        lineages = list(self._positions.known())
        elsewhere = [
            Position(f"{lineage}_elsewhere", at.text)
            for lineage, at in self._positions.known().items()
            if at is not None
        ]
        unknown = [Position(lineage, "check_source wrote this") for lineage in lineages]
        self._refuses(elsewhere, "another server's position")
        self._refuses(unknown, "a position that it did not write")
        return "I6 it refuses to start over from a position that is not its own"

    def _refuses(self, saved: Sequence[Position], what: str) -> None:
        foreign = KeptPositions()
        foreign.save(saved)
        try:
            stream = self._make().open(NAME, foreign, Limits())
        except Fatal:
            return
        stream.close()
        expect(False, f"I6 open() raises Fatal (HistoryLost where a new snapshot is needed) over {what}")

    def _open(self, *, until_current: bool = False) -> Stream:
        return self._make().open(NAME, self._positions, Limits(), until_current=until_current)

    def _until_end(self) -> list[Batch]:
        """All batches up to now, by a bounded stream."""
        batches = _drain(self._open(until_current=True))
        check_order(batches)
        return batches

    def _save(self, batches: Sequence[Batch]) -> None:
        for batch in batches:
            self._positions.save(batch.positions)


def _drain(stream: Stream, *, tends: int = 0) -> list[Batch]:
    """Read a bounded stream to its end, tending so often before each read, and close it."""
    batches: list[Batch] = []
    deadline = time.monotonic() + _TIMEOUT_S
    try:
        while True:
            expect(time.monotonic() < deadline, "a bounded stream ends")
            for _ in range(tends):
                stream.tend()
            taken = stream.read(0.5)
            if isinstance(taken, Batch):
                batches.append(taken)
    except EndOfStream:
        return batches
    finally:
        stream.close()


def _take(stream: Stream, rows: int) -> list[Batch]:
    """Read until that many changes have come."""
    batches: list[Batch] = []
    deadline = time.monotonic() + _TIMEOUT_S
    while sum(map(len, batches)) < rows:
        expect(time.monotonic() < deadline, f"{rows} changes that were committed come within {_TIMEOUT_S:.0f} s")
        taken = stream.read(0.5)
        if isinstance(taken, Batch):
            batches.append(taken)
    return batches
