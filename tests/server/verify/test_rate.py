"""`--rate`: no read of an end begins before everything that was read of it is paid for. Time here is what is waited."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from tailrace.comparison import Checksum, Key, SourceLook, SourceView, TargetLook, TargetView
from tailrace.error import Retryable
from tailrace.model import Batch
from tailrace.verify import Clock, Pipes, TableReport
from tests.server.verify.conftest import Target
from tests.server.verify.stand import Stand, only

KEYS = {"int": "i", "text": "'k' || i"}


class Paid(Clock):
    """Moves only when reads are waited for; what is waited for otherwise (the pipeline) takes none of this time."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def now(self) -> float:
        """See `Clock.now`."""
        return self._now

    def wait_until(self, moment: float) -> None:
        """See `Clock.wait_until`."""
        self._now = max(self._now, moment)


class Meter:
    """Counts the rows that one end reads, and checks at each read that those before are paid for."""

    def __init__(self, clock: Clock, rate: float) -> None:
        self._clock = clock
        self._rate = rate
        self.reads: list[int] = []
        self.early: list[tuple[float, int]] = []

    def begin(self) -> None:
        """A read begins."""
        if sum(self.reads) > self._rate * self._clock.now() + 1e-6:
            self.early.append((self._clock.now(), sum(self.reads)))

    def end(self, rows: int) -> None:
        """It has read so many rows."""
        self.reads.append(rows)


class Metered:
    """What both ends have in common: everything else is the view's own."""

    def __init__(self, view: SourceView | TargetView, meter: Meter) -> None:
        self._view: Any = view
        self._meter = meter

    def __getattr__(self, name: str) -> Any:
        return getattr(self._view, name)

    def checksum(self, *what: Any) -> Checksum:
        """See `SourceView.checksum`."""
        self._meter.begin()
        found: Checksum = self._view.checksum(*what)
        self._meter.end(found.rows)
        return found

    def digests(self, *what: Any) -> Sequence[tuple[Key, str]]:
        """See `SourceView.digests`."""
        self._meter.begin()
        found: Sequence[tuple[Key, str]] = self._view.digests(*what)
        self._meter.end(len(found))
        return found


class MeteredSource(Metered):
    """The source's view, metered."""

    def rows(self, *what: Any, **how: Any) -> Iterator[Batch]:
        """See `SourceView.rows`."""
        self._meter.begin()
        read = 0
        for batch in self._view.rows(*what, **how):
            read += len(batch)
            yield batch
        self._meter.end(read)

    def look(self, table: Any, keys: Sequence[Key], **how: Any) -> SourceLook:
        """See `SourceView.look`."""
        if keys:
            self._meter.begin()
        look: SourceLook = self._view.look(table, keys, **how)
        self._meter.end(len(keys))
        self._meter.end(len(look.rows) if look.rows is not None else 0)
        return look


class MeteredTarget(Metered):
    """The target's view, metered."""

    def look(self, mirror: Any, keys: Sequence[Key]) -> TargetLook:
        """See `TargetView.look`."""
        if keys:
            self._meter.begin()
        look: TargetLook = self._view.look(mirror, keys)
        self._meter.end(len(keys))
        return look


def metered(stand: Stand, rate: float, *, repair: bool = False) -> tuple[TableReport, Meter, Meter]:
    """The report, and what was read of source and target. No row was read that was not paid for, nor paid for twice."""
    clock = Paid()
    source, target = Meter(clock, rate), Meter(clock, rate)

    def watch(pipes: Pipes) -> Pipes:
        return replace(
            pipes,
            source=cast(SourceView, MeteredSource(pipes.source, source)),
            target=cast(TargetView, MeteredTarget(pipes.target, target)),
        )

    report = only(stand.verify(rate=rate, clock=clock, watch=watch, repair=repair))
    assert (source.early, target.early) == ([], [])
    written = 3 * report.repaired  # found and read at the source, and written to the target
    assert clock.now() <= (sum(source.reads) + sum(target.reads) + written) / rate + 1e-6
    return report, source, target


def filled(target: Target, key: str, rows: int) -> Stand:
    """A table of so many rows, in the target."""
    target.prepare(f"CREATE TABLE items (id {key} PRIMARY KEY, n int)" if key else "CREATE TABLE items (id int, n int)")
    stand = target.make()
    if not key:
        stand.source.execute("ALTER TABLE items REPLICA IDENTITY FULL")
    fill = f"INSERT INTO items SELECT {KEYS[key or 'int']}, i FROM generate_series(1, {rows}) AS i"
    stand.source.execute(fill.encode())
    stand.start()
    return stand


@pytest.mark.parametrize(
    ("key", "rows", "rate"),
    [
        pytest.param("int", 3000, 100.0, id="int"),
        pytest.param("int", 20_000, 8000.0, id="int-in-parts"),  # ranges of more rows than are listed at once
        pytest.param("text", 3000, 20.0, id="text"),
    ],
)
def test_rows_are_read_no_faster_than_asked(target: Target, key: str, rows: int, rate: float) -> None:
    stand = filled(target, key, rows)
    # DuckDB orders texts otherwise: a range is a scan of the whole table, once a minute.
    most = rate * (60 if (key, target.kind) == ("text", "duckdb") else 1)
    report, source, held = metered(stand, rate)
    assert (report.equal, sum(source.reads), sum(held.reads)) == (rows, rows, rows)
    assert max(*source.reads, *held.reads) <= most
    extra = f"INSERT INTO public.items VALUES ({KEYS[key].replace('i', '1000000')}, 0)"
    target.plant("UPDATE public.items SET n = -1 WHERE n % 50 = 0", "DELETE FROM public.items WHERE n = 77", extra)
    for repair in (False, True):
        report, source, held = metered(stand, rate, repair=repair)
        assert (report.different, report.missing, report.extra) == (rows // 50, 1, 1)
        assert (report.unsettled, report.repaired) == (0, (rows // 50 + 2) * repair)
        # Ranges that differ were listed, and each key that differs was looked at, at least twice at the target.
        assert sum(source.reads) > rows + 2 * (rows // 50) and sum(held.reads) > rows + 3 * (rows // 50)
        assert max(*source.reads, *held.reads) <= most + 1  # the row that is too many
    assert only(stand.verify()).differences == 0


@pytest.mark.parametrize("target", ["postgres"], indirect=True)
def test_a_table_without_a_key_is_paid_for_each_time_it_is_read(target: Target) -> None:
    stand = filled(target, "", 3000)
    report, source, held = metered(stand, 100.0)
    assert (report.equal, source.reads, held.reads) == (3000, [3000], [3000])
    target.plant("DELETE FROM items WHERE n = 7")
    report, source, held = metered(stand, 100.0)
    assert (report.missing, source.reads[0], held.reads[0]) == (1, 3000, 2999)
    assert sum(source.reads) >= 6000 and sum(held.reads) >= 2 * 2999


def test_what_is_read_without_a_rate_ends_at_a_stop_too(target: Target) -> None:
    stand = filled(target, "int", 100)
    stop = threading.Event()
    stop.set()
    with pytest.raises(Retryable, match="the comparison was stopped"):
        stand.verify(clock=Clock(stop))
