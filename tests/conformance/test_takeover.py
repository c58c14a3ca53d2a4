"""The way over: a real Debezium before, Tailrace after on the same slot, and a writer that never stops (I6).

Every change that the writer commits has a number. The ledger: what Debezium delivered up to the offset that it stored,
and then what Tailrace delivered, is everything that was committed, in order, and nothing else. What Debezium delivered
behind that offset comes again, and nothing before it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

from servers import connect as servers_connect
from servers import debezium
from servers import kafka as servers_kafka
from tests.waiting import until

TIMEOUT_S = 300.0
ROWS = 400
_END_OF_MAP = b"\x78"
PAUSE_S = 0.05
"""Between two transactions: what is committed while a JVM starts has to be read and compared too."""
Event = tuple[str, int, int | None]
"""What tells a change from every other: the operation, the row's key, and its number (None where it is deleted)."""


@dataclass
class Writer:
    """Commits transactions of many rows, and small ones, until it is stopped; `committed` has the changes in order."""

    url: str
    committed: list[Event] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        with psycopg.connect(self.url) as connection:
            turn, number = 0, 0
            while not self._stop.is_set():
                events = []
                for event in self._transaction(turn, number):
                    events.append(event)
                    _apply(connection, event)
                connection.commit()
                self.committed += events
                turn, number = turn + 1, number + len(events)
                self._stop.wait(PAUSE_S)

    def _transaction(self, turn: int, number: int) -> Iterator[Event]:
        rows = ROWS if turn % 3 else 2
        for at in range(number, number + rows):
            yield "c", at + 1_000, at
        if turn % 2:
            yield "u", number + 1_000, number + rows
            yield "d", number + 1_001, None

    def stop(self) -> None:
        self._stop.set()


def _apply(connection: psycopg.Connection[Any], event: Event) -> None:
    statements = {
        "c": "INSERT INTO orders VALUES (%(id)s, %(number)s)",
        "u": "UPDATE orders SET number = %(number)s WHERE id = %(id)s",
        "d": "DELETE FROM orders WHERE id = %(id)s",
    }
    connection.execute(statements[event[0]].encode(), {"id": event[1], "number": event[2]})


@contextmanager
def writing(url: str) -> Iterator[Writer]:
    writer = Writer(url)
    thread = threading.Thread(target=writer.run)
    thread.start()
    try:
        yield writer
    finally:
        writer.stop()
        thread.join()


def event_of(key: Mapping[str, Any] | None, value: Mapping[str, Any] | None) -> Event | None:
    """The change of a record; None for a tombstone."""
    if key is None or value is None:
        return None
    after = value["after"]
    return value["op"], key["id"], None if after is None else after["number"]


@dataclass(frozen=True)
class Delivered:
    """A change that Debezium delivered."""

    event: Event
    lsn: int
    xid: int


def delivered(records: Iterable[tuple[bytes | None, bytes | None]]) -> list[Delivered]:
    """The changes among keys and values of records; tombstones are none."""
    made = []
    for pair in records:
        key, value = (None if each is None else json.loads(each) for each in pair)
        event = event_of(key, value)
        if event is not None:
            made.append(Delivered(event, value["source"]["lsn"], value["source"]["txId"]))
    return made


@pytest.fixture
def shop(database: str) -> str:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE orders (id bigint PRIMARY KEY, number bigint)")
        connection.execute("INSERT INTO orders SELECT n, n FROM generate_series(1, 3) n")
    return database


def options(url: str, folder: Path) -> dict[str, str]:
    """The engine's properties: offsets are stored every few rows, so that a kill finds them within a transaction."""
    name = "way_over_" + url.rsplit("/", 1)[1].split("?")[0]
    return debezium.properties(
        url, name="shop", offset_storage="org.apache.kafka.connect.storage.FileOffsetBackingStore",
        offset_storage_file_filename=str(folder / "offsets.dat"), offset_flush_interval_ms="0",
        max_batch_size="64", poll_interval_ms="20", slot_name=name, publication_name=name, slot_drop_on_stop="false",
        table_include_list="public.orders", publication_autocreate_mode="filtered",
    )  # fmt: skip


