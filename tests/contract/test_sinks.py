"""Every sink keeps the sink's contract."""

from __future__ import annotations

import json
import os
import random
import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NoReturn

import duckdb
import psycopg
import pytest

from servers import kafka as server
from tailrace import testing
from tailrace.app import App
from tailrace.error import Fenced, Reject
from tailrace.format import Format
from tailrace.model import Batch, Change, Finding, Limits, Position
from tailrace.sink.duckdb import DuckDB
from tailrace.sink.file import File
from tailrace.sink.kafka import Kafka
from tailrace.sink.postgres import Postgres
from tailrace.sink.stdout import Stdout
from tailrace.testing.fake import AtomicSink, ListSink, Target
from tests.server.sink.kafka import topics

Rows = list[dict[str, str | None]]
REFUSED = {"id": "13", "note": "never to be taken"}
NO_INT8 = {"id": "9" * 20, "note": "beyond the type of its column"}


def _records(target: Target) -> Rows:
    return [dict(record.cells or {}) for record in target.records]


def _is_refused(change: Change) -> bool:
    return change.after is not None and change.after.texts() == REFUSED


def _refusing() -> Target:
    target = Target()
    target.refuse = lambda change: "nobody wants it" if _is_refused(change) else None
    return target


def test_the_fake_sink_of_a_list_keeps_the_contract() -> None:
    target = _refusing()
    assert testing.check_sink(lambda: ListSink(target), lambda: _records(target), in_memory=True, refused=REFUSED)


def test_the_fake_sink_with_positions_keeps_the_contract() -> None:
    target = _refusing()
    shown = testing.check_sink(lambda: AtomicSink(target), lambda: _records(target), in_memory=True, refused=REFUSED)
    assert any(line.startswith("I16") for line in shown)


def test_an_app_keeps_the_contract() -> None:
    app, seen = App("postgresql://localhost/shop", name="contract"), []

    @app.on("*.*", op="crudt")
    def note(change: Change) -> None:
        if _is_refused(change):
            raise Reject("nobody wants it")
        row = change.before if change.op == "d" else change.after
        seen.append(row.texts() if row is not None else {})

    assert testing.check_sink(lambda: app, lambda: seen, in_memory=True, refused=REFUSED)


def test_duckdb_keeps_the_contract(tmp_path: Path) -> None:
    path = tmp_path / "shop.duckdb"

    def read() -> Rows:
        with duckdb.connect(str(path)) as connection:
            rows = connection.execute("SELECT id::text, note FROM public.orders").fetchall()
        return [{"id": key, "note": note} for key, note in rows]

    shown = testing.check_sink(lambda: DuckDB(path), read, refused=NO_INT8)
    assert any(line.startswith("I15") for line in shown)


