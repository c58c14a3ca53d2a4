"""The disk of a broker is full: the sink waits, and goes on when there is room again. A tmpfs stands for the disk."""

from __future__ import annotations

import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import psycopg
import pytest

from servers import kafka as server
from tailrace.format import Format
from tailrace.model import Limits
from tailrace.pipeline import Pipeline
from tailrace.sink.kafka import Kafka
from tailrace.source import Postgres
from tests.fault.disk import Disk, mountable
from tests.fault.row import fault, waits
from tests.server.sink.kafka.topics import read
from tests.waiting import until
from tests.wanting import or_skip

TOPIC = "t.public.steps"
KEYS = 10
LIMITS = Limits(segment_bytes=16 << 10, batch_bytes_max=32 << 10, backoff_s_max=0.5)


@pytest.fixture
def disk() -> Iterator[Disk]:
    or_skip(mountable)
    with ExitStack() as stack:
        path = Path(tempfile.mkdtemp(prefix="tailrace-disk-"))
        stack.callback(path.rmdir)
        made = Disk(path, "96m")
        stack.callback(made.close)
        yield made


def step(database: str) -> int:
    """Set every row a step further, each in a transaction of its own; the step."""
    with psycopg.connect(database, autocommit=True) as connection:
        for key in range(1, KEYS + 1):
            connection.execute("UPDATE steps SET step = step + 1 WHERE id = %s", [key])
        row = connection.execute("SELECT max(step) FROM steps").fetchone()
    assert row is not None
    return int(row[0])


@fault(
    "the broker's disk is full",
    "sink",
    waits("…: … Kafka …; trying again in … s", "nothing lost; with transactions every change once"),
)
@pytest.mark.parametrize("transactions", [False, True], ids=["acknowledged", "transactions"])
def test_a_broker_without_space_costs_nothing_once_it_has_some(
    transactions: bool,
    disk: Disk,
    database: str,
    start_kafka: Callable[..., server.Broker],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(tempfile, "tempdir", str(disk.path))
        broker = start_kafka()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE steps (id int PRIMARY KEY, step int)")
        connection.execute("INSERT INTO steps SELECT n, 0 FROM generate_series(1, %s) n", [KEYS])
    sink = Kafka(
        f"kafka://{broker.address}", format=Format(topic_prefix="t"), create_topics=True, partitions=3,
        delivery_timeout_s=3.0, transactions=transactions,
    )  # fmt: skip
    pipeline = Pipeline(Postgres(database, ["public.steps"]), sink, name="steps", state_dir=tmp_path, limits=LIMITS)
    running = threading.Thread(target=pipeline.run, daemon=True)
    running.start()
    until(lambda: len(read(broker, TOPIC)) >= KEYS, "for the snapshot")
    process = psutil.Process(broker.pid)
    disk.fill()
    until(lambda: step(database) and _ended(process), "for a broker that cannot write to end")
    until(lambda: "Kafka" in str(pipeline.status().error), "for the status to say so")
    # The pipeline's thread has set the status, and may not have come to its next line yet, which logs.
    until(lambda: any("Kafka" in text and "trying again in" in text for text in caplog.messages), "for the log's line")
    disk.clear()
    broker.kill()  # it has ended by itself, and is not to be taken for one that runs
    broker.start()
    last = step(database)
    # What a broker that has just started takes is tried again, and a transaction waited for, a minute each.
    until(
        lambda: len({record.row["id"] for record in read(broker, TOPIC) if record.row["step"] == last}) == KEYS,
        "for what came last of each key",
        timeout_s=200,
    )
    pipeline.stop()
    running.join(120)
    _complete(broker, last, once=transactions)


def _ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def _complete(broker: server.Broker, last: int, *, once: bool) -> None:
    """Each key has every step, none overtaken by a later one, and with `once` none again."""
    steps: dict[int, list[int]] = defaultdict(list)
    for record in read(broker, TOPIC, settled=True):
        steps[record.row["id"]].append(record.row["step"])
    assert len(steps) == KEYS
    for seen in steps.values():
        furthest = -1
        for at in seen:
            assert at <= furthest + 1, f"{at} overtook what was between it and {furthest}"
            furthest = max(furthest, at)
        assert furthest == last
        assert not once or seen == list(range(last + 1))
