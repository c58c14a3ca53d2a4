"""TRUNCATE on its way through Kafka: into replicas where it is in order, and refused where it is in none."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from confluent_kafka.admin import NewPartitions

from servers import postgres
from servers.kafka import Broker
from tailrace import Batch, Column, Limits, Pipeline, Table
from tailrace._native import BatchBuilder
from tailrace.contract import Sink
from tailrace.dead_letters import File
from tailrace.dead_letters.request import Action, submit
from tailrace.error import Fatal
from tailrace.format import Format
from tailrace.pipeline import replay_alone
from tailrace.sink import DuckDB, Postgres
from tailrace.sink import Kafka as KafkaSink
from tailrace.source import Kafka
from tailrace.source import Postgres as PostgresSource
from tests.server.kafka.filling import Member, event, produce, running
from tests.waiting import until

Fill = Callable[..., None]


@pytest.fixture
def fill(kafka: Broker, topic: str, database: str, tmp_path: Path) -> Fill:
    """Runs statements, and brings what they did into a topic of so many partitions."""

    def run(*statements: str, partitions: int, schemas: bool = True) -> None:
        with psycopg.connect(database, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())
        form = Format(topic_prefix=topic, schemas_enable=schemas, skipped_operations="none")
        sink = KafkaSink(f"kafka://{kafka.address}", format=form, create_topics=True, partitions=partitions)
        source = PostgresSource(database, tables=["public.*"])
        Pipeline(source, sink, name="fill", state_dir=tmp_path).run(until_current=True)

    return run


@pytest.fixture
def target(postgres18: postgres.Server, database: str) -> str:
    return postgres18.create_database(database.rsplit("/", 1)[1] + "_copy")


def source(kafka: Broker, topic: str, group: str, **options: Any) -> Kafka:
    return Kafka(f"kafka://{kafka.address}/{topic}.public.orders?group={topic}.{group}", **options)


def columnar(file: Path) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(file), read_only=True) as connection:
        return connection.execute("SELECT id, note FROM public.orders ORDER BY id").fetchall()


def relational(target: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(target) as connection:
        return connection.execute("SELECT id, note FROM orders ORDER BY id").fetchall()


@pytest.mark.parametrize("schemas", [True, False])
def test_replicas_are_emptied_also_by_one_that_comes_first_after_a_restart(
    kafka: Broker, topic: str, fill: Fill, target: str, tmp_path: Path, schemas: bool
) -> None:
    file = tmp_path / "copy.duckdb"

    def same(*rows: tuple[int, str]) -> None:
        for name, sink in (("relational", Postgres(target)), ("columnar", DuckDB(file))):
            Pipeline(source(kafka, topic, name), sink, name=name, state_dir=tmp_path).run(until_current=True)
        assert relational(target) == columnar(file) == list(rows)

    fill(
        "CREATE TABLE orders (id int PRIMARY KEY, note text)",
        "INSERT INTO orders VALUES (1, 'a'), (2, 'b')",
        partitions=1,
        schemas=schemas,
    )
    same((1, "a"), (2, "b"))
    fill("TRUNCATE orders", partitions=1, schemas=schemas)
    same()
    fill("INSERT INTO orders VALUES (2, 'c')", partitions=1, schemas=schemas)
    same((2, "c"))
    fill("TRUNCATE orders", "INSERT INTO orders VALUES (3, 'd')", partitions=1, schemas=schemas)
    same((3, "d"))
    fill("UPDATE orders SET note = 'e'", "TRUNCATE orders", partitions=1, schemas=schemas)
    same()


def untold(*changes: tuple[str, Table, dict[str, str] | None]) -> Batch:
    """One batch, each change a transaction of its own."""
    builder = BatchBuilder("kafka/c/t/0")
    for number, (op, table, row) in enumerate(changes, 1):
        builder.begin(xid=number, lsn=number, committed_at_us=0)
        builder.add(op, table, after=row)
        builder.commit()
    batch = builder.take()
    assert batch is not None
    return batch


@pytest.mark.parametrize("kind", ["relational", "columnar"])
def test_one_that_tells_no_column_keeps_its_place_in_a_batch_and_empties_no_other_tables_target(
    target: str, tmp_path: Path, kind: str
) -> None:
    """As when one that was parked is replayed; and two schemas of the source go into one."""
    file, schemas = tmp_path / "copy.duckdb", {"a": "public", "b": "public"}
    sink: Sink = Postgres(target, schema=schemas) if kind == "relational" else DuckDB(file, schema=schemas)
    orders = Table("a", "orders", [Column("id", "int4", nullable=False), Column("note", "text")], key=["id"])
    emptied = Table("a", "orders", [])

    def write(*changes: tuple[str, Table, dict[str, str] | None]) -> None:
        writer = sink.open("p", Limits())
        try:
            writer.claim("kafka/c/t/0")  # type: ignore[attr-defined]
            writer.write(untold(*changes))
        finally:
            writer.close()

    rows = partial(relational, target) if kind == "relational" else partial(columnar, file)
    write(("c", orders, {"id": "1", "note": "a"}))
    write(
        ("c", orders, {"id": "2", "note": "b"}), ("t", emptied, None), ("c", orders, {"id": "3", "note": "c"}),
        ("c", orders, {"id": "4", "note": "d"}),
    )  # fmt: skip
    assert rows() == [(3, "c"), (4, "d")]
    with pytest.raises(Fatal, match=r"b\.orders would be .*which holds a\.orders"):
        write(*[("t", Table("b", "orders", []), None)] * 5)
    assert rows() == [(3, "c"), (4, "d")]


@pytest.mark.parametrize("kind", ["relational", "columnar"])
def test_a_replica_that_has_no_such_table_yet_has_nothing_to_empty(
    kafka: Broker, topic: str, fill: Fill, target: str, tmp_path: Path, kind: str
) -> None:
    fill("CREATE TABLE orders (id int PRIMARY KEY, note text)", partitions=1)
    fill("TRUNCATE orders", "INSERT INTO orders VALUES (1, 'a')", partitions=1)
    file = tmp_path / "copy.duckdb"
    sink: Sink = Postgres(target) if kind == "relational" else DuckDB(file)
    Pipeline(source(kafka, topic, kind), sink, name=kind, state_dir=tmp_path).run(until_current=True)
    assert (relational(target) if kind == "relational" else columnar(file)) == [(1, "a")]


def test_of_a_topic_with_several_partitions_it_stops_or_is_parked_unless_told_to_be_applied(
    kafka: Broker, topic: str, fill: Fill, target: str, tmp_path: Path
) -> None:
    fill(
        "CREATE TABLE orders (id int PRIMARY KEY, note text)",
        "INSERT INTO orders VALUES (1, 'a'), (2, 'b'), (3, 'c')",
        partitions=3,
    )

    def run(file: Path | None = None, **options: Any) -> Pipeline:
        letters = None if file is None else File(file)
        made = Pipeline(
            source(kafka, topic, "g", **options), Postgres(target), name="p", dead_letters=letters, state_dir=tmp_path
        )
        made.run(until_current=True, retry=False)
        return made

    run()
    fill("TRUNCATE orders", partitions=3)
    with pytest.raises(Fatal, match=r'a TRUNCATE.*other partitions.*truncate = "apply"'):
        run()
    assert relational(target) == [(1, "a"), (2, "b"), (3, "c")]
    run(truncate="apply")
    assert relational(target) == []
    fill("INSERT INTO orders VALUES (4, 'd')", "TRUNCATE orders", partitions=3)
    parked = run(tmp_path / "letters")
    assert (relational(target), parked.status().dead_letters) == ([(4, "d")], 1)
    submit(tmp_path / "letters", Action.REPLAY, None)
    replay_alone(parked)
    assert relational(target) == []


def test_partitions_that_came_while_a_topic_was_read_count_when_it_is_read(
    kafka: Broker, topic: str, fill: Fill, target: str, tmp_path: Path
) -> None:
    fill("CREATE TABLE orders (id int PRIMARY KEY, note text)", "INSERT INTO orders VALUES (1, 'a')", partitions=1)
    member = Member(source(kafka, topic, "g"), Postgres(target), "p", tmp_path / "member")
    with running(member):
        fill("TRUNCATE orders", "INSERT INTO orders VALUES (2, 'b')", partitions=1)
        until(lambda: member.pipeline.status().changes == 3, "for one that is in order")
        assert relational(target) == [(2, "b")]
        more = NewPartitions(f"{topic}.public.orders", 3)
        admin = kafka.admin()
        admin.create_partitions([more])[more.topic].result(60)
        until(lambda: len(admin.list_topics(more.topic).topics[more.topic].partitions) == 3, "for the partitions")
        produce(kafka, more.topic, [(None, event("t"))], partition=0)
        until(lambda: not member.alive or member.pipeline.status().changes > 3, "for the one that is not")
    assert isinstance(member.error, Fatal) and "a TRUNCATE" in str(member.error)
    assert relational(target) == [(2, "b")]
