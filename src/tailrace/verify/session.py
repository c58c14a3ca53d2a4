"""Compares the tables of one pipeline, one after another, and has repaired what differs. Never opens an end itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from tailrace.comparison import Compared, Image, Key, Shape, SourceView, TargetView
from tailrace.contract import Transform
from tailrace.error import ConfigError, Fatal, Retryable, TailraceError
from tailrace.model import Table
from tailrace.verify.pace import Clock, Pace
from tailrace.verify.remote import PipelineGone
from tailrace.verify.report import Report, TableReport, Verdict
from tailrace.verify.shape import shape
from tailrace.verify.side import Direct, Held, Written
from tailrace.verify.table import Ends, Settings, TableComparison

__all__ = ["Options", "Pipes", "Progress", "verify"]

Progress = Callable[[TableReport], None]
Repair = Callable[[str, Sequence[Key]], int]

_TOGETHER = 1000
_UNLIKE = "the two servers do not digest rows alike, as they do with one server_encoding and one order of bytes"
_CHUNK_ROWS, _CHUNK_ROWS_BINARY = 65536, 1 << 20
_SCAN_S = 60.0
"""How far apart scans of a whole table are, at a rate at which ranges of the usual size would come sooner."""


@dataclass(frozen=True, slots=True)
class Options:
    """What to compare and how: `tables` are globs of the source's names, `rate` is rows a second at either end.

    `repair` writes keys of a table again, through the pipeline; `parked` are the keys that wait in the dead letters, by
    the name of the table as it is written. `clock` is what the comparison waits by.
    """

    tables: Sequence[str] = ()
    rate: float | None = None
    repair: Repair | None = None
    parked: Mapping[str, Collection[Key]] = field(default_factory=dict)
    settle_s: float = 60.0
    stall_s: float = 60.0
    clock: Clock = field(default_factory=Clock)


@dataclass(frozen=True, slots=True)
class _Paces:
    """What either end is read at, over all tables."""

    source: Pace
    target: Pace


@dataclass(frozen=True, slots=True)
class Pipes:
    """Both ends, open, and what lies between them."""

    source: SourceView
    target: TargetView
    image: Image | None
    transforms: Sequence[Transform]


def verify(pipeline: str, pipes: Pipes, options: Options, *, told: Progress) -> Report:
    """Compare the captured tables that `options` means (`ConfigError` without any); `told` hears of each chunk."""
    paces = _Paces(Pace(options.rate, options.clock), Pace(options.rate, options.clock))
    captured = pipes.source.tables()
    meant = [t for t in captured if not options.tables or any(fnmatchcase(str(t), g) for g in options.tables)]
    if not meant:
        known = ", ".join(str(table) for table in captured[:10])
        raise ConfigError(f"no captured table matches {', '.join(options.tables)}", hint=f"captured are {known}")
    found = [each for table in meant if (each := _table(table, pipes, options, paces=paces, told=told)) is not None]
    _mend_in_turns([mending for _, mending in found if mending is not None])
    return Report(pipeline, tuple(report for report, _ in found))


def _table(
    table: Table, pipes: Pipes, options: Options, *, paces: _Paces, told: Progress
) -> tuple[TableReport, _Mending | None] | None:
    """The report of one table, and what has mended what can be; None when nothing of it is written."""
    shaped = shape(table, pipes.transforms, masked=pipes.image is not None)
    if shaped.shape is None:
        return None if shaped.obstacle is None else (TableReport(str(table), obstacle=shaped.obstacle), None)
    mirror = pipes.target.mirror(shaped.shape)
    if isinstance(mirror, str):
        return TableReport(str(table), key=shaped.shape.key, obstacle=mirror), None
    if pipes.image is None and not pipes.source.agrees(mirror):
        return TableReport(str(table), key=shaped.shape.key, obstacle=_UNLIKE), None
    side = (
        Direct(pipes.source, paces.source)
        if pipes.image is None
        else Written(pipes.source, paces.source, image=pipes.image, transforms=pipes.transforms)
    )
    comparison = TableComparison(
        Ends(pipes.source, side, Held(pipes.target, paces.target)),
        Compared(table, mirror),
        settings=Settings(
            chunk_rows=_chunk_rows(options.rate, scans=bool(mirror.binary)),
            together=_at_once(options.rate, _TOGETHER),
            settle_s=options.settle_s,
            stall_s=options.stall_s,
            keep=options.repair is not None,
        ),
        clock=options.clock,
        parked=_parked(options, table, shaped.shape),
        told=told,
    )
    try:
        report = comparison.run()
    except Fatal as error:  # one table that cannot be read leaves the others to be compared
        report = comparison.report
        report.obstacle = str(error.args[0])
    report.left_out = shaped.masked
    mending = None
    if options.repair is not None and report.differing:
        mending = _Mending(comparison, options.repair, paces, together=_at_once(options.rate, _TOGETHER))
        mending.run()
    told(report)
    return report, mending


def _at_once(rate: float | None, most: int, seconds: float = 1.0) -> int:
    """How many rows to read with one statement: what `seconds` allow."""
    return most if rate is None else max(1, min(most, int(rate * seconds)))


def _chunk_rows(rate: float | None, *, scans: bool) -> int:
    """How many rows a range has. Where the key has no index in the target's order, each is a scan of the whole table:
    at a low rate, ranges of a second would have the source do nothing else."""
    return _at_once(rate, _CHUNK_ROWS_BINARY, _SCAN_S) if scans else _at_once(rate, _CHUNK_ROWS)


def _parked(options: Options, table: Table, shape: Shape) -> set[Key]:
    """Keys that the sink has refused, and those that a transform has, which knew the table by another name."""
    names = {str(table), f"{shape.schema}.{shape.name}"}
    return {key for name in names for key in options.parked.get(name, ())}


class _Mending:
    """Has what differs in one table written again, then looks whether it agrees now."""

    def __init__(self, comparison: TableComparison, repair: Repair, paces: _Paces, *, together: int) -> None:
        self._comparison = comparison
        self._repair = repair
        self._paces = paces
        self._together = together
        self._obstacle = comparison.report.obstacle
        self.report = comparison.report
        self.refused = False
        """The target refused some of it, which may come of what it lacks elsewhere."""

    def run(self) -> None:
        """Once for each key that still differs."""
        report, self.refused = self.report, False
        report.obstacle = self._obstacle
        keys, report.differing = sorted(report.differing), []
        for first in range(0, len(keys), self._together):
            part = keys[first : first + self._together]
            self._paces.source.wait()
            self._paces.target.wait()
            self._paces.source.spend(2 * len(part))  # found by key, and read
            self._paces.target.spend(len(part))
            try:
                verdicts = self._mend(part)
            except PipelineGone as gone:  # nobody is left to repair the others, nor to bring the target on
                report.obstacle = f"not all was repaired: {gone.args[0]}"
                self.refused = False
                return
            mended = {key for key in part if verdicts.get(key) in (Verdict.EQUAL, Verdict.GONE)}
            report.repaired += len(mended)
            report.differing += [key for key in part if key not in mended]

    def _mend(self, part: Sequence[Key]) -> Mapping[Key, Verdict]:
        try:
            self._repair(self.report.table, part)
        except PipelineGone:
            raise
        except TailraceError as error:
            self.report.obstacle = f"not all was repaired: {error.args[0]}"
            self.refused = self.refused or not isinstance(error, Retryable)
        return self._comparison.settle(part)


def _mend_in_turns(mendings: Sequence[_Mending]) -> None:
    """Again as long as that helps: a row may refer to one of a table that came behind its own."""
    before = -1
    while any(mending.refused for mending in mendings):
        repaired = sum(mending.report.repaired for mending in mendings)
        if repaired == before:
            return
        before = repaired
        for mending in mendings:
            if mending.refused:
                mending.run()
