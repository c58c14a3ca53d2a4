"""Dead letters that are replayed once their table has another shape: what is there already is not changed for them."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import pytest

from tailrace.error import Reject
from tailrace.model import Batch, Column, Table
from tailrace.sink.duckdb.ledger import Ledger, Record
from tests.unit.sink.feed import ORDERS
from tests.unit.sink.shop import Shop


def _with(*columns: Column) -> Table:
    return Table("public", "orders", [*ORDERS.columns, *columns], key=["id"], oid=7)


def _row(id: int, **cells: str | None) -> tuple[str, Mapping[str, str | None]]:
    return ("c", {"id": str(id), "note": f"n{id}", **cells})


def _replay(shop: Shop, letter: Batch, *, behind: Batch) -> None:
    shop.write(behind.with_changes(list(letter)))


@pytest.mark.parametrize("restart", [True, False])
def test_a_column_that_is_renamed_behind_an_older_letter_is_not_taken_for_new(
    shop: Shop, caplog: pytest.LogCaptureFixture, restart: bool
) -> None:
    shop.write(shop.feed.commit(_row(1), table=_with()))
    letter = shop.feed.commit(_row(9), table=_with())
    was, now = (_with(Column(name, "text", backfill="new", defaulted=True)) for name in ("status", "state"))
    shop.write(last := shop.feed.commit(_row(2, status="paid"), table=was))
    shop.write(last := shop.feed.commit(("u", {"id": "1", "note": "n1", "status": "open"}), table=was))
    _replay(shop, letter, behind=last)
    if restart:
        shop.close()
    with caplog.at_level(logging.WARNING):
        shop.write(shop.feed.commit(_row(3, state="sent"), table=now))
    assert shop.rows(columns="id, state") == [(1, None), (2, None), (3, "sent"), (9, None)]
    assert "it may be an older one that was renamed" in caplog.text


def test_a_column_that_a_letter_brought_and_that_is_renamed_is_not_taken_for_new(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.write(shop.feed.commit(_row(1), table=_with()))
    was, now = (_with(Column(name, "text", backfill="new", defaulted=True)) for name in ("status", "state"))
    letter = shop.feed.commit(_row(9, status="paid"), table=was)
    shop.write(last := shop.feed.progress())
    _replay(shop, letter, behind=last)
    with caplog.at_level(logging.WARNING):
        shop.write(shop.feed.commit(_row(3, state="sent"), table=now))
    assert shop.rows(columns="id, status, state") == [(1, "new", None), (3, None, "sent"), (9, "paid", None)]
    assert "it may be an older one that was renamed" in caplog.text


def test_a_row_from_before_a_column_that_is_not_there_has_null_in_it_and_that_is_told(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.sql("CREATE SCHEMA public; CREATE TABLE public.orders (id BIGINT, note VARCHAR, own INTEGER)")
    shop.write(shop.feed.commit(_row(1), _row(2), _row(4), table=_with()))
    letters = [
        shop.feed.commit(_row(9), ("u", {"id": "1", "note": "again"}), ("d", {"id": "8"}), table=_with()),
        shop.feed.commit(("u", {"id": "7", "note": "n7"}, {"id": "6"}), table=_with()),
        shop.feed.commit(("u", {"id": "5", "note": "n5"}, {"id": "4"}), table=_with()),
    ]
    new = _with(Column("v", "int4", backfill="7", defaulted=True))
    shop.write(last := shop.feed.commit(_row(3, v="8"), table=new))
    with caplog.at_level(logging.WARNING):
        for letter in letters:
            _replay(shop, letter, behind=last)
    assert shop.rows(columns="id, note, v") == [
        (1, "again", 7), (2, "n2", 7), (3, "n3", 8), (5, "n5", 7), (7, "n7", None), (9, "n9", None),
    ]  # fmt: skip
    told = '1 dead letter(s) for "shop"."public"."orders" are from before it had v, and their rows were not there'
    assert [message.startswith(told) for message in caplog.messages] == [True, True]


def test_nothing_is_told_of_a_letter_of_the_table_as_it_is(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    dropped, new = _with(Column("gone", "bool")), _with(Column("v", "int4", backfill="7", defaulted=True))
    shop.write(shop.feed.commit(_row(1, gone="t"), table=dropped))
    letter = shop.feed.commit(_row(9, v="8"), table=new)
    shop.write(last := shop.feed.commit(_row(3, v="8"), table=new))
    with caplog.at_level(logging.WARNING):
        _replay(shop, letter, behind=last)
    assert shop.rows(columns="id, gone, v") == [(1, True, 7), (3, None, 8), (9, None, 8)]
    assert not caplog.messages


@pytest.mark.parametrize("oid", [7, None])
@pytest.mark.parametrize("restart", [True, False])
def test_nothing_is_told_of_a_column_that_was_dropped_again(
    shop: Shop, caplog: pytest.LogCaptureFixture, restart: bool, oid: int | None
) -> None:
    without, there = (
        Table("public", "orders", [*ORDERS.columns, *more], key=["id"], oid=oid)
        for more in ((), (Column("v", "int4"),))
    )
    letter = shop.feed.commit(_row(9), table=without)
    shop.write(shop.feed.commit(_row(1, v="7"), table=there))
    shop.write(last := shop.feed.commit(_row(2), table=without))
    if restart:
        shop.close()
        shop.write(last := shop.feed.progress())
    with caplog.at_level(logging.WARNING):
        _replay(shop, letter, behind=last)
    assert shop.rows(columns="id, v") == [(1, 7), (2, None), (9, None)]
    assert not caplog.messages


def test_what_is_tried_and_rolled_back_is_not_told(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.sql("CREATE SCHEMA public; CREATE TABLE public.orders (id BIGINT CHECK (id <> 8), note VARCHAR)")
    shop.write(shop.feed.commit(_row(1), table=_with()))
    letters = shop.feed.commit(_row(7), _row(8), _row(9), table=_with())
    shop.write(last := shop.feed.commit(_row(2, v="8"), table=_with(Column("v", "int4"))))
    with caplog.at_level(logging.WARNING):
        with pytest.raises(Reject) as caught:
            _replay(shop, letters, behind=last)
        assert list(caught.value.reasons) == [1]
        assert not caplog.messages
        _replay(shop, letters.without([1]), behind=last)
        shop.write(shop.feed.commit(_row(3, v="8"), table=_with(Column("v", "int4"))))
    assert shop.rows(columns="id, v") == [(1, None), (2, 8), (3, 8), (7, None), (9, None)]
    (told,) = caplog.messages
    assert told.startswith("2 dead letter(s) ")


def test_blanks_of_a_text_are_its_own_whatever_it_was_when_a_letter_was_parked(shop: Shop) -> None:
    def codes(type: str) -> Table:
        columns = [Column("code", type, nullable=False), Column("word", type), Column("n", "int4")]
        return Table("public", "codes", columns, key=["code"], oid=7)

    def row(op: str, code: str, word: str, n: int) -> tuple[str, Mapping[str, str | None]]:
        return (op, {"code": code, "word": word, "n": str(n)})

    shop.write(shop.feed.commit(row("c", "a    ", "w    ", 1), table=codes("bpchar(5)")))
    letters = [
        shop.feed.commit(row("u", "a    ", "x    ", 2), row("c", "z    ", "y    ", 3), table=codes("bpchar(5)")),
        shop.feed.commit((*row("u", "q    ", "r    ", 5), {"code": "p    "}), table=codes("bpchar(5)")),
    ]
    shop.write(last := shop.feed.commit(row("c", "b ", "own ", 4), row("c", "p", "own ", 4), table=codes("text")))
    for letter in letters:
        _replay(shop, letter, behind=last)
    assert shop.rows("public.codes", "*") == [("a", "x", 2), ("b ", "own ", 4), ("q", "r", 5), ("z", "y", 3)]
    shop.write(shop.feed.commit(row("u", "z", "later ", 6), table=codes("text")))
    assert shop.rows("public.codes", "*") == [("a", "x", 2), ("b ", "own ", 4), ("q", "r", 5), ("z", "later ", 6)]


def test_the_ledger_is_not_written_for_each_turn_that_versions_take(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the logs of a consumer group fill one table."""
    old, new, newer = (
        Table("public", "orders", [*ORDERS.columns, *(Column(name, "int4") for name in names)], key=["id"])
        for names in ("", "v", "vw")
    )
    shop.write(shop.feed.commit(_row(1), table=old), shop.feed.commit(_row(2, v="2"), table=new))
    written: list[Record] = []
    record = Ledger.record

    def counted(self: Ledger, what: Record) -> None:
        written.append(what)
        record(self, what)

    monkeypatch.setattr(Ledger, "record", counted)
    for n in range(3, 7):
        shop.write(shop.feed.commit(_row(n), table=old), shop.feed.commit(_row(n + 10, v="2"), table=new))
    assert not written
    shop.write(shop.feed.commit(_row(20, v="2", w="3"), table=newer))
    assert len(written) == 1
