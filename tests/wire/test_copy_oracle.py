"""The decoder of COPY against the slow one: rows as a server writes them, and rows that none would write."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tailrace._native import Batch, Chunk, Column, CopyRows, Table
from tests.wire import copied, native
from tests.wire.oracle import NOT_UTF8, Image, Malformed

_FIRST_ORDINAL = 5
_TEXT = st.text(st.sampled_from("\\\t\n\r\b\f\v\x01N.xé💧 0a7") | st.characters(exclude_categories=["Cs"]), max_size=8)
_VALUES = st.one_of(st.none(), _TEXT.map(lambda text: text.encode().replace(b"\0", b"")))
_PIECES = st.sampled_from(
    [
        b"\\",
        b"\\",
        b"\\N",
        b"\\x",
        b"\\.",
        b"N",
        b"n",
        b"t",
        b"x",
        b"0",
        b"7",
        b"8",
        b"4",
        b"f",
        b"F",
        b"g",
        b"\r",
        b"\x80",
    ]
)
_TORN = st.lists(_PIECES | st.sampled_from([b"\t", b"\t", b"\n", b"a"]), max_size=10).map(b"".join)


@st.composite
def tables(draw: st.DrawFn) -> tuple[int, list[list[bytes | None]]]:
    """A number of columns, and rows of it."""
    columns = draw(st.integers(0, 4))
    return columns, draw(st.lists(st.lists(_VALUES, min_size=columns, max_size=columns), max_size=7))


def decode(columns: int, feeds: Sequence[Sequence[bytes]], *, segment_bytes: int = 1 << 20) -> list[Batch]:
    """All batches of a table, asked for after each feed."""
    table = Table("public", "t", [Column(f"c{index}", "text") for index in range(columns)])
    decoder = CopyRows(
        "postgres/1/db/slot",
        table,
        database="db",
        attempt="a",
        lsn=256,
        timeline=1,
        xid=9,
        at_us=5,
        first_ordinal=_FIRST_ORDINAL,
        first_table=True,
        segment_bytes=segment_bytes,
    )
    batches = []
    for messages in feeds:
        decoder.feed(Chunk.of(messages))
        batches.append(decoder.take())
    return [batch for batch in (*batches, decoder.finish(last_table=True)) if batch is not None]


def image(cells: Sequence[bytes | None]) -> Image:
    try:
        return {f"c{index}": None if cell is None else cell.decode() for index, cell in enumerate(cells)}
    except UnicodeDecodeError:
        return NOT_UTF8


def images(batches: Sequence[Batch]) -> list[Image | None]:
    return [row.after for batch in batches for row in native.rows_of(batch)]


@settings(max_examples=300, deadline=None)
@given(table=tables(), cuts=st.lists(st.integers(0, 7), max_size=5), segment_bytes=st.sampled_from([1, 60, 1 << 20]))
def test_rows_of_a_server_read_as_they_were_however_they_come(
    table: tuple[int, list[list[bytes | None]]], cuts: list[int], segment_bytes: int
) -> None:
    columns, rows = table
    messages = [copied.written(row) for row in rows]
    assert [copied.row(message, columns) for message in messages] == rows
    feeds = [messages[start:end] for start, end in pairwise(sorted({0, len(messages), *cuts}))]
    batches = decode(columns, feeds, segment_bytes=segment_bytes)
    assert images(batches) == [image(row) for row in rows]
    positions = [row.position for batch in batches for row in native.rows_of(batch)]
    ordinals = [position.split("/")[0].split(".")[1:] for position in positions]
    assert ordinals == [["0", f"{_FIRST_ORDINAL + index:012}"] for index in range(len(rows))]
    marks = [(batch.snapshot.begin, batch.snapshot.end) for batch in batches if batch.snapshot]
    assert marks == [(at == 0, at == len(batches) - 1) for at in range(len(batches))]


def test_every_cut_of_the_messages_gives_the_same_rows() -> None:
    messages = [
        copied.written(row) for row in ([b"", None], [b"\\N", b"\\"], [b"\t", b""], [None, b"\\\\N"], [b"a", b"b"])
    ]
    whole = images(decode(2, [messages]))
    assert whole == [image(copied.row(message, 2)) for message in messages]
    for cuts in range(1 << (len(messages) - 1)):
        feeds: list[list[bytes]] = [[]]
        for index, message in enumerate(messages):
            feeds[-1].append(message)
            if cuts >> index & 1:
                feeds.append([])
        assert images(decode(2, feeds)) == whole


@settings(max_examples=1_000, deadline=None)
@given(columns=st.integers(0, 3), messages=st.lists(_TORN, max_size=3), ended=st.booleans())
@example(columns=1, messages=[b"\\777\\xfg\\8\\x"], ended=True)
@example(columns=1, messages=[b"\\"], ended=True)
@example(columns=1, messages=[b"\\N\\N"], ended=True)
def test_i10_what_no_server_writes_is_read_or_refused_as_the_oracle_does(
    columns: int, messages: list[bytes], ended: bool
) -> None:
    rows = [message + b"\n" if ended else message for message in messages]
    try:
        expected = [image(copied.row(row, columns)) for row in rows]
    except Malformed:
        with pytest.raises(ValueError):
            decode(columns, [rows])
    else:
        assert images(decode(columns, [rows])) == expected
