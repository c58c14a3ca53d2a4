"""Every built-in transform over cells that were not sent (unchanged TOAST), over deletes and over TRUNCATE."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

import pyarrow as pa
import pytest

from tailrace.contract import Transform
from tailrace.model import UNCHANGED, Batch, Change, Row, Table, Unchanged
from tailrace.transform import MapArrow, MapChanges, Mask, Rename, Select
from tests.unit.sink.feed import Feed

Image = Mapping[str, str | Unchanged | None] | None


def given() -> Batch:
    """An insert, an update whose note was not sent, one that changes the key too, a delete by key, one with the whole
    old row, a TRUNCATE."""
    return Feed().commit(
        ("c", {"id": "1", "note": "secret"}),
        ("u", {"id": "1", "note": UNCHANGED}),
        ("u", {"id": "2", "note": UNCHANGED}, {"id": "1"}),
        ("d", {"id": "2"}),
        ("d", {"id": "3", "note": "secret"}),
        ("t", {}),
    )  # fmt: skip


def seen(batch: Batch) -> list[tuple[str, Image, Image]]:
    return [(change.op, _image(change.before), _image(change.after)) for change in batch]


def _image(row: Row | None) -> Image:
    return None if row is None else dict(row.texts())


def hashed(text: str) -> str:
    return hmac.new(b"salt", text.encode(), hashlib.sha256).hexdigest()


def expected(
    note: str | None = "secret", *, column: str = "note", one: str = "1", two: str = "2", three: str = "3"
) -> list[tuple[str, Image, Image]]:
    """What `given` is after a transform that makes this of the note and of the keys."""
    return [
        ("c", None, {"id": one, column: note}),
        ("u", None, {"id": one, column: UNCHANGED}),
        ("u", {"id": one}, {"id": two, column: UNCHANGED}),
        ("d", {"id": two}, None),
        ("d", {"id": three, column: note}, None),
        ("t", None, None),
    ]


def without_note(op: str, before: Image, after: Image) -> tuple[str, Image, Image]:
    left = [None if image is None else {"id": image["id"]} for image in (before, after)]
    return op, left[0], left[1]


def touch_nothing(change: Change) -> Change:
    return change


def write_the_key_again(change: Change) -> Change:
    return change if change.after is None else change.replace(after={"id": change.after["id"]})


def fill_in(change: Change) -> Change:
    after = change.after
    return change.replace(after={"note": "filled"}) if after is not None and after["note"] is UNCHANGED else change


def same(table: Table, stream: object) -> object:
    return pa.table(stream)


def shout(table: Table, stream: object) -> object:
    found = pa.table(stream)
    at = found.schema.get_field_index("note")
    return found.set_column(at, "note", pa.array([text and text.upper() for text in found["note"].to_pylist()]))


NOTE = ("public.orders.note",)
FILLED = expected()
FILLED[1:3] = [("u", None, {"id": "1", "note": "filled"}), ("u", {"id": "1"}, {"id": "2", "note": "filled"})]
CASES: dict[str, tuple[Transform, list[tuple[str, Image, Image]]]] = {
    "mask redact": (Mask(NOTE), expected(None)),
    "mask hash": (Mask(NOTE, "hash", "salt"), expected(hashed("secret"))),
    "mask hash of the key": (
        Mask(("*.id",), "hash", "salt"),
        expected(one=hashed("1"), two=hashed("2"), three=hashed("3")),
    ),
    "mask truncate": (Mask(NOTE, "truncate", length=3), expected("sec")),
    "rename the column": (Rename({"public.orders.note": "remark"}), expected(column="remark")),
    "rename the table": (Rename({"public.orders": "shop.sales"}), expected()),
    "select tables": (Select(tables=("public.*",)), expected()),
    "select other tables": (Select(exclude_tables=("public.orders",)), []),
    "drop the column": (Select(exclude_columns=NOTE), [without_note(*change) for change in expected()]),
    "select updates": (Select(ops="u"), expected()[1:3]),
    "select deletes and truncates": (Select(ops="dt"), expected()[3:]),
    "map_changes": (MapChanges(touch_nothing), expected()),
    "map_changes that writes": (MapChanges(write_the_key_again), expected()),
    "map_changes that fills in": (MapChanges(fill_in), FILLED),
    "map_arrow": (MapArrow(same), expected()),
    "map_arrow that writes": (MapArrow(shout), expected("SECRET")),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_unsent_cells_stay_unsent_deletes_keep_their_images_and_truncate_its_place(case: str) -> None:
    transform, wanted = CASES[case]
    batch = given()
    result = transform(batch)
    assert seen(result) == wanted
    assert result.positions == batch.positions
    left = {change.position: change.op for change in batch}
    assert all(left[change.position] == change.op for change in result)
