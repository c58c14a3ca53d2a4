"""What a table tells beside its rows is no part of what it is, and outlives every transform."""

from __future__ import annotations

from tailrace._native import BatchBuilder, Column, Mask, Rename, Select, Table, TypeDefinition

MOOD = TypeDefinition("public", "mood", "enum", labels=["low", "high"])


def _table(*, told: bool) -> Table:
    note = {"comment": "a number", "identity": True, "backfill": "7"} if told else {}
    columns = [
        Column("id", "int8", nullable=False, **note),
        Column("m", "enum", native="public.mood"),
        Column("x", "text"),
    ]  # type: ignore[arg-type]
    if not told:
        return Table("public", "t", columns, key=["id"])
    return Table("public", "t", columns, key=["id"], comment="a table", types=[MOOD], oid=16385)


def test_equality_and_hash_ignore_what_is_told_beside_the_rows() -> None:
    plain, told = _table(told=False), _table(told=True)
    assert plain == told
    assert hash(plain) == hash(told)
    assert plain.columns == told.columns
    assert (plain.comment, plain.types, plain.oid, plain.columns[0].identity) == (None, (), None, False)
    assert (told.comment, told.types, told.oid) == ("a table", (MOOD,), 16385)


def test_transforms_hand_on_what_is_told() -> None:
    batch = BatchBuilder("none").take(snapshot=("none", _table(told=True), True, True))
    for transform in (
        Rename({"public.t": "crm.u", "public.t.id": "number"}),
        Select(exclude_columns=["*.x"]),
        Mask(["*.x"], "redact"),
    ):
        mark = transform(batch).snapshot
        assert mark is not None
        assert mark.table is not None
        first = mark.table.columns[0]
        assert (mark.table.comment, mark.table.types, mark.table.oid) == ("a table", (MOOD,), 16385)
        assert (first.comment, first.identity, first.backfill) == ("a number", True, "7")
