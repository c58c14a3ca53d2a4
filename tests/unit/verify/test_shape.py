"""What verify learns of transforms by sending one row through them."""

from __future__ import annotations

import pytest

from tailrace import transform
from tailrace.contract import Transform
from tailrace.error import Reject
from tailrace.model import Batch, Change, Column, Table
from tailrace.verify.shape import shape, through
from tests.unit.native.made import made

PEOPLE = Table(
    "public",
    "people",
    [Column("id", "int4", nullable=False), Column("email", "text"), Column("age", "int4")],
    key=["id"],
)


def named(*transforms: Transform, masked: bool = False) -> list[tuple[str, str]] | str | None:
    """Columns by their names at the source and as written; the obstacle; None for what is not written."""
    found = shape(PEOPLE, transforms, masked=masked)
    if found.shape is None:
        return found.obstacle
    return [(field.source, field.name) for field in found.shape.fields]


def test_columns_are_followed_through_renames_and_selections() -> None:
    steps = (
        transform.Rename(names={"public.people": "crm.person", "public.people.id": "number"}),
        transform.Select(exclude_columns=("crm.person.age",)),
    )
    assert named(*steps) == [("id", "number"), ("email", "email")]
    found = shape(PEOPLE, steps, masked=False).shape
    assert found is not None
    assert (found.schema, found.name, found.key) == ("crm", "person", ("number",))
    assert named(transform.Select(exclude_tables=("public.people",))) is None


@pytest.mark.parametrize(
    "mask",
    [
        transform.Mask(columns=("*.email",)),
        transform.Mask(columns=("*.email",), method="hash", salt="s"),
        transform.Mask(columns=("*.email",), method="truncate", length=3),
    ],
)
def test_masked_columns_are_left_out_unless_rows_go_through_the_mask(mask: Transform) -> None:
    assert named(mask) == [("id", "id"), ("age", "age")]
    assert shape(PEOPLE, (mask,), masked=False).masked == ("email",)
    assert named(mask, masked=True) == [("id", "id"), ("email", "email"), ("age", "age")]


def test_a_masked_key_cannot_be_compared() -> None:
    mask = transform.Mask(columns=("*.id",), method="hash", salt="s")
    assert "its key id is masked" in str(named(mask))


def older(change: Change) -> Change:
    """Reads a number, which the row that is sent has none of."""
    assert change.after is not None
    return change.replace(after={"age": change.after["age"] + 1})


def test_a_function_is_asked_only_where_rows_go_through_it() -> None:
    assert "cannot be looked through" in str(named(transform.map_changes(older)))
    assert named(transform.map_changes(older), masked=True) == [("id", "id"), ("email", "email"), ("age", "age")]


def refuse_second(batch: Batch) -> Batch:
    """Refuses the row of number 2."""
    wrong = [index for index, change in enumerate(batch) if change.after and change.after["id"] == 2]
    if wrong:
        raise Reject(dict.fromkeys(wrong, "not wanted"))
    return batch


def test_rows_that_a_transform_refuses_are_not_written() -> None:
    row = {"email": None, "age": None}
    batch = made(*(("r", None, {"id": str(number), **row}) for number in (1, 2, 3)), table=PEOPLE)
    assert [change.after["id"] for change in through((refuse_second,), batch) if change.after] == [1, 3]
