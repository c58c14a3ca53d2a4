"""`Batch.latest` as sinks see it; the Rust tests prove the fold against a table that applies every change."""

from __future__ import annotations

from tailrace._native import UNCHANGED, Batch, Column, Table
from tests.unit.native.test_arrow import ORDERS, make, row, several


def shown(batch: Batch) -> list[tuple[str, ...]]:
    """Each segment's changes as op and key."""
    return [
        tuple(f"{change.op}{change.key['id']}" if change.key else change.op for change in part)
        for part in batch.segments()
    ]


def test_changes_of_a_key_become_one_across_segments() -> None:
    batch = several(
        make(("c", None, row(1)), ("c", None, row(2))),
        make(("u", None, row(1, "9.00", UNCHANGED)), ("d", {"id": "2"}, None)),
    )
    folded = batch.latest()
    assert shown(folded) == [("u1", "d2")] or shown(folded) == [("c1", "d2")]
    after = folded[0].after
    assert after is not None
    assert after.texts() == row(1, "9.00")
    assert folded.positions == batch.positions


def test_barriers_stand_alone() -> None:
    moved = ("u", {"id": "1"}, row(5))
    batch = make(
        ("c", None, row(1)), ("t", None, None), ("c", None, row(1)), ("c", None, row(2)), moved, ("c", None, row(3))
    )
    folded = batch.latest()
    assert shown(folded) == [("c1",), ("t",), ("c1", "c2"), ("u5",), ("c3",)]
    assert folded[4].before is not None
    assert folded[4].before["id"] == 1


def test_tables_do_not_share_segments_and_keyless_ones_are_not_folded() -> None:
    log = Table("public", "log", [Column("line", "text")])
    batch = several(
        make(("c", None, row(1))), make(*[("c", None, {"line": "x"})] * 3, table=log), make(("u", None, row(1)))
    )
    folded = batch.latest()
    assert [len(part.tables) for part in folded.segments()] == [1, 1]
    assert [len(part) for part in folded.segments()] == [1, 3]


def test_progress_folds_to_progress() -> None:
    batch = make()
    assert len(batch.latest()) == 0
    assert batch.latest().positions == batch.positions


def test_a_fold_of_one_table_encodes_to_arrow() -> None:
    stream = make(("c", None, row(1)), ("u", None, row(1, "2.00"))).latest().arrow(ORDERS)
    import pyarrow as pa

    assert pa.table(stream)["_op"].to_pylist() == ["c"]
