"""Constraints that somebody added to a DuckDB target, and values that it does not read: the change is refused, and
named."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tailrace.comparison import Field, Mirror, Shape
from tailrace.error import Fatal, Reject
from tailrace.model import Batch, Column, Table
from tailrace.sink.duckdb.view import DuckDBImage
from tests.unit.sink.feed import NOTES
from tests.unit.sink.shop import Shop


@pytest.fixture
def strict(tmp_path: Path) -> Shop:
    """A target that somebody made, and filled, with constraints that the source does not have."""
    shop = Shop(tmp_path / "s.duckdb", existing="append")
    shop.sql("CREATE SCHEMA public")
    shop.sql("CREATE TABLE public.shelves (note VARCHAR PRIMARY KEY)")
    shop.sql("INSERT INTO public.shelves SELECT 'n' || n FROM range(3000) r(n)")
    shop.sql(
        "CREATE TABLE public.orders (id BIGINT, note VARCHAR NOT NULL CHECK (length(note) < 6) UNIQUE"
        " REFERENCES public.shelves)"
    )
    return shop


def _refused(shop: Shop, batch: Batch) -> dict[int, str]:
    before = shop.rows()
    with pytest.raises(Reject) as caught:
        shop.write(batch)
    assert shop.rows() == before, "nothing of a batch that is refused may stay"
    return dict(caught.value.reasons)


def _with(shop: Shop, *bad: tuple[int, str | None]) -> Batch:
    """1000 rows in one transaction, those at these indexes with another note."""
    notes: dict[int, str | None] = {key: f"n{key}" for key in range(1000)} | dict(bad)
    return shop.feed.commit(*(("c", {"id": str(key), "note": note}) for key, note in notes.items()))


@pytest.mark.parametrize(
    ("index", "note", "told"),
    [
        (0, "too long", "CHECK constraint failed on table"),
        (700, "too long", "CHECK constraint failed on table"),
        (999, None, "NOT NULL constraint failed: orders.note"),
        (512, "n3", "a unique or foreign key of the target"),
        (511, "lost", "a unique or foreign key of the target"),
    ],
)
def test_the_change_that_breaks_one_is_refused_and_all_others_go_in(
    strict: Shop, index: int, note: str | None, told: str
) -> None:
    batch = _with(strict, (index, note))
    [(found, reason)] = _refused(strict, batch).items()
    assert found == index and told in reason and reason.endswith("in public.orders")
    strict.write(batch.without([found]))
    assert [key for key, _ in strict.rows()] == [key for key in range(1000) if key != index]


def test_one_after_another_is_found(strict: Shop) -> None:
    batch = _with(strict, (3, "too long"), (4, None), (998, "n1"))
    found: list[int] = []
    while len(found) < 3:
        [index] = _refused(strict, batch.without(found))
        kept = [index for index in range(1000) if index not in found]
        found.append(kept[index])
    strict.write(batch.without(found))
    assert found == [3, 4, 998] and len(strict.rows()) == 997


def test_i9_the_reason_names_no_value_of_a_row(strict: Shop) -> None:
    for note in ("secret value", "n2", "a7b"):
        reasons = _refused(strict, _with(strict, (1, note)))
        assert not any(note in reason for reason in reasons.values())


def test_an_update_and_a_row_of_a_table_without_key_are_found_too(strict: Shop) -> None:
    strict.sql("CREATE TABLE public.notes (line VARCHAR CHECK (line <> 'b'), _op VARCHAR, _position VARCHAR,"
               " _committed_at TIMESTAMPTZ)")  # fmt: skip
    strict.write(_with(strict))
    assert [*_refused(strict, strict.feed.commit(("d", {"id": "5"}), ("u", {"id": "1", "note": "n2"})))] == [1]
    assert [*_refused(strict, _lines(strict, "abc"))] == [1]
    strict.write(_lines(strict, "acd"))


DOCUMENTS = Table("public", "docs", [Column("id", "int8", nullable=False), Column("doc", "json")], key=["id"])
LONE = '["\\ud83d"]'
"""Half of a pair, as JavaScript leaves it in a text that it has cut: PostgreSQL's json takes it, DuckDB's does not."""


def test_a_value_that_duckdb_does_not_read_is_refused_alone(shop: Shop) -> None:
    rows = [("c", {"id": str(key), "doc": LONE if key == 7 else "[1]"}) for key in range(100)]
    batch = shop.feed.commit(*rows, table=DOCUMENTS)
    with pytest.raises(Reject) as caught:
        shop.write(batch)
    [(index, reason)] = caught.value.reasons.items()
    assert index == 7 and "ud83d" not in reason and reason.endswith("in public.docs")
    shop.write(batch.without([7]))
    assert shop.rows("public.docs", "count(*)") == [(99,)]


def test_verify_counts_a_row_that_duckdb_does_not_read(shop: Shop) -> None:
    fields = tuple(Field(column.name, column.name, column.type, column.type) for column in DOCUMENTS.columns)
    mirror = Mirror(Shape("public", "docs", fields, ("id",)), "public", "docs", ("BIGINT", "JSON"))
    rows = [("c", {"id": str(key), "doc": LONE if key == 7 else "[1]"}) for key in range(9)]
    batch = shop.feed.commit(*rows, table=DOCUMENTS)
    with closing(DuckDBImage("64MB")) as image:
        assert image.checksum(mirror, iter([batch])).rows == 9
        digests = dict(image.digests(mirror, iter([batch])))
    assert len(digests) == 9 and [key for key, digest in digests.items() if digest == "cannot be held"] == [("7",)]


def _lines(shop: Shop, lines: Sequence[str]) -> Batch:
    return shop.feed.commit(*(("c", {"line": line}) for line in lines), table=NOTES)


def test_a_snapshot_into_rows_of_others_is_fatal_where_its_end_breaks_one(strict: Shop) -> None:
    """The rows wait beside the target until the first batch behind the snapshot, which has no change to refuse."""
    strict.sql("INSERT INTO public.orders VALUES (-1, 'n7')")
    strict.write(strict.feed.snapshot("a", 5, 7, begin=True, end=True, note="n"))
    with pytest.raises(Fatal, match="a unique or foreign key of the target"):
        strict.write(strict.feed.insert(8))
    assert strict.rows() == [(-1, "n7")]


def test_a_row_of_a_snapshot_is_found(strict: Shop) -> None:
    rows = strict.feed.snapshot("a", 5, 9999, begin=True, end=True, note="n")
    assert [*_refused(strict, rows)] == [1]
    strict.write(rows.without([1]))
    assert strict.rows() == [(5, "n5")]
