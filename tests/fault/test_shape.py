"""Transactions, tables and rows of a shape that breaks what assumes the usual one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from servers.postgres import Server
from tests.fault.conftest import MakePipe
from tests.fault.row import fault, goes_on
from tests.waiting import until

Execute = Callable[..., list[tuple[Any, ...]]]
Start = Callable[..., Server]
MIB = 1 << 20
HOSTILE = (
    'double " quote', "single ' quote", "back ` tick", "a.dotted.name", "Upper Case", "ünï©ödé 表 🦀", "%s {0} $1 \\",
    "select", "; DROP TABLE canary; --", "tab\tand\nnewline", "x" * 63, "é" * 31,
)  # fmt: skip


@pytest.mark.parametrize(("version", "kind"), [(18, "file"), (14, "file"), (18, "postgres"), (14, "postgres")])
@fault(
    "`logical_decoding_work_mem` of 64 kB",
    "source: interleaved large transactions, subtransactions that abort, one that rolls back",
    goes_on(),
)
def test_i7_interleaved_large_transactions(
    make_pipe: MakePipe, start_postgres: Start, execute: Execute, version: int, kind: str
) -> None:
    server = start_postgres(version, settings={"logical_decoding_work_mem": "64kB"})
    execute(server.url, "CREATE TABLE big (id int PRIMARY KEY, who int, note text)")
    pipe = make_pipe(server.url, kind, limits={"transaction_bytes_max": 256 << 10})
    pipe.start()
    pipe.catch_up()
    writers = [psycopg.connect(server.url) for _ in range(4)]
    for step in range(6):
        for who, writer in enumerate(writers):
            first = 1_000_000 * who + 10_000 * step
            _insert(writer, first, who)
            writer.execute("SAVEPOINT s")
            _insert(writer, first + 5_000, who)
            writer.execute("UPDATE big SET note = 'again' WHERE who = %s AND id %% 7 = 0", [who])
            writer.execute("ROLLBACK TO s" if step % 2 else "RELEASE s")
    for who, writer in enumerate(writers):
        writer.rollback() if who == 2 else writer.commit()
        writer.close()
    pipe.goes_on()
    streamed = f"SELECT stream_txns > 0 FROM pg_stat_replication_slots WHERE slot_name = '{pipe.slot}'"
    until(lambda: execute(server.url, streamed) == [(True,)], "for the server to say that it streamed")


@pytest.mark.parametrize("kind", ["file", "postgres"])
@fault("1,000 tables", "source: a row in each, then a change in each, within one transaction", goes_on())
def test_a_thousand_tables(make_pipe: MakePipe, database: str, execute: Execute, kind: str) -> None:
    tables = [f"t{n:04}" for n in range(1_000)]
    for some in (tables[n : n + 100] for n in range(0, 1_000, 100)):  # within max_locks_per_transaction
        execute(database, *(f"CREATE TABLE {t} (id int PRIMARY KEY, a int)" for t in some))
    execute(database, ";".join(f"INSERT INTO {table} VALUES (1, 1)" for table in tables))
    pipe = make_pipe(database, kind)
    pipe.start()
    pipe.catch_up()
    execute(database, ";".join(f"UPDATE {table} SET a = 2; INSERT INTO {table} VALUES (2, 2)" for table in tables))
    pipe.goes_on()


@pytest.mark.parametrize("kind", ["file", "duckdb", "postgres"])
@fault("1,600 columns", "source: a table as wide as PostgreSQL allows", goes_on())
def test_a_table_of_1600_columns(make_pipe: MakePipe, database: str, execute: Execute, kind: str) -> None:
    columns = [f"c{n}" for n in range(1_599)]
    execute(
        database,
        f"CREATE TABLE wide (id int PRIMARY KEY, {', '.join(f'{c} smallint' for c in columns)})",
        "INSERT INTO wide (id, c0, c1598) SELECT n, n, -n FROM generate_series(1, 200) n",
    )
    pipe = make_pipe(database, kind)
    pipe.start()
    pipe.catch_up()
    execute(
        database,
        # More changes than go as statements.
        f"UPDATE wide SET {', '.join(f'{c} = {n}' for n, c in enumerate(columns))} WHERE id < 150",
        "DELETE FROM wide WHERE id = 175",
        "INSERT INTO wide (id) VALUES (999)",
    )
    pipe.goes_on()


@pytest.mark.parametrize("kind", ["file", "duckdb", "postgres"])
@fault("names with quotes, dots, newlines, unicode, upper case, SQL, 63 bytes", "source: tables, columns", goes_on())
def test_hostile_names(make_pipe: MakePipe, database: str, execute: Execute, kind: str) -> None:
    quoted = ['"' + name.replace('"', '""') + '"' for name in HOSTILE]
    columns = ", ".join(f"{name} int" for name in quoted)
    execute(database, "CREATE TABLE canary (id int PRIMARY KEY)", "INSERT INTO canary VALUES (1)")
    for name in quoted:
        execute(database, f"CREATE TABLE {name} (id int PRIMARY KEY, {columns})", f"INSERT INTO {name} VALUES (1, 7)")
    pipe = make_pipe(database, kind)
    pipe.start()
    pipe.catch_up()
    for name in quoted:
        execute(
            database,
            f"INSERT INTO {name} VALUES (2, 1), (3, 2)",
            f"UPDATE {name} SET {', '.join(f'{column} = id' for column in quoted)} WHERE id < 3",
            f"DELETE FROM {name} WHERE id = 3",
        )
    pipe.goes_on()


@pytest.mark.parametrize(("kind", "sink"), [("duckdb", {"memory_limit": "4GB"}), ("file", {}), ("postgres", {})])
@fault(
    "a row of 500 MB",
    'source: in the snapshot, and inserted, left alone by an update, deleted; DuckDB with `memory_limit = "4GB"`',
    goes_on(),
)
def test_a_row_of_500_mb(make_pipe: MakePipe, database: str, execute: Execute, kind: str, sink: dict[str, str]) -> None:
    execute(
        database,
        "CREATE TABLE huge (id int PRIMARY KEY, a int, body text)",
        f"INSERT INTO huge VALUES (1, 0, repeat('0123456789abcdef', {500 * MIB // 16}))",
    )
    pipe = make_pipe(database, kind, sink=sink)
    pipe.start()
    pipe.catch_up()
    execute(
        database,
        f"INSERT INTO huge VALUES (2, 0, repeat('fedcba9876543210', {500 * MIB // 16}))",
        "UPDATE huge SET a = 1",
        "DELETE FROM huge WHERE id = 1",
    )
    pipe.goes_on()
    if isinstance(pipe.at, Path):
        pipe.at.unlink()  # a gigabyte and more, and pytest keeps the folder


def _insert(writer: psycopg.Connection[Any], first: int, who: int) -> None:
    writer.execute(
        "INSERT INTO big SELECT n, %s, repeat('x', 200) FROM generate_series(%s::int, %s) n", [who, first, first + 499]
    )
