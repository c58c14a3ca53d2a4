"""The table and the transactions that `check_sink` writes, the same wherever they are made. Never writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tailrace._native import BatchBuilder
from tailrace.model import Batch, Column, Table

TABLE = Table("public", "orders", [Column("id", "int8", nullable=False), Column("note", "text")], key=["id"])
"""The table whose changes `check_sink` writes."""
LINEAGE = "postgres/0/test/check_sink"

Cells = Mapping[str, str | None]


def transaction(lsn: int, *changes: tuple[Any, Cells], snapshot: tuple[str, bool] | None = None) -> Batch:
    """One transaction of (op, cells), committed at `lsn`; of a snapshot, its attempt and whether it ends with it."""
    builder = BatchBuilder(LINEAGE)
    builder.begin(xid=lsn >> 12, lsn=lsn, committed_at_us=1_767_225_600_000_000)
    for op, cells in changes:
        if op == "d":
            builder.add("d", TABLE, before=cells)
        elif op == "t":
            builder.add("t", TABLE)
        else:
            builder.add(op, TABLE, after=cells)
    builder.commit()
    return builder.take() if snapshot is None else builder.take(snapshot=(snapshot[0], TABLE, True, snapshot[1]))
