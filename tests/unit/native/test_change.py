"""Changes, rows and values as Python sees them."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from tailrace._native import UNCHANGED, Batch, BatchBuilder, Change, Chunk, Column, Position, Table
from tests.unit.native.made import made

ORDERS = Table(
    "public",
    "orders",
    [Column("id", "int8", nullable=False), Column("status", "text"), Column("amount", "numeric(12,2)")],
    key=["id"],
)


batch_of = partial(made, table=ORDERS)


def value(kind: str, text: str | None) -> Any:
    table = Table("public", "t", [Column("v", kind)])
    return batch_of(("c", None, {"v": text}), table=table)[0].after["v"]


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("bool", "t", True),
        ("bool", "f", False),
        ("int8", "9223372036854775807", 2**63 - 1),
        ("float8", "-Infinity", float("-inf")),
        ("float8", "1e+308", 1e308),
        ("numeric", "123456789012345678901234567890.123", Decimal("123456789012345678901234567890.123")),
        ("bytea", "\\x00ff", b"\x00\xff"),
        ("date", "2024-02-29", date(2024, 2, 29)),
        ("date", "0044-03-15 BC", "0044-03-15 BC"),
        ("time(3)", "12:00:00.5", time(12, 0, 0, 500_000)),
        ("time", "24:00:00", "24:00:00"),
        ("timestamp", "2024-01-01 12:00:00.123456", datetime(2024, 1, 1, 12, 0, 0, 123_456)),
        ("timestamptz", "2024-01-01 12:00:00+00", datetime(2024, 1, 1, 12, tzinfo=UTC)),
        ("timestamptz", "infinity", "infinity"),
        ("uuid", "550e8400-e29b-41d4-a716-446655440000", UUID("550e8400-e29b-41d4-a716-446655440000")),
        ("jsonb", '{"a": [1, null]}', {"a": [1, None]}),
        ("int4[]", "{1,NULL,3}", [1, None, 3]),
        ("text[]", '{"a,b","q\\"\\\\","NULL",NULL}', ["a,b", 'q"\\', "NULL", None]),
        ("int4[]", "[0:1]={{1,2},{3,4}}", [[1, 2], [3, 4]]),
        ("interval", "1 mon 02:03:04", "1 mon 02:03:04"),
        ("other", "(1,2)", "(1,2)"),
        ("text", None, None),
    ],
)
def test_a_cell_becomes_the_proper_python_value(kind: str, text: str | None, expected: Any) -> None:
    got = value(kind, text)
    assert type(got) is type(expected)
    assert got == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r'{0.10,NULL,"NULL","a\"b"}', ["0.10", None, "NULL", 'a"b']),
        ("[0:1][1:1]={{1},{2}}", [["1"], ["2"]]),
        ("no array", "no array"),
        (None, None),
    ],
)
def test_elements_of_an_array_are_there_as_the_server_sent_them(text: str | None, expected: Any) -> None:
    table = Table("public", "t", [Column("v", "jsonb[]")])
    row = batch_of(("c", None, {"v": text}), table=table)[0].after
    assert row.elements("v") == expected
    with pytest.raises(KeyError, match="other"):
        row.elements("other")


def test_a_row_is_a_mapping_of_what_the_server_sent() -> None:
    batch = batch_of(
        ("u", {"id": "1"}, {"id": "2", "status": UNCHANGED, "amount": "1.50"}),
        ("d", {"id": "2"}, None),
    )
    update, delete = batch
    assert isinstance(update.after, Mapping)
    assert dict(update.after) == {"id": 2, "status": UNCHANGED, "amount": Decimal("1.50")}
    assert update.after.texts() == {"id": "2", "status": UNCHANGED, "amount": "1.50"}
    assert not update.after.complete
    assert update.after.values_of(("amount", "id")) == (Decimal("1.50"), 2)
    assert list(delete.before) == ["id"]
    assert delete.after is None
    assert (update.key, delete.key) == ({"id": 2}, {"id": 2})
    assert "status" not in delete.before
    assert delete.before.get("status", "absent") == "absent"
    with pytest.raises(KeyError):
        delete.before["status"]
    with pytest.raises(KeyError):
        update.after.values_of(("nonsense",))


def test_unchanged_is_one_false_object_that_survives_pickling() -> None:
    assert not UNCHANGED
    assert pickle.loads(pickle.dumps(UNCHANGED)) is UNCHANGED


def test_i7_every_change_has_its_own_position_the_same_on_every_replay() -> None:
    changes = [("c", None, {"id": str(n), "status": "new", "amount": None}) for n in range(100)]
    first, again = batch_of(*changes), batch_of(*changes)
    positions = [change.position for change in first]
    assert len(set(positions)) == 100
    assert positions == sorted(positions) == [change.position for change in again]
    assert first.positions == (positions[-1],)
    assert pickle.loads(pickle.dumps(positions[0])) == positions[0]


def test_a_change_can_be_replaced_and_put_back_in_place() -> None:
    batch = batch_of(
        ("c", None, {"id": "1", "status": "new", "amount": "1.50"}),
        ("d", {"id": "1", "status": "new", "amount": "1.50"}, None),
    )
    changed = batch[0].replace(after={"status": 'q"uote', "amount": Decimal("2.00")})
    shaped = batch.with_changes([changed, batch[1]])
    assert shaped.positions == batch.positions
    assert [change.position for change in shaped] == [change.position for change in batch]
    assert shaped[0].after == {"id": 1, "status": 'q"uote', "amount": Decimal("2.00")}
    with pytest.raises(KeyError, match="no column nonsense"):
        batch[0].replace(after={"nonsense": 1})
    with pytest.raises(ValueError, match="no before image"):
        batch[0].replace(before={"id": 2})


@pytest.mark.parametrize(
    ("kind", "given", "text"),
    [
        ("bool", True, "t"),
        ("float8", float("nan"), "NaN"),
        ("numeric", Decimal("1E+3"), "1000"),
        ("bytea", b"\x00\xff", "\\x00ff"),
        ("timestamptz", datetime(2024, 1, 1, 12, tzinfo=UTC), "2024-01-01 12:00:00+00:00"),
        ("date", date(2024, 1, 1), "2024-01-01"),
        ("text[]", ['a"b\\', None, ["x"]], '{"a\\"b\\\\",NULL,{"x"}}'),
        ("jsonb", {"a": 1}, '{"a": 1}'),
        ("jsonb", "[1]", '"[1]"'),
        ("jsonb[]", [[1, 2], "x", None], '{"[1, 2]","\\"x\\"",NULL}'),
    ],
)
def test_a_python_value_is_written_as_the_server_reads_it(kind: str, given: Any, text: str) -> None:
    table = Table("public", "t", [Column("v", kind)])
    change = batch_of(("c", None, {"v": None}), table=table)[0].replace(after={"v": given})
    assert change.after.text("v") == text


def test_a_typed_row_is_converted_once_and_a_partial_image_never() -> None:
    calls: list[object] = []

    def convert(row: Any) -> int:
        calls.append(row)
        return int(row["id"])

    batch = batch_of(("u", {"id": "1"}, {"id": "2", "status": None, "amount": None}))
    change = batch[0].cast(convert)
    assert (change.after, change.after, change.before) == (2, 2, {"id": 1})
    assert len(calls) == 1
    assert Change[int].__origin__ is Change  # type: ignore[attr-defined]


def test_i3_a_merged_batch_ends_where_the_last_one_ended() -> None:
    first = batch_of(("c", None, {"id": "1", "status": None, "amount": None}))
    later = Batch.progress(
        Position(first.positions[0].lineage, "0000000000000200.1.000000000000/00000001/0000000000000200")
    )
    (merged,) = Batch.merge([first, later])
    assert (len(merged), merged.positions) == (1, later.positions)


def test_batches_of_different_snapshot_tables_are_not_merged() -> None:
    def part(table: Table, *, begin: bool, end: bool) -> Batch:
        builder = BatchBuilder("postgres/1/shop/slot")
        builder.begin(xid=7, lsn=0x100, committed_at_us=0)
        builder.add("r", table, after={"id": "1"})
        builder.commit()
        return builder.take(snapshot=("attempt", table, begin, end))

    other = Table("public", "other", [Column("id", "int8")], key=["id"])
    orders = Table("public", "orders", [Column("id", "int8")], key=["id"])
    merged = Batch.merge(
        [
            part(orders, begin=True, end=False),
            part(orders, begin=False, end=True),
            part(other, begin=True, end=True),
        ]
    )
    marks = [(batch.snapshot.table, batch.snapshot.begin, batch.snapshot.end) for batch in merged if batch.snapshot]
    assert marks == [(orders, True, True), (other, True, True)]


def test_i5_two_versions_of_a_table_lie_in_two_segments() -> None:
    builder = BatchBuilder("postgres/1/shop/slot")
    wider = Table("public", "orders", [*ORDERS.columns, Column("note", "text")], key=["id"])
    builder.begin(xid=7, lsn=0x100, committed_at_us=0)
    builder.add("c", ORDERS, after={"id": "1", "status": None, "amount": None})
    builder.add("c", wider, after={"id": "2", "status": None, "amount": None, "note": "x"})
    builder.add("c", wider, after={"id": "3", "status": None, "amount": None, "note": "x"})
    builder.commit()
    batch = builder.take()
    assert [(len(part), part.tables) for part in batch.segments()] == [(1, (ORDERS,)), (2, (wider,))]
    assert [change.after["id"] for change in batch] == [1, 2, 3]


def test_a_chunk_keeps_messages_apart() -> None:
    chunk = Chunk.of([b"one", b"", b"three"])
    assert (len(chunk), chunk.nbytes, [chunk[index] for index in range(3)]) == (3, 8, [b"one", b"", b"three"])
    with pytest.raises(IndexError):
        chunk[3]
