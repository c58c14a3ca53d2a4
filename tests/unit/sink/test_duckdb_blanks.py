"""A char(n) that becomes another text, or the other way: the rows that are there change with it, as at the source."""

from tailrace.model import UNCHANGED, Batch, Column, Table
from tests.unit.sink.shop import Shop


def _codes(type: str) -> Table:
    columns = [Column("code", type, nullable=False), Column("word", type), Column("n", "int4")]
    return Table("public", "codes", columns, key=["code"])


def test_rows_find_their_key_when_a_char_becomes_a_text_and_back(shop: Shop) -> None:
    wide, text, wider = _codes("bpchar(5)"), _codes("text"), _codes("bpchar(8)")
    shop.write(shop.feed.commit(("c", {"code": "ab   ", "word": " w   ", "n": "1"}),
                                ("c", {"code": "c    ", "word": None, "n": "2"}), table=wide))  # fmt: skip
    shop.close()  # the pipeline may be stopped meanwhile
    shop.write(shop.feed.commit(("u", {"code": "ab", "word": UNCHANGED, "n": "3"}), table=text))
    assert shop.rows("public.codes", "*") == [("ab", " w", 3), ("c", None, 2)]
    shop.write(shop.feed.commit(("u", {"code": "c       ", "word": "v       ", "n": "4"}), table=wider))
    assert shop.rows("public.codes", "*") == [("ab      ", " w      ", 3), ("c       ", "v       ", 4)]


def test_older_rows_of_the_same_batch_change_too(shop: Shop) -> None:
    wide, text = _codes("bpchar(5)"), _codes("text")
    shop.write(shop.feed.commit(("c", {"code": "a    ", "word": "w    ", "n": "1"}), table=wide))
    batches = [
        shop.feed.commit(("u", {"code": "a    ", "word": "v    ", "n": "2"}), table=wide),
        shop.feed.commit(("c", {"code": "b    ", "word": "w    ", "n": "3"}), table=wide),
        shop.feed.commit(("u", {"code": "a", "word": UNCHANGED, "n": "4"}), ("d", {"code": "b"}), table=text),
        shop.feed.commit(("c", {"code": "b ", "word": "blank ", "n": "5"}), table=text),
    ]
    shop.write(*Batch.merge(batches))
    assert shop.rows("public.codes", "*") == [("a", "v", 4), ("b ", "blank ", 5)]


def test_blanks_of_a_text_are_its_own(shop: Shop) -> None:
    for n in range(2):
        shop.write(shop.feed.commit(("c", {"code": f"a{n}  ", "word": "w  ", "n": "1"}), table=_codes("text")))
        shop.close()
    assert shop.rows("public.codes", "code, word") == [("a0  ", "w  "), ("a1  ", "w  ")]
