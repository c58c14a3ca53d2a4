"""What happens when the log that our slot keeps on the server grows beyond what it may (real log, real servers)."""

from __future__ import annotations

import json
import logging
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest

from servers import postgres
from tailrace.checkpoint import File
from tailrace.error import Fatal, HistoryLost, Retryable, TailraceError
from tailrace.model import Batch, Finding, Limits
from tailrace.pipeline import Pipeline
from tailrace.source import Postgres
from tests import waiting
from tests.fault.disk import Disk, mountable
from tests.server.postgres.reading import Make, Reading, Sql
from tests.wanting import or_skip

Start = Callable[..., postgres.Server]
MIB = 1 << 20
SLOT = "SELECT slot_name, active FROM pg_replication_slots"


@pytest.fixture
def shop(any_database: str, sql: Sql) -> str:
    sql(any_database, "CREATE TABLE orders (id int PRIMARY KEY, note text)", "CREATE TABLE noise (x text)")
    sql(any_database, "INSERT INTO orders VALUES (1, 'one')")
    return any_database


def pile_up(url: str, sql: Sql, mib: int = 20) -> None:
    """Write that much log and more, nothing of which is captured."""
    sql(url, f"INSERT INTO noise SELECT repeat('x', 1000) FROM generate_series(1, {mib * 1100})")


def tends_until_it_breaks(it: Reading) -> TailraceError:
    """A stuck sink: nothing is read or confirmed."""
    caught: list[TailraceError] = []

    def broken() -> bool:
        try:
            it.stream.tend()
        except TailraceError as error:
            caught.append(error)
        return bool(caught)

    waiting.until(broken, "for the guardian")
    return caught[0]


def settled(it: Reading) -> Reading:
    """Past its snapshot."""
    return it.open().until(lambda: bool(it.batches) and it.batches[-1].snapshot is None)


def test_an_alarm_is_told_once_and_the_stream_goes_on(
    shop: str, sql: Sql, reading: Make, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"retained_bytes_alarm": 4 * MIB, "retained_bytes_max": 40 * MIB, "tables": ["public.orders"]}
    it = settled(reading(shop, **options))
    pile_up(shop, sql)
    waiting.until(lambda: it.stream.tend() or "more than 4 MiB" in caplog.text)
    pile_up(shop, sql, 30)
    sql(shop, "INSERT INTO orders VALUES (2, 'two')")
    it.count(2)
    (told,) = [record for record in caplog.records if "keeps" in record.getMessage() and record.levelno > logging.INFO]
    assert told.levelno == logging.WARNING


def test_warn_says_that_the_limit_is_passed_and_stops_nothing(
    shop: str, sql: Sql, reading: Make, caplog: pytest.LogCaptureFixture
) -> None:
    it = settled(reading(shop, retained_bytes_max=4 * MIB, tables=["public.orders"]))
    pile_up(shop, sql)
    waiting.until(lambda: it.stream.tend() or "more than 4 MiB" in caplog.text)
    sql(shop, "INSERT INTO orders VALUES (2, 'two')")
    it.count(2)


def test_stop_ends_a_stuck_stream_and_keeps_the_slot_which_can_then_catch_up(
    shop: str, sql: Sql, reading: Make
) -> None:
    options = {"retained_bytes_max": 4 * MIB, "at_retained_max": "stop", "tables": ["public.orders"]}
    it = settled(reading(shop, **options))
    sql(shop, "INSERT INTO orders VALUES (2, 'two')")
    pile_up(shop, sql)
    error = tends_until_it_breaks(it)
    assert type(error) is Fatal and "stopped, and the slot stays" in str(error)
    waiting.until(lambda: (f"tailrace_{it.name}", False) in sql(shop, SLOT), "for a slot that is free")
    sql(shop, "INSERT INTO orders VALUES (3, 'three')")
    it.restart().count(3)
    assert [change.key for change in it.seen] == [{"id": "1"}, {"id": "2"}, {"id": "3"}]


def test_drop_records_the_gap_and_every_start_says_what_is_missing(
    shop: str, sql: Sql, reading: Make, tmp_path: Path
) -> None:
    gaps = tmp_path / "state" / "shop.gaps"
    options = {"retained_bytes_max": 4 * MIB, "at_retained_max": "drop", "tables": ["public.orders"], "gaps": gaps}
    it = settled(reading(shop, **options))
    sql(shop, "INSERT INTO orders VALUES (2, 'two')")
    pile_up(shop, sql)
    error = tends_until_it_breaks(it)
    assert isinstance(error, HistoryLost) and "it was dropped" in str(error)
    assert f"tailrace_{it.name}" not in [name for name, _ in sql(shop, SLOT)]
    (gap,) = [json.loads(line) for line in gaps.read_text().splitlines()]
    assert gap["retained_bytes"] > gap["retained_bytes_max"] == 4 * MIB
    missing = f"(?s)dropped by this pipeline at .* and {gap['wal_end']}, and since, is missing.*reset"
    for _ in range(2):
        with pytest.raises(HistoryLost, match=missing):
            it.restart()


@pytest.fixture
def disk() -> Iterator[Disk]:
    """A small file system of its own."""
    or_skip(mountable)
    with tempfile.TemporaryDirectory(prefix="tailrace-disk-") as folder, closing(Disk(Path(folder), "64k")) as made:
        yield made


