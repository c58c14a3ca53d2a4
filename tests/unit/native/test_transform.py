"""Select, rename, mask and picking by index, as Python sees them."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from tailrace._native import Batch, BatchBuilder, Mask, Rename, Select
from tailrace.error import ConfigError
from tests.unit.native.test_arrow import ORDERS, make, row

BATCH = make(
    ("c", None, row(1, note="secret")), ("u", {"id": "1"}, row(2)), ("d", {"id": "2"}, None), ("t", None, None)
)


def ops(batch: Batch) -> str:
    """Letters of the operations."""
    return "".join(change.op for change in batch)


def test_select_keeps_ops_tables_and_key_columns() -> None:
    assert ops(Select(ops="cd")(BATCH)) == "cd"
    assert ops(Select(tables=["public.customers"])(BATCH)) == ""
    [table] = Select(columns=["*.note"])(BATCH).tables
    assert [column.name for column in table.columns] == ["id", "note"]
    assert table.key == ("id",)


def test_positions_stay_when_changes_go() -> None:
    assert Select(ops="")(BATCH).positions == BATCH.positions
    assert BATCH.without(range(4)).positions == BATCH.positions


def test_rename_makes_one_version_of_one_version() -> None:
    rename = Rename({"public.orders": "sales.purchase", "public.orders.note": "remark"})
    [first], [second] = rename(BATCH).tables, rename(BATCH).tables
    assert (str(first), first.version) == ("sales.purchase", second.version)
    assert [column.name for column in first.columns] == ["id", "amount", "remark"]


def test_a_mask_covers_every_image_and_the_key() -> None:
    masked = Mask(["public.orders.id"], "hash", salt=b"pepper")(BATCH)
    one, two = (hmac.new(b"pepper", text, hashlib.sha256).hexdigest() for text in (b"1", b"2"))
    keys = [change.key["id"] for change in masked if change.key]
    assert keys == [one, two, two]
    before = masked[1].before
    assert before is not None
    assert before["id"] == one
    assert masked.tables[0].columns[0].type == "text"


def test_redacted_and_truncated_text() -> None:
    def note(batch: Batch) -> object:
        after = batch[0].after
        return None if after is None else after["note"]

    assert note(Mask(["*.note"], "redact")(BATCH)) is None
    assert note(Mask(["*.note"], "truncate", length=3)(BATCH)) == "sec"


def test_masks_that_would_leak_or_merge_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="salt"):
        Mask(["*"], "hash")
    with pytest.raises(ConfigError, match=r"public\.orders\.id"):
        Mask(["*"], "redact")(BATCH)


def test_rename_refuses_names_that_collide() -> None:
    with pytest.raises(ConfigError, match="two columns"):
        Rename({"public.orders.note": "amount"})(BATCH)


def test_only_and_without_are_each_others_rest() -> None:
    assert (ops(BATCH.only([3, 0])), ops(BATCH.without({0, 3}))) == ("ct", "ud")
    assert BATCH.only([1])[0].position == BATCH[1].position
    assert BATCH.tables == (ORDERS,)


def test_a_snapshot_of_a_table_that_is_left_out_is_still_a_snapshot() -> None:
    builder = BatchBuilder("postgres/1/shop/slot")
    builder.begin(xid=0, lsn=0x100, committed_at_us=0)
    builder.add("r", ORDERS, after=row(1))
    builder.commit()
    batch = builder.take(snapshot=("attempt", ORDERS, True, False))
    mark = Select(exclude_tables=["public.orders"])(batch).snapshot
    assert mark is not None
    assert (mark.table, mark.begin) == (None, True)