def tailrace(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tailrace", *arguments], cwd=folder, env={**os.environ, **environ}, capture_output=True,
        text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip


def taken_over(folder: Path, file: str, *options: str) -> None:
    """Import the connector with its position."""
    made = tailrace(folder, "import-debezium", file, *options)
    assert made.returncode == 0, made.stderr
    (folder / "shop.toml").write_text(made.stdout)


def run(folder: Path, settings: Mapping[str, str]) -> None:
    """Run until all that was committed by now is in the sink."""
    password = settings.get("database.password", "")
    ran = tailrace(folder, "run", "shop.toml", "--until-current", SHOP_DATABASE_PASSWORD=password)
    assert ran.returncode == 0, ran.stderr


def written(folder: Path) -> list[Event]:
    """The changes in the file."""
    lines = (json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines())
    events = (event_of(line["key"], line["value"]) for line in lines)
    return [event for event in events if event is not None]


def stored(folder: Path) -> dict[str, Any]:
    """The offset that lies in the engine's file, read by nothing of ours but a search for its JSON; ValueError while it
    is being written: Java writes the end of the map by itself, behind the JSON."""
    content = (folder / "offsets.dat").read_bytes()
    if not content.endswith(_END_OF_MAP):
        raise ValueError("the file has no end")
    begin = content.index(b'{"', content.index(b'["shop"') + 20)
    offset: dict[str, Any] = json.JSONDecoder().raw_decode(content[begin:].decode("latin-1"))[0]
    return offset


def stop_between_two_stores(pid: int, folder: Path) -> None:
    """Freeze the engine while its file is whole (a kill may leave it empty) and names a row within a transaction."""

    def frozen() -> bool:
        os.kill(pid, signal.SIGSTOP)
        # `kill` returns while threads on other cores still run, and one may be about to empty the file: the parent is
        # told of a stop only when the last of them stands.
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        with suppress(ValueError):
            offset = stored(folder)
            if offset["messageType"] == "INSERT" and offset["lsn"] > offset["lsn_commit"]:
                return True
        os.kill(pid, signal.SIGCONT)
        return False

    until(frozen, "for an offset within a transaction")


def behind(records: list[Delivered], offset: Mapping[str, Any]) -> int:
    """How many of the records were delivered for certain: up to the offset's, which counts if it makes one event."""
    at = [index for index, each in enumerate(records) if (each.lsn, each.xid) == (offset["lsn"], offset["txId"])]
    if not at or offset.get("messageType") == "BEGIN":  # it lies where the transaction's first row lies
        return sum(each.lsn < offset["lsn"] for each in records)
    return at[0] + (records[at[0]].event[0] != "d")


def folded(events: Iterable[Event]) -> dict[int, int | None]:
    """The table after these changes: key to number."""
    rows: dict[int, int | None] = {}
    for op, id, number in events:
        if op == "d":
            del rows[id]
        else:
            rows[id] = number
    return rows


def agree(delivered: list[Event], committed: list[Event], *, what: str) -> None:
    """The same changes in the same order; where they first differ is told, since the lists are long."""
    pairs = enumerate(zip_longest(delivered, committed))
    at = next((index for index, (ours, theirs) in pairs if ours != theirs), None)
    around = slice(max(0, (at or 0) - 2), (at or 0) + 4)
    assert at is None, (
        f"{what}: change {at} of {len(delivered)} delivered, {len(committed)} committed:"
        f" {delivered[around]} and not {committed[around]}"
    )


StartDebezium = Callable[..., AbstractContextManager[debezium.Engine]]


@pytest.mark.parametrize(
    ("end", "position"),
    [("stopped", ("--offsets", "offsets.dat")), ("killed", ("--offsets", "offsets.dat")), ("killed", ("--from-slot",))],
    ids=["stopped", "killed", "killed-without-offsets"],
)
def test_i6_nothing_is_lost_on_the_way_over(
    shop: str, tmp_path: Path, start_debezium: StartDebezium, end: str, position: tuple[str, ...]
) -> None:
    settings = options(shop, tmp_path)
    (tmp_path / "engine.properties").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    with writing(shop) as writer:
        with start_debezium(settings) as engine:
            records = engine.until(lambda record: b'"snapshot":"last"' in (record.value or b""), timeout_s=TIMEOUT_S)
            records += engine.take(5 * ROWS, timeout_s=TIMEOUT_S)
            if end == "killed":
                stop_between_two_stores(engine.pid, tmp_path)
                engine.kill()
            else:
                engine.close()
            records += engine.rest(timeout_s=TIMEOUT_S)
        taken_over(tmp_path, "engine.properties", "--sink", "file:out.jsonl", *position)
        since = len(writer.committed)
        until(lambda: len(writer.committed) > since + 2 * ROWS)
        run(tmp_path, settings)  # while the writer goes on
    run(tmp_path, settings)
    ours = written(tmp_path)
    all_theirs = delivered((record.key, record.value) for record in records)
    snapshot = [each.event for each in all_theirs if each.event[0] == "r"]
    theirs = [each for each in all_theirs if each.event[0] != "r"]
    begin = writer.committed.index(theirs[0].event)
    initial: list[Event] = [("c", number, number) for number in (1, 2, 3)]
    assert folded(snapshot) == folded([*initial, *writer.committed[:begin]])
    stream = writer.committed[begin:]
    agree([each.event for each in theirs], stream[: len(theirs)], what="Debezium")
    certain = behind(theirs, stored(tmp_path)) if "--offsets" in position else stream.index(ours[0])
    agree(ours, stream[certain:], what=f"Tailrace, behind {certain} of {len(theirs)}")
    repeated = len(theirs) - certain
    assert repeated <= (1 if end == "stopped" else 2 * ROWS), f"{repeated} changes came again"


class Topic:
    """A topic of one partition, read to whatever end it has."""

    def __init__(self, broker: servers_kafka.Broker, name: str) -> None:
        settings = {"bootstrap.servers": broker.address, "group.id": name, "enable.auto.commit": False}
        self._consumer = Consumer({**settings, "auto.offset.reset": "earliest", "enable.partition.eof": True})
        self._partition = TopicPartition(name, 0, 0)
        self._consumer.assign([self._partition])
        self.changes: list[Delivered] = []
        self._end = 0
        """Where the log ended when everything in front had been read."""

    def take(self) -> int:
        """Read what is there; how many changes there are so far behind the snapshot."""
        for message in self._consumer.consume(1000, 0.2):
            if message.error() is not None and message.error().code() == KafkaError._PARTITION_EOF:
                self._end = message.offset()
                continue
            assert message.error() is None, message.error()
            self.changes += delivered([(message.key(), message.value())])
        return sum(change.event[0] != "r" for change in self.changes)

    def at_end(self) -> bool:
        """Whether nothing is left to read."""
        self.take()
        return bool(self._end == self._consumer.get_watermark_offsets(self._partition, timeout=TIMEOUT_S)[1])

    def close(self) -> None:
        self._consumer.close()


def test_i6_a_connector_of_kafka_connect_is_taken_over_in_the_middle_of_its_topic(
    kafka: servers_kafka.Broker, connect: servers_connect.Worker, shop: str, topic: str, tmp_path: Path
) -> None:
    kafka.create_topic(f"{topic}.public.orders")
    settings = servers_connect.debezium(shop, topic, table_include_list="public.orders")
    (tmp_path / "worker.properties").write_text(
        f"bootstrap.servers={kafka.address}\nkey.converter=JsonConverter\nvalue.converter=JsonConverter\n"
        "key.converter.schemas.enable=false\nvalue.converter.schemas.enable=false\n"
    )
    with closing(Topic(kafka, f"{topic}.public.orders")) as orders:
        with writing(shop) as writer:
            connect.create(topic, settings)
            until(lambda: orders.take() > 5 * ROWS, timeout_s=TIMEOUT_S)
            connect.stop(topic)
            until(lambda: connect.stopped(topic), "for the connector to stop")
            (tmp_path / "shop.json").write_text(connect.connector(topic))
            (tmp_path / "offsets.json").write_text(connect.offsets(topic))
            connect.remove(topic)
            until(orders.at_end, "for the end of what Debezium sent", timeout_s=TIMEOUT_S)
            theirs = orders.take()
            names = ("--name", "shop", "--worker", "worker.properties")
            taken_over(tmp_path, "shop.json", "--offsets", "offsets.json", *names)
            since = len(writer.committed)
            until(lambda: len(writer.committed) > since + 2 * ROWS)
            run(tmp_path, settings)  # while the writer goes on
        run(tmp_path, settings)
        until(orders.at_end, "for the end of the topic", timeout_s=TIMEOUT_S)
    stream = [change for change in orders.changes if change.event[0] != "r"]
    (stored_offset,) = json.loads((tmp_path / "offsets.json").read_text())["offsets"]
    certain = behind(stream[:theirs], stored_offset["offset"])
    begin = writer.committed.index(stream[0].event)
    events = [change.event for change in stream]
    agree(events[:theirs], writer.committed[begin : begin + theirs], what="Debezium")
    agree(events[theirs:], writer.committed[begin + certain :], what=f"Tailrace, behind {certain} of {theirs}")
