"""The table of types in the reference is what the code does: every row, every column of it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from tailrace._native import Batch, BatchBuilder, Column, Table
from tailrace.dialect.postgres import session
from tailrace.format import Format
from tailrace.source.postgres import catalog

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "types.md"
_ROW = re.compile(r"^\| `.*\|$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the page."""

    server: str
    portable: str
    text: str
    python: str
    arrow: str
    duckdb: str
    debezium: str


def _line(row: str) -> Line:
    cells = [cell.strip().strip("`") for cell in row.strip("|").split("|")]
    return Line(*cells)


LINES = [_line(row) for row in _ROW.findall(PAGE.read_text())]
each_line = pytest.mark.parametrize("line", LINES, ids=[line.portable for line in LINES])


def _batch(line: Line) -> Batch:
    table = Table("public", "t", [Column("v", line.portable)])
    builder = BatchBuilder("postgres/1/shop/slot")
    builder.begin(xid=7, lsn=0x100, committed_at_us=0)
    builder.add("c", table, after={"v": line.text})
    builder.commit()
    return builder.take()


@each_line
def test_a_value_has_the_types_that_the_page_says(line: Line) -> None:
    batch = _batch(line)
    [table] = batch.tables
    [column] = table.columns
    rows = pa.table(batch.arrow(table))
    assert (column.arrow, column.duckdb) == (line.arrow, line.duckdb)
    assert str(rows.schema.field("v").type).replace("child 0, ", "") == line.arrow
    assert rows["v"].null_count == 0
    after = batch[0].after
    assert after is not None
    assert type(after["v"]).__name__ == line.python


@each_line
def test_a_value_that_is_only_passed_on_keeps_its_text(line: Line) -> None:
    after = _batch(line)[0].after
    assert after is not None
    assert _batch(line)[0].replace(after=dict(after)).after == after
    assert _batch(line)[0].replace(after=dict(after)).after.texts() == after.texts()


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("jsonb", '"abc"'),
        ("jsonb", "null"),
        ("json", '{"a":  1.10, "b": 12345678901234567890.123}'),
        ("jsonb[]", r'{"[1,2]","\"x\"",NULL,"null"}'),
        ("float8", "-0"),
        ("numeric", "1.50"),
        ("timestamptz", "infinity"),
        ("text[]", '{NULL,"NULL",a}'),
        ("int4[]", "[0:1]={1,2}"),
    ],
)
def test_a_value_that_is_only_passed_on_keeps_a_spelling_that_python_does_not(kind: str, text: str) -> None:
    change = _batch(Line("", kind, text, "", "", "", ""))[0]
    assert change.after is not None
    assert change.replace(after=dict(change.after)).after.texts() == {"v": text}


def test_an_equal_value_of_another_type_is_another_value() -> None:
    change = _batch(Line("", "jsonb", '{"a": 1}', "", "", "", ""))[0]
    assert change.replace(after={"v": {"a": True}}).after.texts() == {"v": '{"a": true}'}


@each_line
def test_debezium_json_is_what_the_page_shows(line: Line) -> None:
    [encoded] = _batch(line).json(Format(topic_prefix="shop").profile("shop"))
    value = encoded.value(0)
    assert value is not None
    after = json.loads(value)["after"]
    assert (
        json.dumps(after["v"]) == json.dumps(json.loads(line.debezium)) if "v" in after else line.debezium == "left out"
    )


@each_line
def test_duckdb_reads_the_arrow_value_as_its_type(line: Line) -> None:
    import duckdb

    batch = _batch(line)
    connection = duckdb.connect()
    connection.execute(f"CREATE TABLE t (v {line.duckdb})")
    connection.register("incoming", batch.arrow(batch.tables[0]))
    connection.execute("INSERT INTO t SELECT v FROM incoming")
    [(kind, count)] = connection.execute("SELECT typeof(v), count(v) FROM t GROUP BY ALL").fetchall()
    assert (
        kind.replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ").replace("TIME WITH TIME ZONE", "TIMETZ"),
        count,
    ) == (
        line.duckdb,
        1,
    )


def test_the_server_has_these_types_and_prints_such_values(database: str) -> None:
    with session.connect(database) as connection:
        connection.autocommit = True
        connection.execute("SET search_path = public")
        connection.execute("CREATE TYPE mood AS ENUM ('low', 'high')")
        for extension in ("citext", "hstore", "ltree"):
            connection.execute(f"CREATE EXTENSION {extension}")
        columns = ", ".join(f"c{number} {line.server}" for number, line in enumerate(LINES))
        connection.execute(f"CREATE TABLE every_type ({columns})")
        [[oid]] = connection.execute("SELECT 'every_type'::regclass::oid").fetchall()
        known = catalog.attributes(connection, [oid])[oid]
        sent = tuple((column.name, column.type_oid, column.typmod, False) for column in known)
        [table] = catalog.tables(connection, [catalog.Described(oid, "public", "every_type", "d", sent)])
        assert [column.type for column in table.columns] == [line.portable for line in LINES]
        for line in LINES:
            if line.server != "xml":  # The server of the tests is built without it.
                # format() prints as the stream does; a cast to text would print a boolean as true.
                printed = f"SELECT format('%%s', %s::text::{line.server})"
                assert connection.execute(printed, [line.text]).fetchall() == [(line.text,)]
