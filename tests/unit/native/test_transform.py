"""Select, rename, mask and picking by index, as Python sees them."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from tailrace._native import Batch, BatchBuilder, Mask, Position, Rename, Select
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


def several(*transactions: int, lineage: str = "postgres/1/shop/slot") -> Batch:
    """One transaction of as many rows each, of some 30 bytes."""
    builder = BatchBuilder(lineage)
    for at, rows in enumerate(transactions):
        builder.begin(xid=at, lsn=0x100 * (at + 1), committed_at_us=0)
        for key in range(rows):
            builder.add("c", ORDERS, after=row(key))
        builder.commit()
    return builder.take()


def test_pieces_end_where_transactions_end_with_the_positions_of_their_last_changes() -> None:
    batch = several(2, 1, 3, 9, 1)
    size = batch.only([0]).nbytes
    pieces = list(batch.cut(4 * size))
    assert [len(piece) for piece in pieces] == [3, 3, 9, 1]
    assert [change.position for piece in pieces for change in piece] == [change.position for change in batch]
    assert [piece.positions for piece in pieces] == [(piece[len(piece) - 1].position,) for piece in pieces]
    assert pieces[-1].positions == batch.positions
    assert [piece.nbytes for piece in pieces] == [len(piece) * size for piece in pieces]


def test_the_last_piece_ends_where_the_batch_does_and_each_with_the_lineages_that_it_touches() -> None:
    one, two = several(2, 2, lineage="one"), several(2, 2, lineage="two")
    end = Position("one", several(0, 0, 0, 1, lineage="one").positions[0].text)
    (batch,) = Batch.merge([one, two, Batch.progress(end)])
    size = batch.only([0]).nbytes
    pieces = list(batch.cut(3 * size))
    assert [len(piece) for piece in pieces] == [2, 2, 2, 2]
    assert [piece.positions for piece in pieces[:3]] == [(batch[at].position,) for at in (1, 3, 5)]
    assert pieces[3].positions == batch.positions == (end, two.positions[0])
    both = [piece.positions for piece in batch.cut(6 * size)]
    assert both == [(one.positions[0], batch[5].position), batch.positions]


def test_a_batch_within_the_limit_or_out_of_the_order_of_its_stream_is_one_piece() -> None:
    batch = several(1, 1, 1)
    assert [len(piece) for piece in batch.cut(batch.nbytes)] == [3]
    moved = batch.with_changes([batch[1], batch[0], batch[2]])
    assert [(len(piece), piece.positions) for piece in moved.cut(1)] == [(3, batch.positions)]
    assert [piece.positions for piece in Batch.progress(batch.positions[0]).cut(1)] == [batch.positions]


def test_a_snapshot_is_cut_between_rows_and_begins_and_ends_once() -> None:
    builder = BatchBuilder("postgres/1/shop/slot")
    builder.begin(xid=0, lsn=0x100, committed_at_us=0)
    for key in range(3):
        builder.add("r", ORDERS, after=row(key))
    builder.commit()
    pieces = list(builder.take(snapshot=("1", ORDERS, True, True)).cut(1))
    marks = [piece.snapshot for piece in pieces]
    assert [(mark.begin, mark.end) for mark in marks if mark] == [(True, False), (False, False), (False, True)]
    assert [piece.positions for piece in pieces] == [(piece[0].position,) for piece in pieces]


def test_records_of_a_topic_are_cut_one_by_one() -> None:
    builder = BatchBuilder("kafka/c/t/0")
    for offset in (7, 9):
        builder.begin(xid=5, at=f"{offset:020}", committed_at_us=0)
        builder.add("c", ORDERS, after=row(1))
        builder.commit()
    assert [piece.positions[0].text for piece in builder.take().cut(1)] == [f"{7:020}", f"{9:020}"]


def test_a_snapshot_of_a_table_that_is_left_out_is_still_a_snapshot() -> None:
    builder = BatchBuilder("postgres/1/shop/slot")
    builder.begin(xid=0, lsn=0x100, committed_at_us=0)
    builder.add("r", ORDERS, after=row(1))
    builder.commit()
    batch = builder.take(snapshot=("attempt", ORDERS, True, False))
    mark = Select(exclude_tables=["public.orders"])(batch).snapshot
    assert mark is not None
    assert (mark.table, mark.begin) == (None, True)
