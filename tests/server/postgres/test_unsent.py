"""Rows of the profile `flat` of which a real server left columns out, read by libraries that know no Tailrace."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import fastavro
import pytest

from tests.server.google import message_of
from tests.server.postgres.reading import Make, Sql
from tests.server.subject import Encode, Subjects

LONG = 2500
"""Too long for a row in line, short enough for an index."""
TABLE = (
    "CREATE TABLE docs (k text, id int, n int NOT NULL, body text NOT NULL, tags text[], data jsonb NOT NULL,"
    " price numeric(9, 2) NOT NULL, day date NOT NULL, note text, PRIMARY KEY (id, k))",
    *(f"ALTER TABLE docs ALTER {name} SET STORAGE EXTERNAL" for name in ("k", "body", "tags", "data")),
)
STATEMENTS = (
    f"INSERT INTO docs SELECT repeat('k', {LONG}), 1, 1, repeat('b', 9000), array_fill('t'::text, ARRAY[{LONG}]),"
    " to_jsonb(repeat('d', 9000)), 1.5, '2026-03-01'",
    "UPDATE docs SET n = 2",
    "UPDATE docs SET body = 'short', price = 2",
    "UPDATE docs SET id = 2",
    "DELETE FROM docs",
    "ALTER TABLE docs REPLICA IDENTITY FULL",
    "INSERT INTO docs VALUES ('z', 0, 0, '', '{}', '0', 0, '1970-01-01', '')",
    "DELETE FROM docs",
)
WHOLE = {
    "k": "k" * LONG, "id": 1, "n": 1, "body": "b" * 9000, "tags": ["t"] * LONG, "data": json.dumps("d" * 9000),
    "price": "1.50", "day": "2026-03-01", "note": None,
}  # fmt: skip
ZEROS = {
    "k": "z",
    "id": 0,
    "n": 0,
    "body": "",
    "tags": [],
    "data": "0",
    "price": "0.00",
    "day": "1970-01-01",
    "note": "",
}
SHORT = {**WHOLE, "n": 2, "body": "short", "tags": None, "data": None, "price": "2.00"}
LEFT_OUT = ["n", "body", "tags", "data", "price", "day", "note"]
"""All but the key."""
GONE = {**WHOLE, **dict.fromkeys(LEFT_OUT)}
EXPECTED = [
    ("c", WHOLE, None),
    ("u", {**WHOLE, "n": 2, "body": None, "tags": None, "data": None}, ["body", "tags", "data"]),
    ("u", SHORT, ["tags", "data"]),
    ("d", GONE, LEFT_OUT),
    ("c", {**SHORT, "id": 2}, ["tags", "data"]),
    ("d", {**GONE, "id": 2}, LEFT_OUT),
    ("c", ZEROS, None),
    ("d", ZEROS, None),
]
Row = Mapping[str, Any]


def bare(_: Subjects, value: bytes) -> Row:
    row: Row = json.loads(value)
    return row


def with_schema(_: Subjects, value: bytes) -> Row:
    read = json.loads(value)
    may_be_null = {field["field"] for field in read["schema"]["fields"] if field["optional"]}
    row: Row = read["payload"]
    assert {name for name, cell in row.items() if cell is None} <= may_be_null
    assert not {"id", "k"} & may_be_null
    return row


def avro(mine: Subjects, value: bytes) -> Row:
    row = fastavro.schemaless_reader(io.BytesIO(value[5:]), json.loads(mine.schema(value).schema_str or ""), None)
    assert isinstance(row, dict)
    return row


def json_schema(mine: Subjects, value: bytes) -> Row:
    columns = json.loads(mine.schema(value).schema_str or "")["properties"]
    row: Row = json.loads(value[5:])
    assert all({"type": "null"} in columns[name]["oneOf"] for name, cell in row.items() if cell is None)
    assert all("oneOf" not in columns[name] for name in ("id", "k"))
    return row


def protobuf(mine: Subjects, value: bytes) -> Row:
    """As Google's library reads it; None for a field that is not there, if that can be told."""
    made = message_of(mine.schema(value).schema_str or "", "Value")
    assert value[5] == 0
    row = made.FromString(value[6:])
    absent = {field.name for field in row.DESCRIPTOR.fields if field.has_presence and not row.HasField(field.name)}
    cells = {field.name: None if field.name in absent else getattr(row, field.name) for field in row.DESCRIPTOR.fields}
    lists = {field.name: list(cells[field.name]) for field in row.DESCRIPTOR.fields if field.is_repeated}
    return {**cells, **lists}


def as_it_is(cell: Any) -> Any:
    return cell


def no_empty_list(cell: Any) -> Any:
    return None if cell == [] else cell


def no_zero(cell: Any) -> Any:
    return cell or None


@dataclass(frozen=True, slots=True)
class Form:
    """A format, its options, how another library reads it, and what it tells apart."""

    word: str
    options: Mapping[str, Any]
    read: Callable[[Subjects, bytes], Row]
    told: Callable[[Any], Any]


FORMS = {
    "json": Form("json", {}, bare, as_it_is),
    "json with schemas": Form("json", {"schemas_enable": True}, with_schema, as_it_is),
    "avro": Form("avro", {}, avro, as_it_is),
    "json_schema": Form("json_schema", {}, json_schema, as_it_is),
    "protobuf": Form("protobuf", {}, protobuf, no_zero),
    "protobuf with optionals": Form("protobuf", {"optional_for_nullables": True}, protobuf, no_empty_list),
}


@pytest.mark.parametrize("name", FORMS)
def test_other_libraries_read_nulls_and_a_list_of_what_the_server_did_not_send(
    any_database: str, sql: Sql, reading: Make, subjects: Callable[[str], Subjects], records: Encode, name: str
) -> None:
    form = FORMS[name]
    sql(any_database, *TABLE)
    it = reading(any_database, snapshot="never").open().first()
    for statement in STATEMENTS:
        sql(any_database, statement)
    it.count(len(STATEMENTS) - 1)  # of one statement there is no change
    mine = subjects(form.word)
    written = records(mine.format(profile="flat", **form.options), *it.batches)
    rows = [form.read(mine, value) for _, value in written if value is not None]

    def told(op: str, row: Row, unavailable: object) -> tuple[Any, ...]:
        return op, *(form.told(row[name]) for name in WHOLE), form.told(unavailable)

    assert [told(row["__op"], row, row["__unavailable"]) for row in rows] == [told(*each) for each in EXPECTED]
