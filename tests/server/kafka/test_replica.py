"""PostgreSQL → Kafka → a replica in PostgreSQL and one in DuckDB: equal rows, with the position in the replica."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from servers import postgres, registry
from servers.kafka import Broker
from tailrace import Pipeline
from tailrace.contract import Sink
from tailrace.format import Format
from tailrace.sink import DuckDB, Postgres
from tailrace.sink import Kafka as KafkaSink
from tailrace.source import Kafka
from tailrace.source import Postgres as PostgresSource

LONG = "x" * 20_000
"""Stored out of line, so that an update of another column does not send it."""
ROUNDS = (
    [
        "CREATE TABLE orders (id int PRIMARY KEY, amount numeric(9,2), at timestamptz, tags text[], body jsonb,"
        " raw bytea, token uuid, day date, note text)",
        f"""INSERT INTO orders SELECT i, i + 0.25, '2026-01-02 03:04:05.678912+00', ARRAY['a', NULL], '{{"a": [1]}}',
            '\\x00ff', '6f1c1f0e-0000-4000-8000-000000000001', '1999-12-31', repeat('{LONG}', 1)
            FROM generate_series(1, 40) AS i""",
    ],
    [
        "UPDATE orders SET amount = -amount WHERE id % 3 = 0",
        "UPDATE orders SET tags = NULL, body = NULL, at = NULL WHERE id % 5 = 0",
        "DELETE FROM orders WHERE id % 7 = 0",
    ],
    [
        "UPDATE orders SET id = id + 1000 WHERE id % 4 = 0",
        "INSERT INTO orders (id) VALUES (7), (14)",
        "DELETE FROM orders WHERE id = 7",
        "UPDATE orders SET note = 'short' WHERE id = 1",
    ],
)
COLUMNS = "id, amount, \"at\" AT TIME ZONE 'UTC', tags, body::text, raw, token, day, note"
"""As either kind of server is asked for them."""


def form(request: pytest.FixtureRequest, topic: str) -> Format:
    if request.param == "json":
        return Format(topic_prefix=topic, schemas_enable=True)
    url = request.getfixturevalue("registry").url
    return Format(topic_prefix=topic, key_converter="avro", value_converter="avro", schema_registry_url=url)


@pytest.fixture(params=["json", "avro"])
def parts(request: pytest.FixtureRequest, kafka: Broker, topic: str) -> tuple[KafkaSink, Callable[[str], Kafka]]:
    """The sink that fills the topics, and the source that reads them as a group."""
    sink = KafkaSink(f"kafka://{kafka.address}", format=form(request, topic), create_topics=True, partitions=3)
    server: registry.Server | None = request.getfixturevalue("registry") if request.param == "avro" else None
    query = "" if server is None else f"&schema_registry_url={server.url}"

    def source(group: str) -> Kafka:
        return Kafka(f"kafka://{kafka.address}/{topic}.public.orders?group={topic}.{group}{query}")

    return sink, source


def test_rows_are_equal_after_every_round_and_nothing_comes_twice(
    parts: tuple[KafkaSink, Callable[[str], Kafka]],
    postgres18: postgres.Server,
    database: str,
    tmp_path: Path,
) -> None:
    filling, source = parts
    target = postgres18.create_database(database.rsplit("/", 1)[1] + "_copy")
    file = tmp_path / "copy.duckdb"

    def run(name: str, sink: Sink) -> int:
        made = Pipeline(source(name), sink, name=name, state_dir=tmp_path)
        made.run(until_current=True, retry=False)
        return made.status().changes

    with psycopg.connect(database, autocommit=True) as connection:
        for statements in ROUNDS:
            for statement in statements:
                connection.execute(statement.encode())
            fill = Pipeline(PostgresSource(database, tables=["public.*"]), filling, name="fill", state_dir=tmp_path)
            fill.run(until_current=True)
            run("relational", Postgres(target))
            run("columnar", DuckDB(file))
            wanted = rows(connection)
            with psycopg.connect(target) as copy:
                assert rows(copy) == wanted
            assert columnar(file) == wanted
    for name in ("relational", "columnar"):
        source(name).drop(name)  # the group knows nothing any more: where to go on stands with the rows
    assert (run("relational", Postgres(target)), run("columnar", DuckDB(file))) == (0, 0)


def rows(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return connection.execute(f"SELECT {COLUMNS} FROM orders ORDER BY id".encode()).fetchall()


def columnar(file: Path) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(file), read_only=True) as connection:
        return connection.execute(f"SELECT {COLUMNS} FROM public.orders ORDER BY id").fetchall()
