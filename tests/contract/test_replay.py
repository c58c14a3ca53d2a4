"""Dead letters replayed into every sink that keeps its position: the position stays where it was, the rows arrive;
wherever the letters lie."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tailrace.contract import Sink, Writer
from tailrace.error import Reject
from tailrace.format import Format
from tailrace.model import Batch, Limits
from tailrace.pipeline import Pipeline, replay_alone
from tailrace.sink import DuckDB, File
from tailrace.sink.kafka import Kafka
from tailrace.sink.postgres import Postgres
from tailrace.testing.fake import Log, LogSource
from tests.contract.parking import Dead, ask_for_all, left
from tests.server.sink.kafka import topics

Row = tuple[int, str]
Target = tuple[Sink, Callable[[], list[Row]]]
"""A sink, and what its target holds: rows by id, the last image of each."""


class Picky:
    """The sink, but for one note."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.kind, self.transactional = sink.kind, sink.transactional
        self.table_like, self.truncate = sink.table_like, sink.truncate
        self.word: str | None = "bad"

    def check(self) -> list[object]:
        return []

    def open(self, name: str, limits: Limits) -> Writer:
        writer = self._sink.open(name, limits)
        write = writer.write

        def picky(batch: Batch) -> None:
            notes = [change.after["note"] if change.after is not None else None for change in batch]
            if reasons := {at: "bad" for at, note in enumerate(notes) if note == self.word}:
                raise Reject(reasons)
            write(batch)

        writer.write = picky  # type: ignore[method-assign]
        return writer


def _file(request: pytest.FixtureRequest, folder: Path) -> Target:
    path = folder / "target"

    def found() -> list[Row]:
        return _last(json.loads(line)["value"]["after"] for line in path.read_text().splitlines())

    return File(path), found


def _duckdb(request: pytest.FixtureRequest, folder: Path) -> Target:
    path = folder / "target"

    def found() -> list[Row]:
        import duckdb

        with duckdb.connect(str(path), read_only=True) as connection:
            return connection.execute("SELECT id, note FROM public.orders ORDER BY id").fetchall()

    return DuckDB(path), found


def _postgres(request: pytest.FixtureRequest, folder: Path) -> Target:
    url: str = request.getfixturevalue("database")

    def found() -> list[Row]:
        with psycopg.connect(url) as connection:
            return connection.execute("SELECT id, note FROM orders ORDER BY id").fetchall()

    return Postgres(url), found


def _kafka(request: pytest.FixtureRequest, folder: Path) -> Target:
    broker, topic = request.getfixturevalue("kafka"), request.getfixturevalue("topic")
    sink = Kafka(
        f"kafka://{broker.address}",
        format=Format(topic_prefix=topic),
        create_topics=True,
        transactions=True,
        positions_topic=f"{topic}.positions",
        transactional_id=topic,
    )
    return sink, lambda: _last(got.row for got in topics.read(broker, f"{topic}.public.orders", settled=True))


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("make", [_file, _duckdb, _postgres, _kafka])
def test_i14_a_replay_arrives_once_and_the_next_run_goes_on_where_it_was(
    dead: Dead,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    make: Callable[[pytest.FixtureRequest, Path], Target],
    alone: bool,
) -> None:
    target, found = make(request, tmp_path)
    sink = Picky(target)
    log = Log("test/log/db/slot")
    log.commit(("r", {"id": "1", "note": "bad"}))
    log.commit(("c", {"id": "2", "note": "fine"}), ("u", {"id": "1", "note": "x"}))
    pipeline = Pipeline(LogSource(log), sink, name="p", state_dir=None, dead_letters=dead)  # type: ignore[arg-type]
    pipeline.run(until_current=True)
    sink.word = None
    assert left(dead) == 2
    ask_for_all(dead)
    if alone:
        assert replay_alone(pipeline) == 2
    log.insert(3, "more")
    pipeline.run(until_current=True)
    if not alone:
        log.insert(4, "after the request was seen")
        pipeline.run(until_current=True)
    assert left(dead) == 0
    assert found()[:3] == [(1, "x"), (2, "fine"), (3, "more")]


def _last(rows: Iterable[Mapping[str, Any]]) -> list[Row]:
    return sorted({row["id"]: (row["id"], row["note"]) for row in rows}.values())
