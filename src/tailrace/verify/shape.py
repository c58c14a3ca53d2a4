"""What a table becomes on its way through the transforms, learnt by sending one row through them. Never reads a server.

Each cell of that row is a text of its own, so that what comes out tells which column is which, and which was masked.
"""

from __future__ import annotations

from collections.abc import Sequence

from tailrace._native import BatchBuilder
from tailrace.comparison import Field, Shape
from tailrace.contract import Transform
from tailrace.error import Fatal, Reject, TailraceError
from tailrace.model import Batch, Table

__all__ = ["Shaped", "shape", "through"]

_LONG = "x" * 4096
"""Longer than what a truncating mask would leave."""


class Shaped:
    """The outcome for one table: `shape` is None when nothing of it is written, `obstacle` when it cannot be told."""

    def __init__(self, shape: Shape | None, *, masked: tuple[str, ...] = (), obstacle: str | None = None) -> None:
        self.shape = shape
        self.masked = masked
        self.obstacle = obstacle


def through(transforms: Sequence[Transform], batch: Batch) -> Batch:
    """`batch` as the pipeline would write it, without what a transform refuses: that is parked, or ends the run."""
    for transform in transforms:
        batch = _through(transform, batch)
    return batch


def _through(transform: Transform, batch: Batch) -> Batch:
    while True:
        try:
            return transform(batch)
        except Reject as reject:
            batch = batch.without(list(reject.checked(len(batch), "a transform")))
        except TailraceError:
            raise
        except Exception as error:
            raise Fatal(f"a transform raised {type(error).__name__}") from error


def shape(table: Table, transforms: Sequence[Transform], *, masked: bool) -> Shaped:
    """The shape of `table` behind the transforms; columns whose cells they change stay in only with `masked`."""
    tokens = {column.name: f"{number}{_LONG}" for number, column in enumerate(table.columns)}
    empty = through(transforms, _batch(table, None))
    if empty.snapshot is None or empty.snapshot.table is None:
        return Shaped(None)
    written = empty.snapshot.table
    try:
        rows = list(through(transforms, _batch(table, tokens)))
    except TailraceError as error:  # a function that expects real values
        if not masked:
            return Shaped(None, obstacle=f"the transforms cannot be looked through: {error.args[0]}")
        rows = []
    if not rows:
        return _by_place(table, written, masked)
    names = {token: name for name, token in tokens.items()}
    texts = rows[0].after.texts() if rows[0].after is not None else {}
    sources = {column.name: names.get(str(texts[column.name])) for column in written.columns}
    changed = tuple(name for name, source in sources.items() if source is None)
    hidden = [name for name in written.key if name in changed]
    if hidden:
        return Shaped(None, obstacle=f"its key {', '.join(hidden)} is masked")
    fields = tuple(
        Field(sources[column.name] or column.name, column.name, column.type, column.native)
        for column in written.columns
        if masked or column.name not in changed
    )
    if [sources[name] for name in written.key] != list(table.key):
        return Shaped(None, obstacle="its key is another one behind the transforms")
    return Shaped(Shape(written.schema, written.name, fields, written.key), masked=() if masked else changed)


def _by_place(table: Table, written: Table, masked: bool) -> Shaped:
    """A function dropped the row or could not read it: the key must be the same columns, and rows go through it."""
    if not masked:
        return Shaped(None, obstacle="a transform drops rows, which this target cannot be asked about")
    if len(written.key) != len(table.key):
        return Shaped(None, obstacle="its key is another one behind the transforms")
    sources = dict(zip(written.key, table.key, strict=True))
    fields = tuple(
        Field(sources.get(column.name, column.name), column.name, column.type, column.native)
        for column in written.columns
    )
    return Shaped(Shape(written.schema, written.name, fields, written.key))


def _batch(table: Table, cells: dict[str, str] | None) -> Batch:
    builder = BatchBuilder("verify")
    if cells is not None:
        builder.begin(xid=0, committed_at_us=0)
        builder.add("r", table, after=cells)
        builder.commit()
    return builder.take(snapshot=("verify", table, True, True))
