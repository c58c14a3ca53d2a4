"""A value that an update left as it was is read back as unchanged, whatever stands for it, of every type and mode."""

from __future__ import annotations

import pytest

from tailrace._native import UNCHANGED, BatchBuilder, Column, EventReader, Table
from tailrace.format import Format

_KINDS = (
    "text", "varchar", "json", "jsonb", "xml", "bytea", "numeric", "numeric(9,2)", "varbit", "bit(9)", "uuid[]",
    "text[]", "varchar[]", "json[]", "jsonb[]", "bytea[]", "int2[]", "int4[]", "int8[]", "float4[]", "float8[]",
    "numeric[]", "numeric(9,2)[]", "date[]", "time[]", "timestamp[]", "timestamp(3)[]", "timestamptz[]", "timetz[]",
    "inet[]",
)  # fmt: skip
_MODES = (
    {},
    {"binary_handling_mode": "base64", "time_precision_mode": "microseconds", "decimal_handling_mode": "string"},
    {"binary_handling_mode": "base64-url-safe", "time_precision_mode": "isostring"},
    {"binary_handling_mode": "hex", "time_precision_mode": "nanoseconds"},
)


@pytest.mark.parametrize("schemas", ["true", "false"], ids=["with schemas", "bare"])
@pytest.mark.parametrize("mode", _MODES, ids=lambda mode: mode.get("binary_handling_mode", "bytes"))
@pytest.mark.parametrize("placeholder", ["__debezium_unavailable_value", 'n/a "é"', "hex:6162c3a9ff00fbef"])
def test_what_stands_for_an_unchanged_value_is_read_as_that(
    placeholder: str, mode: dict[str, str], schemas: str
) -> None:
    columns = [Column(f"c{at}", kind) for at, kind in enumerate(_KINDS)]
    table = Table("public", "rows", [Column("id", "int4", nullable=False), *columns], key=["id"])
    rows = BatchBuilder("test/1/test")
    rows.begin(xid=1, lsn=1, committed_at_us=0)
    rows.add("u", table, after={"id": "1", **{column.name: UNCHANGED for column in columns}})
    rows.commit()
    format = Format(unavailable_value_placeholder=placeholder, schemas_enable=schemas, **mode)
    (part,) = rows.take().json(format.profile("shop"))
    reader = EventReader("kafka/c/t/0", topic="shop.public.rows", unavailable_value_placeholder=placeholder)
    reader.feed([(part.key(0), part.value(0), 0, 0)])
    (change,) = reader.take() or ()
    assert change.after is not None
    read = {kind: change.after[column.name] for column, kind in zip(columns, _KINDS, strict=True)}
    assert {kind: value for kind, value in read.items() if value is not UNCHANGED} == {}