def test_postgres_keeps_the_contract(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:

        def read() -> Rows:
            return [{"id": key, "note": note} for key, note in connection.execute("SELECT id::text, note FROM orders")]

        shown = testing.check_sink(lambda: Postgres(database), read)
    assert any(line.startswith("I15") for line in shown)


def _lines(path: Path) -> Rows:
    rows: Rows = []
    for line in path.read_text().splitlines():
        value = json.loads(line)["value"]
        if value is not None:
            value = value.get("payload", value)
            row = value["after"] or {"id": value["before"]["id"]}
            rows.append({name: None if cell is None else str(cell) for name, cell in row.items()})
    return rows


def test_a_file_keeps_the_contract(tmp_path: Path) -> None:
    path = tmp_path / "shop.jsonl"
    assert testing.check_sink(lambda: File(path), lambda: _lines(path), refused={"id": "x", "note": None})


def test_standard_output_keeps_the_contract(tmp_path: Path) -> None:
    path, kept = tmp_path / "out", os.dup(1)
    with path.open("wb") as out:
        os.dup2(out.fileno(), 1)
    try:
        shown = testing.check_sink(Stdout, lambda: _lines(path), in_memory=True)
    finally:
        os.dup2(kept, 1)
        os.close(kept)
    assert shown


@pytest.mark.parametrize("transactions", [False, True])
def test_kafka_keeps_the_contract(kafka: server.Broker, topic: str, transactions: bool) -> None:
    sink = Kafka(
        f"kafka://{kafka.address}",
        format=Format(topic_prefix=topic, tombstones_on_delete=False),
        create_topics=True,
        transactions=transactions,
        positions_topic=f"{topic}.positions",
        transactional_id=topic,
    )

    def read() -> Rows:
        rows = (record.row for record in topics.read(kafka, f"{topic}.public.orders", settled=True))
        return [{name: None if cell is None else str(cell) for name, cell in row.items()} for row in rows]

    shown = testing.check_sink(lambda: sink, read, refused={"id": "13", "note": random.randbytes(1 << 20).hex()})
    assert any(line.startswith("I16") for line in shown) == transactions


def test_a_sink_that_loses_a_row_is_found_out() -> None:
    target = Target()

    def read() -> Rows:
        return _records(target)[1:]

    with pytest.raises(AssertionError, match="what write returned from is there"):
        testing.check_sink(lambda: ListSink(target), read, in_memory=True)


@dataclass(frozen=True)
class Careless:
    """Rows in SQLite, with their position: at close, or each in a transaction of its own, or both in one. Refuses one
    row, and does more or less with the rest."""

    path: Path
    writes: str = "both at once"
    refusing: str = "nothing is kept"
    kind: ClassVar[str] = "careless"
    transactional: ClassVar[bool] = True
    table_like: ClassVar[bool] = False
    truncate: ClassVar[bool] = False

    def check(self) -> list[Finding]:
        return []

    def open(self, name: str, limits: Limits) -> CarelessWriter:
        return CarelessWriter(self)


class CarelessWriter:
    def __init__(self, sink: Careless) -> None:
        self._writes, self._refusing = sink.writes, sink.refusing
        self._settled: list[Position] = []
        self._database = sqlite3.connect(sink.path)
        self._database.executescript(
            "CREATE TABLE IF NOT EXISTS held (id, note);"
            "CREATE TABLE IF NOT EXISTS place (lineage PRIMARY KEY, text, epoch DEFAULT 1)"
        )
        self._epoch = 0

    def known(self) -> Mapping[str, Position | None]:
        rows = self._database.execute("SELECT lineage, text FROM place")
        return {lineage: text and Position(lineage, text) for lineage, text in rows}

    def claim(self, lineage: str) -> Position | None:
        claim = "INSERT INTO place (lineage) VALUES (?) ON CONFLICT DO UPDATE SET epoch = epoch + 1"
        with self._database:
            self._database.execute(claim, [lineage])
        found = self._database.execute("SELECT text, epoch FROM place WHERE lineage = ?", [lineage]).fetchone()
        text, self._epoch = found
        return text and Position(lineage, text)

    def write(self, batch: Batch) -> None:
        refused = [index for index, change in enumerate(batch) if _is_refused(change)]
        if refused and self._refusing != "it is taken":
            self._refuse(batch, refused[0])
        if batch.positions == self._settled:
            return
        match self._writes:
            case "rows, then the position":
                steps = [self._add, self._save]
            case "the position, then rows":
                steps = [self._save, self._add]
            case _:
                steps = [self._both]
        for step in steps:
            step(batch)
            if self._writes != "at close":
                self._database.commit()

    def _refuse(self, batch: Batch, index: int) -> NoReturn:
        match self._refusing:
            case "the rest is kept":
                self._add(batch.without([index]))
            case "the position is kept":
                self._save(batch)
            case "the rest is taken for done":
                self._settled = batch.positions
            case "another one is named":
                index = 0
        self._database.commit()
        raise Reject({index: f"{REFUSED['note']}, it says" if self._refusing == "it is told" else "nobody wants it"})

    def _both(self, batch: Batch) -> None:
        self._save(batch)
        self._add(batch)

    def _add(self, batch: Batch) -> None:
        rows = [row.texts() for change in batch if (row := change.after)]
        self._database.executemany("INSERT INTO held VALUES (?, ?)", [(row["id"], row["note"]) for row in rows])

    def _save(self, batch: Batch) -> None:
        for position in batch.positions:
            save = "UPDATE place SET text = ? WHERE lineage = ? AND epoch = ?"
            if self._database.execute(save, [position.text, position.lineage, self._epoch]).rowcount == 0:
                raise Fenced(f"{position.lineage} was claimed again since")

    def save(self, positions: list[Position]) -> None:
        pass

    def forget(self) -> None:
        with self._database:
            self._database.execute("DELETE FROM place")

    def close(self) -> None:
        with suppress(sqlite3.ProgrammingError):  # closed before
            self._database.commit()
        self._database.close()


def _check_careless(path: Path, *, in_memory: bool = False, **careless: str) -> list[str]:
    def read() -> Rows:
        with closing(sqlite3.connect(path)) as database:
            return [{"id": key, "note": note} for key, note in database.execute("SELECT id, note FROM held")]

    return testing.check_sink(lambda: Careless(path, **careless), read, in_memory=in_memory, refused=REFUSED)


def test_a_sink_of_a_stranger_keeps_the_contract(tmp_path: Path) -> None:
    shown = "\n".join(_check_careless(tmp_path / "held"))
    assert "wherever a write is killed" in shown and "of which a change is refused" in shown


@pytest.mark.parametrize(
    ("writes", "promise"),
    [
        ("at close", "outlives a process that is killed"),
        ("rows, then the position", "rows are stored with their position; killed at call"),
        ("the position, then rows", "a position is stored with its rows; killed at call"),
    ],
)
def test_a_sink_that_does_not_hold_when_it_is_killed_is_found_out(tmp_path: Path, writes: str, promise: str) -> None:
    with pytest.raises(AssertionError, match=promise):
        _check_careless(tmp_path / "held", writes=writes)


@pytest.mark.parametrize(
    ("refusing", "promise"),
    [
        ("it is taken", "a row that the sink can never take is refused"),
        ("another one is named", "Reject names the change that cannot be taken, 1, not"),
        ("it is told", "I9 a reason says what is wrong"),
        ("the position is kept", "the position of a batch that is refused is not stored"),
        ("the rest is kept", "neither lost nor doubled"),
        ("the rest is taken for done", "neither lost nor doubled"),
    ],
)
def test_a_sink_that_does_something_else_with_what_it_refuses_is_found_out(
    tmp_path: Path, refusing: str, promise: str
) -> None:
    with pytest.raises(AssertionError, match=promise):
        _check_careless(tmp_path / "held", in_memory=True, refusing=refusing)  # no process need be killed for it


def test_a_sink_that_takes_the_rest_of_a_batch_for_done_is_found_out_by_a_kill(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="the position of the rest is stored with it"):
        _check_careless(tmp_path / "held", refusing="the rest is taken for done")


def test_a_sink_in_memory_that_writes_at_close_is_found_out() -> None:
    target = Target()

    class Late(type(ListSink(target).open("", Limits()))):  # type: ignore[misc] # its writer, late
        def __init__(self) -> None:
            super().__init__(target)
            self.held: list[Batch] = []

        def write(self, batch: Batch) -> None:
            self.held.append(batch)

        def close(self) -> None:
            while self.held:
                super().write(self.held.pop(0))

    @dataclass(frozen=True)
    class LateSink(ListSink):
        def open(self, name: str, limits: Limits) -> Late:  # type: ignore[override]
            return Late()

    with pytest.raises(AssertionError, match="before the writer is closed"):
        testing.check_sink(lambda: LateSink(target), lambda: _records(target), in_memory=True)
