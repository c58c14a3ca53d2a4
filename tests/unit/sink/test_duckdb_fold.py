"""What the DuckDB sink makes of folded batches: unchanged cells, keys that change, TRUNCATE between rows."""

import pytest

from tailrace.error import Reject
from tailrace.model import UNCHANGED, Column, Table
from tests.unit.sink.feed import ORDERS
from tests.unit.sink.shop import Shop


def test_an_unchanged_cell_without_a_row_to_take_it_from_is_rejected_by_its_index(shop: Shop) -> None:
    shop.write(shop.feed.insert(1))
    batch = shop.feed.commit(
        ("u", {"id": "1", "note": "x"}), ("c", {"id": "5", "note": "y"}), ("u", {"id": "9", "note": UNCHANGED})
    )
    with pytest.raises(Reject) as caught:
        shop.write(batch)
    assert list(caught.value.reasons) == [2]
    shop.write(batch.without(list(caught.value.reasons)))
    assert shop.rows() == [(1, "x"), (5, "y")]


def test_keys_may_be_swapped_within_a_transaction(shop: Shop) -> None:
    shop.write(shop.feed.insert(1, 2))
    shop.write(
        shop.feed.commit(
            ("u", {"id": "-1", "note": "n1"}, {"id": "1"}),
            ("u", {"id": "1", "note": UNCHANGED}, {"id": "2"}),
            ("u", {"id": "2", "note": UNCHANGED}, {"id": "-1"}),
        )
    )
    assert shop.rows() == [(1, "n2"), (2, "n1")]


@pytest.mark.parametrize(("type", "old", "new"), [
    ("numeric", "1.0", "1.00"), ("jsonb", '{"a": 1.0}', '{"a": 1.00}'), ("timetz", "12:00:00+00", "13:00:00+01"),
])  # fmt: skip
def test_a_key_that_gets_another_spelling_of_an_equal_value_leaves_no_row_behind(
    shop: Shop, type: str, old: str, new: str
) -> None:
    table = Table("public", "t", [Column("k", type, nullable=False), Column("note", "text")], key=["k"])
    shop.write(shop.feed.commit(("c", {"k": old, "note": "a"}), table=table))
    shop.write(shop.feed.commit(("u", {"k": new, "note": UNCHANGED}, {"k": old}), table=table))
    assert shop.rows("public.t", "k::VARCHAR, note") == [(new, "a")]


def test_truncate_empties_the_table_at_its_place_in_the_order(shop: Shop) -> None:
    shop.write(shop.feed.insert(1, 2))
    shop.write(shop.feed.commit(("c", {"id": "3", "note": "a"}), ("t", {}), ("c", {"id": "4", "note": "b"})))
    assert shop.rows() == [(4, "b")]


def test_an_unchanged_cell_keeps_the_target_s_value(shop: Shop) -> None:
    shop.write(shop.feed.insert(1, 2, 3))
    shop.write(
        shop.feed.commit(
            ("u", {"id": "1", "note": UNCHANGED}), ("u", {"id": "2", "note": "new"}), ("u", {"id": "3", "note": None})
        )
    )
    assert shop.rows() == [(1, "n1"), (2, "new"), (3, None)]


def test_a_new_key_takes_unchanged_cells_from_the_row_of_the_old_key(shop: Shop) -> None:
    shop.write(shop.feed.insert(1, 2))
    shop.write(shop.feed.commit(("u", {"id": "7", "note": UNCHANGED}, {"id": "1"})))
    assert shop.rows() == [(2, "n2"), (7, "n1")]


def test_a_table_that_is_described_again_goes_on(shop: Shop) -> None:
    shop.write(shop.feed.insert(1))
    again = Table("public", "orders", ORDERS.columns, key=["id"])
    shop.write(shop.feed.commit(("u", {"id": "1", "note": UNCHANGED}), ("c", {"id": "2", "note": "x"}), table=again))
    assert shop.rows() == [(1, "n1"), (2, "x")]
