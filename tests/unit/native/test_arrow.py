"""Arrow streams of batches, and rows that come back from Python."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace._native import UNCHANGED, Batch, Column, Table
from tailrace.error import Fatal, Reject
from tests.unit.native.made import made

ORDERS = Table(
    "public",
    "orders",
    [Column("id", "int8", nullable=False), Column("amount", "numeric(12,2)"), Column("note", "text")],
    key=["id"],
)


make = partial(made, table=ORDERS)


def row(id: int, amount: str | None = "1.00", note: object = "n") -> dict[str, Any]:
    """Cells of an order."""
    return {"id": str(id), "amount": amount, "note": note}


def read(batch: Batch, table: Table = ORDERS) -> pa.Table:
    """The changes of `table` as pyarrow has them."""
    return pa.table(batch.arrow(table))


def several(*batches: Batch) -> Batch:
    """One batch of as many segments."""
    [merged] = Batch.merge(batches)
    return merged


def test_a_stream_has_one_record_batch_a_segment_and_indexes_of_the_batch() -> None:
    batch = several(make(("c", None, row(1)), ("c", None, row(2))), make(("c", None, row(3))))
    stream = pa.RecordBatchReader.from_stream(batch.arrow(ORDERS))
    chunks = list(stream)
    assert [chunk.num_rows for chunk in chunks] == [2, 1]
    assert [index for chunk in chunks for index in chunk["_index"].to_pylist()] == [0, 1, 2]


def test_rows_tell_op_position_time_and_unchanged_columns() -> None:
    batch = make(
        ("c", None, row(1)), ("u", None, row(1, "2.50", UNCHANGED)), ("d", {"id": "1"}, None), ("t", None, None)
    )
    rows = read(batch)
    assert rows["_op"].to_pylist() == ["c", "u", "d", "t"]
    assert rows["_position"].to_pylist() == [change.position.text for change in batch]
    assert rows["_committed_at"].to_pylist() == [change.committed_at for change in batch]
    assert rows["_unchanged"].to_pylist() == [None, ["note"], None, None]
    assert rows["id"].to_pylist() == [1, 1, 1, None]
    assert rows["amount"].cast(pa.string()).to_pylist() == ["1.00", "2.50", None, None]


def test_a_value_out_of_range_is_rejected_by_index() -> None:
    with pytest.raises(Reject) as caught:
        make(("c", None, row(1)), ("c", None, row(2, "NaN"))).arrow(ORDERS)
    assert list(caught.value.reasons) == [1]
    assert "NaN" not in str(caught.value.reasons[1]) or "column amount" in caught.value.reasons[1]


def test_a_reject_in_a_later_segment_is_not_lost() -> None:
    stream = several(make(("c", None, row(1))), make(("c", None, row(2, "NaN")))).arrow(ORDERS)
    with pytest.raises(pa.ArrowException):
        pa.table(stream)
    with pytest.raises(Reject) as caught:
        stream.raise_reject()
    assert list(caught.value.reasons) == [1]


def test_columns_that_a_function_changed_come_back() -> None:
    batch = several(make(("c", None, row(1)), ("u", None, row(2, "2.00", UNCHANGED))), make(("d", {"id": "3"}, None)))
    rows = read(batch)
    doubled = pc.multiply(rows["amount"], pa.scalar(2, pa.decimal128(12, 2))).cast(pa.decimal128(12, 2))
    changed = batch.with_arrow(ORDERS, rows.set_column(1, "amount", doubled))
    assert [change.op for change in changed] == ["c", "u", "d"]
    assert [_text(change.after, "amount") for change in changed] == ["2.00", "4.00", None]
    assert _text(changed[1].after, "note") is UNCHANGED
    assert [change.position for change in changed] == [change.position for change in batch]
    assert changed.positions == batch.positions


def test_rows_that_a_function_left_out_are_dropped() -> None:
    batch = make(*[("c", None, row(id)) for id in range(6)])
    kept = batch.with_arrow(ORDERS, read(batch).filter(pc.field("id") >= 4))
    assert [change.key["id"] for change in kept if change.key] == [4, 5]


def test_rows_of_other_tables_stay() -> None:
    other = Table("public", "other", [Column("id", "int4")])
    batch = several(make(("c", None, row(1))), make(("c", None, {"id": "9"}), table=other))
    kept = batch.with_arrow(ORDERS, read(batch).slice(0, 0))
    assert [change.table.name for change in kept] == ["other"]


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        (["id", "_index"], [pa.array(["x"]), pa.array([0], pa.uint64())]),
        (["total", "_index"], [pa.array([1]), pa.array([0], pa.uint64())]),
        (["id"], [pa.array([1])]),
        (["id", "_index"], [pa.array([1]), pa.array([7], pa.uint64())]),
    ],
    ids=["type", "column", "index missing", "index unknown"],
)
def test_rows_that_do_not_fit_the_table_are_refused(names: Sequence[str], columns: Sequence[pa.Array]) -> None:
    with pytest.raises(Fatal, match=r"orders|_index"):
        make(("c", None, row(1))).with_arrow(ORDERS, pa.table(columns, names=list(names)))


def _text(image: Any, name: str) -> object:
    return image.text(name) if image is not None else None


VALUES = {
    "int8": (st.integers(-(2**63), 2**63 - 1), str),
    "float8": (st.floats(allow_nan=False), lambda value: str(value).replace("inf", "Infinity")),
    "numeric(38,10)": (st.decimals(-(10**20), 10**20, places=10), lambda value: f"{value:f}"),
    "bytea": (st.binary(), lambda value: "\\x" + value.hex()),
    "date": (st.dates(), str),
    "time": (st.times(), str),
    "timestamp": (st.datetimes(), str),
    "timestamptz": (st.datetimes(timezones=st.just(UTC)), lambda value: str(value).replace("+00:00", "+00")),
    "text": (st.text(st.characters(exclude_categories=["Cs"])), str),
    "int4[]": (st.lists(st.none() | st.integers(-(2**31), 2**31 - 1)), lambda value: _literal(value)),
    "text[]": (st.lists(st.none() | st.text("a,{}\"\\ 'NUL")), lambda value: _literal(value)),
}
"""For each type: values as Python has them, and how the server prints one."""


def _literal(items: list[Any]) -> str:
    def quoted(item: object) -> str:
        text = str(item).replace("\\", "\\\\").replace('"', '\\"')
        return "NULL" if item is None else f'"{text}"'

    return "{" + ",".join(map(quoted, items)) + "}"


@pytest.mark.parametrize("kind", VALUES)
@given(data=st.data())
def test_arrow_and_python_agree_on_every_value(kind: str, data: st.DataObject) -> None:
    values, written = VALUES[kind]
    expected = data.draw(st.lists(st.none() | values, min_size=1, max_size=5))
    table = Table("public", "t", [Column("v", kind)])
    batch = make(*[("c", None, {"v": None if value is None else written(value)}) for value in expected], table=table)
    rows = pa.table(batch.arrow(table))
    assert rows["v"].to_pylist() == expected
    assert [change.after["v"] for change in batch if change.after] == expected
    back = batch.with_arrow(table, rows)
    assert [change.after["v"] for change in back if change.after] == expected