def test_a_gap_that_cannot_be_recorded_whole_keeps_the_slot(database: str, sql: Sql, reading: Make, disk: Disk) -> None:
    sql(database, "CREATE TABLE orders (id int PRIMARY KEY, note text)", "CREATE TABLE noise (x text)")
    gaps = disk.path / "gaps"
    other = json.dumps({"lineage": "another", "confirmed": "0/1", "wal_end": "0/2", "retained_bytes": 2,
                        "retained_bytes_max": 1, "dropped_at": "then"})  # fmt: skip
    before = f"{other}{' ' * (4000 - len(other))}\n"  # 95 bytes more and the disk is full: a part of a record
    gaps.write_text(before)
    options = {"retained_bytes_max": 4 * MIB, "at_retained_max": "drop", "tables": ["public.orders"], "gaps": gaps}
    it = settled(reading(database, **options))
    disk.fill()
    sql(database, "INSERT INTO orders VALUES (1, 'one')")
    pile_up(database, sql)
    error = tends_until_it_breaks(it)
    assert type(error) is Retryable and f"cannot write {gaps}: No space left on device" in str(error)
    assert gaps.read_text() == before
    waiting.until(lambda: (f"tailrace_{it.name}", False) in sql(database, SLOT), "for a slot that is free")
    it.restart().count(1)


def test_a_record_whose_end_was_lost_in_a_crash_is_none_and_the_next_one_is_whole(
    database: str, sql: Sql, reading: Make, tmp_path: Path
) -> None:
    sql(database, "CREATE TABLE orders (id int PRIMARY KEY, note text)", "CREATE TABLE noise (x text)")
    gaps = tmp_path / "gaps"
    gaps.write_text('{"lineage": "post')
    options = {"retained_bytes_max": 4 * MIB, "at_retained_max": "drop", "tables": ["public.orders"], "gaps": gaps}
    it = settled(reading(database, **options))
    pile_up(database, sql)
    assert isinstance(tends_until_it_breaks(it), HistoryLost)
    [gap] = [json.loads(line) for line in gaps.read_text().splitlines()]
    with pytest.raises(HistoryLost, match=f"{gap['wal_end']}, and since, is missing"):
        it.restart()


def test_drop_with_when_needed_begins_anew(shop: str, sql: Sql, reading: Make, tmp_path: Path) -> None:
    it = settled(
        reading(
            shop,
            retained_bytes_max=4 * MIB,
            at_retained_max="drop",
            tables=["public.orders"],
            gaps=tmp_path / "gaps",
            snapshot="when_needed",
        )
    )
    sql(shop, "INSERT INTO orders VALUES (2, 'two')")
    pile_up(shop, sql)
    assert isinstance(tends_until_it_breaks(it), Retryable)
    assert (tmp_path / "gaps").exists()
    it.restart().count(3)
    assert it.ops() == ["r", "r", "r"]


def test_a_long_snapshot_is_watched_as_well(shop: str, sql: Sql, reading: Make) -> None:
    sql(shop, "INSERT INTO orders SELECT i, repeat('x', 1000) FROM generate_series(2, 30000) AS i")
    it = reading(shop, retained_bytes_max=4 * MIB, at_retained_max="stop", tables=["public.orders"])
    it.limits = Limits(segment_bytes=1 << 14)
    it.open().count(1)
    it.until(lambda: it.stream.tend() or False or len(it.seen) > 100)
    pile_up(shop, sql)
    assert "the slot stays" in str(tends_until_it_breaks(it))


@dataclass
class Stuck:
    """A sink that takes the snapshot (`begun`) and then hangs until it is let go."""

    kind: ClassVar[str] = "stuck"
    transactional: ClassVar[bool] = False
    table_like: ClassVar[bool] = False
    truncate: ClassVar[bool] = True
    begun: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)
    free: threading.Event = field(default_factory=threading.Event)

    def check(self) -> list[Finding]:
        return []

    def open(self, name: str, limits: Limits) -> Stuck:
        return self

    def write(self, batch: Batch) -> None:
        if batch.snapshot is not None:
            self.begun.set()
        elif len(batch):
            self.reached.set()
            self.free.wait(waiting.TIMEOUT_S)

    def close(self) -> None:
        pass


def test_a_pipeline_whose_sink_hangs_lets_go_of_the_log_meanwhile(shop: str, sql: Sql, tmp_path: Path) -> None:
    name = shop.rpartition("/")[2]
    source = Postgres(
        shop, tables=["public.orders"], retained_bytes_max=4 * MIB, at_retained_max="drop", gaps=tmp_path / "gaps"
    )
    sink = Stuck()
    limits = Limits(shelf_bytes_max=1)
    pipeline = Pipeline(source, sink, name=name, checkpoint=File(tmp_path / "at"), limits=limits, state_dir=tmp_path)
    ended: list[BaseException] = []

    def run() -> None:
        try:
            pipeline.run()
        except TailraceError as error:
            ended.append(error)

    running = threading.Thread(target=run)
    running.start()
    assert sink.begun.wait(waiting.TIMEOUT_S)  # what comes now is not in it
    sql(shop, "INSERT INTO orders VALUES (2, 'two')")
    assert sink.reached.wait(waiting.TIMEOUT_S)
    sql(shop, "INSERT INTO orders VALUES (3, 'three')")
    pile_up(shop, sql)
    waiting.until(lambda: f"tailrace_{name}" not in [slot for slot, _ in sql(shop, SLOT)])
    assert running.is_alive() and (tmp_path / "gaps").exists()
    sink.free.set()
    running.join(waiting.TIMEOUT_S)
    assert isinstance(ended[0], HistoryLost)
