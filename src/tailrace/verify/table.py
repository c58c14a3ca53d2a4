"""Compares one table: ranges by checksum, what differs by halves and keys, what is left by looks. Never repairs.

A range that agrees is done with, wherever the target stands. One that does not is split down to keys; these are looked
at again, in turn at either end, until each is equal or proven different (`suspect.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tailrace.comparison import Checksum, Compared, Key, SourceView, Span
from tailrace.verify.pace import Clock
from tailrace.verify.report import Kind, TableReport, Verdict
from tailrace.verify.side import Held, Side
from tailrace.verify.suspect import Suspect

__all__ = ["Ends", "Settings", "TableComparison"]

_LISTED_ROWS = 4096
"""A range of at most so many rows is compared key by key."""
_SPLIT = 16
_PAUSE_S, _PAUSE_S_MAX = 0.005, 0.25
_NUDGE_S = 0.1
_STUCK_S = 0.5
"""How long a target is waited for that still stands where it was waited for in vain."""
_KINDS = {
    Verdict.DIFFERENT: Kind.DIFFERENT,
    Verdict.MISSING: Kind.MISSING,
    Verdict.EXTRA: Kind.EXTRA,
}


@dataclass(frozen=True, slots=True)
class Settings:
    """How a comparison is made: in ranges of `chunk_rows` rows, and looks at `together` keys.

    A key that is neither equal nor proven after `settle_s` is unsettled; so is one when the target does not come as far
    as the source for `stall_s`.
    """

    chunk_rows: int = 65536
    together: int = 1000
    settle_s: float = 60.0
    stall_s: float = 60.0
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Ends:
    """Both ends, open. `source` tells where ranges end and how far the log is; its rows are read by `side`."""

    source: SourceView
    side: Side
    target: Held


class TableComparison:
    """One table, compared once. `parked` are keys that wait in the dead letters."""

    def __init__(
        self,
        ends: Ends,
        what: Compared,
        *,
        settings: Settings,
        clock: Clock,
        parked: Collection[Key],
        told: Callable[[TableReport], None],
    ) -> None:
        self._ends = ends
        self._what = what
        self._settings = settings
        self._clock = clock
        self._parked = parked
        self._told = told
        self._stuck: Mapping[str, str] | None = None
        """Where the target stood when it was last waited for in vain."""
        self._counted: set[Key] = set()
        """Where both ends order keys in two ways, one that differs is met in two ranges."""
        self._pool: ThreadPoolExecutor
        self.report = TableReport(str(what.table), key=what.mirror.shape.key)

    def run(self) -> TableReport:
        """Compare; the report says what was found."""
        began = time.monotonic()
        with ThreadPoolExecutor(1, thread_name_prefix="tailrace-verify") as pool:
            self._pool = pool
            if self._what.mirror.shape.key:
                self._by_key()
            else:
                self._as_a_whole()
        self.report.seconds = time.monotonic() - began
        return self.report

    def settle(self, keys: Sequence[Key]) -> dict[Key, Verdict]:
        """Look at these keys until each is equal or proven to differ; those that are missing have not settled."""
        verdicts: dict[Key, Verdict] = {}
        for first in range(0, len(keys), self._settings.together):
            part = keys[first : first + self._settings.together]
            self._settle({key: Suspect() for key in part}, verdicts)
        return verdicts

    def _by_key(self) -> None:
        suspects: list[Key] = []
        after: Key | None = None
        while True:
            upto = self._ends.source.boundary(self._what, Span(after), self._settings.chunk_rows)
            span = Span(after, upto)
            ours, theirs = self._checksums(span)
            self.report.rows += ours.rows
            if ours != theirs:
                suspects.extend(self._listed(span, max(ours.rows, theirs.rows)))
            if len(suspects) >= self._settings.together or upto is None:
                self._judge(suspects)
                suspects = []
            self._told(self.report)
            if upto is None:
                return
            after = upto

    def _checksums(self, span: Span) -> tuple[Checksum, Checksum]:
        """Both ends at once."""
        theirs = self._pool.submit(self._ends.target.checksum, self._what.mirror, span)
        ours = self._ends.side.checksum(self._what, span)
        return ours, theirs.result()

    def _listed(self, span: Span, rows: int) -> Iterator[Key]:
        """The keys of `span` whose rows do not agree now."""
        if rows <= _LISTED_ROWS:
            yield from self._keys(span)
            return
        for part in self._parts(span, max(_LISTED_ROWS, -(-rows // _SPLIT))):
            ours, theirs = self._checksums(part)
            if ours != theirs:
                yield from self._keys(part)

    def _parts(self, span: Span, rows: int) -> Iterator[Span]:
        """`span` in pieces of `rows` rows."""
        while (upto := self._ends.source.boundary(self._what, span, rows)) is not None:
            yield Span(span.after, upto)
            span = Span(upto, span.upto)
        yield span

    def _keys(self, span: Span) -> list[Key]:
        theirs_later = self._pool.submit(self._ends.target.digests, self._what.mirror, span)
        ours = dict(self._ends.side.digests(self._what, span))
        theirs = dict(theirs_later.result())
        return [key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)]

    def _judge(self, suspects: Sequence[Key]) -> None:
        """Count what becomes of them; nothing is said of what is parked."""
        report = self.report
        suspects = [key for key in dict.fromkeys(suspects) if key not in self._counted]
        # A source's key is never null: a row of the target with such a key is nobody's.
        strays = [key for key in suspects if None in key]
        parked = {key for key in suspects if key in self._parked}
        asked = sorted(key for key in suspects if key not in parked and None not in key)
        for key in strays:
            report.add(Kind.EXTRA, key, keep=False)
        report.parked += len(parked)
        self._counted.update(strays, parked)
        verdicts = self.settle(asked)
        for key in asked:
            verdict = verdicts.get(key)
            if verdict is None:
                report.add_unsettled(key)
            elif verdict in _KINDS:
                report.add(_KINDS[verdict], key, keep=self._settings.keep)
            else:
                continue
            self._counted.add(key)

    def _settle(self, open: dict[Key, Suspect], verdicts: dict[Key, Verdict]) -> None:
        """Read target and source in turn, the target only once it has what the source has shown."""
        mirror, began = self._what.mirror, time.monotonic()
        pause_s = 0.0
        while open:
            target = self._ends.target.look(mirror, list(open))
            for key, seen in zip(list(open), target.seen, strict=True):
                _decide(key, open[key].read_target(seen), open=open, verdicts=verdicts)
            if not open:
                return
            source = self._ends.side.look(self._what, list(open))
            for key, seen in zip(list(open), source.seen, strict=True):
                _decide(key, open[key].read_source(seen, source.pending), open=open, verdicts=verdicts)
            if time.monotonic() - began > self._settings.settle_s or not (open and self._follows(source.upto)):
                return
            self._clock.wait(pause_s)
            pause_s = min(_PAUSE_S_MAX, max(_PAUSE_S, pause_s * 1.5))

    def _follows(self, upto: str) -> bool:
        """Wait until the target has everything before `upto`; False when it does not come that far."""
        began, nudged, pause_s = time.monotonic(), False, _PAUSE_S
        while True:
            look = self._ends.target.look(self._what.mirror, ())
            if self._ends.source.reached(look.positions, upto):
                return True
            waited_s = time.monotonic() - began
            if waited_s > (_STUCK_S if look.positions == self._stuck else self._settings.stall_s):
                self._stuck = look.positions
                return False
            if waited_s > _NUDGE_S and not nudged:
                self._ends.source.nudge()
                nudged = True
            self._clock.wait(pause_s)
            pause_s = min(_PAUSE_S_MAX, pause_s * 1.5)

    def _as_a_whole(self) -> None:
        """Without a key rows cannot be told apart: all of them at once, at a moment that is the same at both ends.

        What two equal reads of one end enclose was so at the moment of the other's read in between.
        """
        report, whole = self.report, Span()
        began, before = time.monotonic(), None
        ours, theirs = self._checksums(whole)
        while ours != theirs:
            if before == (ours, theirs):
                report.missing = max(0, ours.rows - theirs.rows)
                report.extra = max(0, theirs.rows - ours.rows)
                report.different = int(ours.rows == theirs.rows)
                break
            if time.monotonic() - began > self._settings.settle_s or not self._follows(
                self._ends.source.look(self._what.table, ()).upto
            ):
                report.unsettled = max(1, abs(ours.rows - theirs.rows))
                break
            before = ours, theirs
            theirs = self._ends.target.checksum(self._what.mirror, whole)
            ours = self._ends.side.checksum(self._what, whole)
        report.rows = ours.rows


def _decide(key: Key, verdict: Verdict | None, *, open: dict[Key, Suspect], verdicts: dict[Key, Verdict]) -> None:
    if verdict is not None:
        verdicts[key] = verdict
        del open[key]
