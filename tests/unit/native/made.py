"""Batches of one transaction, made from the texts of their cells."""

from __future__ import annotations

from collections.abc import Mapping

from tailrace._native import Batch, BatchBuilder, Table, Unchanged

Cells = Mapping[str, str | Unchanged | None]


def made(*changes: tuple[str, Cells | None, Cells | None], table: Table, database: str = "test") -> Batch:
    """One transaction of (op, before, after), all of `table`."""
    builder = BatchBuilder("postgres/1/shop/slot", database=database)
    builder.begin(xid=7, lsn=0x100, committed_at_us=1_700_000_000_123_456)
    for op, before, after in changes:
        builder.add(op, table, before=before, after=after)  # type: ignore[arg-type]
    builder.commit()
    return builder.take()
