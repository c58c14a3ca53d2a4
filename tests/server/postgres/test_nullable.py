"""NOT NULL that goes away under an open stream, of which the log tells nothing: schemas are true for every record."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterator
from typing import Any

import fastavro
import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient

from servers import registry as servers_registry
from tailrace.format import Format
from tailrace.model import Batch
from tests.server.postgres.reading import Make, Reading, Sql

DROP = "ALTER TABLE t ALTER v DROP NOT NULL"


@pytest.fixture
def opened(any_database: str, sql: Sql, reading: Make) -> tuple[Reading, str]:
    sql(any_database, "CREATE TABLE t (id int PRIMARY KEY, v text NOT NULL, w text NOT NULL)")
    it = reading(any_database, snapshot="never").open()
    sql(any_database, "INSERT INTO t VALUES (1, 'a', 'b')")
    return it.count(1), any_database


def nullable(batches: list[Batch]) -> list[tuple[str, list[bool]]]:
    """The key of each change, and which columns its table lets be null."""
    return [
        (change.key.texts()["id"], [column.nullable for column in change.table.columns])
        for batch in batches
        for change in batch
        if change.key is not None
    ]


def test_a_table_that_let_go_of_not_null_is_described_again_with_its_first_null(
    opened: tuple[Reading, str], sql: Sql
) -> None:
    it, url = opened
    sql(url, DROP)
    sql(url, "INSERT INTO t VALUES (2, 'a', 'b')")
    sql(url, "INSERT INTO t VALUES (3, NULL, 'b')", "INSERT INTO t VALUES (4, 'a', 'b')")
    it.count(4)
    strict, open_v = [False, False, False], [False, True, False]
    assert nullable(it.batches) == [("1", strict), ("2", strict), ("3", open_v), ("4", open_v)]
    sql(url, "ALTER TABLE t ALTER w DROP NOT NULL", "UPDATE t SET w = NULL WHERE id = 1")
    sql(url, "DELETE FROM t WHERE id = 3")
    it.count(6)
    assert nullable(it.batches)[4:] == [("1", [False, True, True]), ("3", [False, True, True])]


def test_a_null_that_is_older_than_the_not_null_of_now_is_possible(opened: tuple[Reading, str], sql: Sql) -> None:
    it, url = opened
    it.close()
    sql(url, DROP, "INSERT INTO t VALUES (2, NULL, 'b')", "UPDATE t SET v = 'x' WHERE id = 2")
    sql(url, "ALTER TABLE t ALTER v SET NOT NULL", "INSERT INTO t VALUES (3, 'y', 'b')")
    it.open().count(4)
    assert nullable(it.batches)[1:] == [(key, [False, True, False]) for key in ("2", "2", "3")]


def test_an_old_row_that_has_a_null_makes_its_column_possible(opened: tuple[Reading, str], sql: Sql) -> None:
    it, url = opened
    sql(url, "ALTER TABLE t REPLICA IDENTITY FULL", DROP, "INSERT INTO t VALUES (2, NULL, 'b')")
    it.count(2).close()
    sql(url, "UPDATE t SET v = 'x' WHERE id = 2", "ALTER TABLE t ALTER v SET NOT NULL")
    it.open().count(3)
    assert it.seen[2].before == {"id": "2", "v": None, "w": "b"}
    assert nullable(it.batches)[2:] == [("2", [False, True, False])]


def test_a_large_transaction_that_is_streamed_in_blocks_is_followed_too(opened: tuple[Reading, str], sql: Sql) -> None:
    it, url = opened
    large = "INSERT INTO t SELECT i, CASE WHEN i = 50000 THEN NULL ELSE repeat('v', 200) END, 'b'"
    sql(url, "SET LOCAL logical_decoding_work_mem = 64", DROP, f"{large} FROM generate_series(2, 50001) AS i")
    sql(url, "INSERT INTO t VALUES (0, NULL, 'b')")
    it.count(50_002)
    found = nullable(it.batches)
    assert [shape for _, shape in found[-3:]] == [[False, True, False]] * 3
    assert all(shape == [False, False, False] for key, shape in found if 0 < int(key) < 50_000)


def test_a_not_null_that_is_not_valid_says_nothing_of_rows_from_before(database: str, sql: Sql, reading: Make) -> None:
    sql(database, "CREATE TABLE t (id int PRIMARY KEY, v int, w int NOT NULL)", "INSERT INTO t VALUES (1, NULL, 1)")
    sql(database, "ALTER TABLE t ADD CONSTRAINT told NOT NULL v NOT VALID", "CREATE UNIQUE INDEX a ON t (v)")
    sql(database, "ALTER TABLE t DROP CONSTRAINT t_pkey", "CREATE UNIQUE INDEX b ON t (w)")
    it = reading(database).open().count(1)
    [table] = {table for batch in it.batches for table in batch.tables}
    assert [(column.name, column.nullable) for column in table.columns] == [("id", False), ("v", True), ("w", False)]
    assert table.key == ("w",)


def schemas_of(format: Format, batches: list[Batch]) -> Iterator[bytes]:
    encoder = format.encoder("t")
    for batch in batches:
        for part in encoder.encode(batch):
            for index in range(len(part)):
                value = part.value(index)
                assert value is not None
                yield value
    encoder.close()


def field(schema: dict[str, Any], *path: str) -> dict[str, Any]:
    for name in path:
        schema = next(each for each in schema["fields"] if each.get("field", each.get("name")) == name)
    return schema


def test_a_schema_says_optional_from_the_record_with_the_first_null_on(opened: tuple[Reading, str], sql: Sql) -> None:
    it, url = opened
    sql(url, DROP, "INSERT INTO t VALUES (2, NULL, 'b')", "INSERT INTO t VALUES (3, 'a', 'b')")
    it.count(3)
    events = [json.loads(value) for value in schemas_of(Format(schemas_enable=True), it.batches)]
    assert [event["payload"]["after"]["v"] for event in events] == ["a", None, "a"]
    assert [field(event["schema"], "after", "v")["optional"] for event in events] == [False, True, True]
    assert [field(event["schema"], "after", "w")["optional"] for event in events] == [False, False, False]


def test_a_registry_gets_the_schema_with_the_first_null(
    opened: tuple[Reading, str], sql: Sql, registry: servers_registry.Server
) -> None:
    it, url = opened
    sql(url, DROP, "INSERT INTO t VALUES (2, NULL, 'b')")
    it.count(2)
    format = Format(value_converter="avro", schema_registry_url=registry.url, topic_prefix=f"p{uuid.uuid4().hex}")
    client = SchemaRegistryClient({"url": registry.url})
    rows = []
    for value in schemas_of(format, it.batches):
        text = client.get_schema(int.from_bytes(value[1:5])).schema_str
        assert text is not None
        row = fastavro.schemaless_reader(io.BytesIO(value[5:]), json.loads(text), None)
        assert isinstance(row, dict)
        rows.append(row["after"])
    assert rows == [{"id": 1, "v": "a", "w": "b"}, {"id": 2, "v": None, "w": "b"}]
