"""Every transform keeps the contract of `Transform`: it drops and alters changes; it moves neither them nor the end."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tailrace.contract import Transform
from tailrace.model import Batch, Change, Table
from tailrace.transform import MapArrow, MapChanges, Mask, Rename, Select
from tests.unit.sink.feed import NOTES, Feed

TRANSFORMS: dict[str, Transform] = {
    "select": Select(tables=("public.orders",), ops="cd"),
    "select nothing": Select(tables=("no.such",)),
    "mask": Mask(("public.*.note",), "hash", "salt"),
    "rename": Rename({"public.orders": "shop.sales", "public.orders.note": "said"}),
    "map_changes": MapChanges(lambda change: None if _number(change) == 2 else change.replace(after=change.after)),
    "map_arrow": MapArrow(lambda table, stream: _without_the_first(table, stream)),
    "a function": lambda batch: batch.without([0]),
}


def _number(change: Change) -> int | None:
    return change.key["id"] if change.key is not None else None


def _without_the_first(table: Table, stream: object) -> pa.Table:
    return pa.table(stream).slice(1)


def _several() -> list[Batch]:
    """Transactions of several tables, one with an update of its key and a delete, and progress behind them."""
    feed = Feed()
    one, two = {"id": "1", "note": "a"}, {"id": "2", "note": "b"}
    first = feed.commit(("c", one), ("c", two), ("u", {"id": "1", "note": "c"}))
    second = feed.commit(("c", {"line": "x"}), ("c", {"line": "y"}), table=NOTES)
    third = feed.commit(("u", {"id": "3", "note": "d"}, {"id": "2"}), ("d", {"id": "1"}), ("c", one))
    return [*Batch.merge([first, second, third]), feed.insert(7), feed.progress()]


@pytest.mark.parametrize("name", TRANSFORMS)
def test_i3_i7_a_transform_keeps_positions_and_order(name: str) -> None:
    for batch in _several():
        if not len(batch):
            continue
        given = [change.position for change in batch]
        out = TRANSFORMS[name](batch)
        left = [change.position for change in out]
        assert out.positions == batch.positions
        assert left == [position for position in given if position in left]
        assert [change.position for change in batch] == given


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_transform_gives_the_same_again(name: str) -> None:
    """A batch is offered again after a fault (I4)."""
    for batch in filter(len, _several()):
        once, twice = TRANSFORMS[name](batch), TRANSFORMS[name](batch)
        assert [_said(change) for change in once] == [_said(change) for change in twice]


def _said(change: Change) -> tuple[object, ...]:
    images = (change.key, change.before, change.after)
    return change.op, change.position, str(change.table), *(image and image.texts() for image in images)
