"""Around a TRUNCATE, the PostgreSQL sink looks change by change only at the segment that has it."""

from __future__ import annotations

import tracemalloc

from tailrace._native import Batch, BatchBuilder, Column, Table
from tailrace.sink.postgres.apply import around_truncates

ORDERS = Table("public", "orders", [Column("id", "int4", nullable=False)], key=["id"])
MANY = 50_000


def segment(*changes: tuple[str, int]) -> Batch:
    builder = BatchBuilder("postgres/1/shop/slot")
    builder.begin(xid=7, lsn=0x100, committed_at_us=0)
    for op, identity in changes:
        builder.add(op, ORDERS, after=None if op == "t" else {"id": str(identity)})  # type: ignore[arg-type]
    builder.commit()
    return builder.take()


def loaded(first: int) -> Batch:
    return segment(*(("c", first + index) for index in range(MANY)))


def test_runs_go_on_over_segments_and_stand_apart_at_a_truncate() -> None:
    [batch] = Batch.merge(
        [
            segment(("t", 0)),
            segment(("c", 1), ("c", 2)),
            segment(("c", 3), ("t", 0), ("t", 0), ("c", 4)),
            segment(("c", 5)),
            segment(("c", 6), ("t", 0)),
        ]
    )
    assert len(list(batch.segments())) == 5
    runs = list(around_truncates(batch))
    assert [[change.op if change.after is None else change.after["id"] for change in run] for run in runs] == [
        ["t"],
        [1, 2, 3],
        ["t", "t"],
        [4, 5, 6],
        ["t"],
    ]
    assert {run.positions for run in runs} == {batch.positions}
    assert [len(list(run.segments())) for run in runs] == [1, 2, 1, 3, 1]


def test_i8_a_reload_costs_python_nothing_for_each_row() -> None:
    [batch] = Batch.merge([segment(("t", 0)), *(loaded(number * MANY) for number in range(4))])
    tracemalloc.start()
    try:
        runs = list(around_truncates(batch))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [len(run) for run in runs] == [1, 4 * MANY]
    assert most < MANY
