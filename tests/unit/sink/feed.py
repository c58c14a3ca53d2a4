"""Builds the batches that sinks are tested with, positions and all, without a server."""

from collections.abc import Mapping

from tailrace._native import BatchBuilder
from tailrace.model import Batch, Column, Table, Unchanged

LINEAGE = "test/1/shop/tailrace_shop"
ORDERS = Table("public", "orders", [Column("id", "int8", nullable=False), Column("note", "text")], key=["id"])
NOTES = Table("public", "notes", [Column("line", "text")])

Cells = Mapping[str, str | Unchanged | None]


class Feed:
    """The server's side: each call is one committed transaction, or a part of a snapshot, and gives its batch."""

    def __init__(self) -> None:
        self._builder = BatchBuilder(LINEAGE, database="shop")
        self.lsn = 1 << 20

    def _begin(self) -> None:
        self.lsn += 4096
        self._builder.begin(xid=self.lsn >> 12, lsn=self.lsn, committed_at_us=1_700_000_000_000_000 + self.lsn)

    def commit(self, *changes: tuple[str, Cells] | tuple[str, Cells, Cells], table: Table = ORDERS) -> Batch:
        """(op, cells) or, for an update with an old image, (op, after, before)."""
        self._begin()
        for op, *images in changes:
            if op == "t":
                self._builder.add("t", table)
            elif op == "d":
                self._builder.add("d", table, before=images[0])
            else:
                self._builder.add(op, table, after=images[0], before=images[1] if len(images) > 1 else None)  # type: ignore[arg-type]
        self._builder.commit()
        return self._builder.take()

    def insert(self, *keys: int, note: str = "n") -> Batch:
        return self.commit(*(("c", {"id": str(key), "note": f"{note}{key}"}) for key in keys))

    def snapshot(
        self, attempt: str, *keys: int, table: Table = ORDERS, begin: bool = False, end: bool = False, note: str = "s"
    ) -> Batch:
        self._begin()
        for key in keys:
            cells = {"id": str(key), "note": f"{note}{key}"} if table.key else {"line": f"{note}{key}"}
            self._builder.add("r", table, after=cells)
        self._builder.commit()
        return self._builder.take(snapshot=(attempt, table, begin, end))

    def progress(self) -> Batch:
        """A position without changes."""
        end = self.insert(0).positions[0]
        return Batch.progress(end)
