"""Both decoders on conversations that no server ever held: made by hypothesis, sound and damaged."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wire import native
from tests.wire.native import Limits
from tests.wire.oracle import NOT_UTF8, UNCHANGED, Image, Malformed, Oracle

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
_CELLS = st.lists(st.one_of(st.none(), st.just(UNCHANGED), _TEXT), min_size=3, max_size=3)
_OID = 16_384


@pytest.fixture(scope="module")
def spill_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def xlog(payload: bytes, lsn: int = 0) -> bytes:
    return b"w" + struct.pack("!QQq", lsn, lsn, 123_456) + payload


def image(cells: list[str | None]) -> bytes:
    parts = [struct.pack("!H", len(cells))]
    for cell in cells:
        if cell is None:
            parts.append(b"n")
        elif cell == UNCHANGED:
            parts.append(b"u")
        else:
            parts.append(b"t" + struct.pack("!I", len(cell.encode())) + cell.encode())
    return b"".join(parts)


def relation(xid: bytes, key: int) -> bytes:
    columns = [bytes([index <= key]) + f"c{index}\0".encode() + struct.pack("!Ii", 25, -1) for index in range(3)]
    return xlog(b"R" + xid + struct.pack("!I", _OID) + b"public\0t\0d\0\3" + b"".join(columns))


@st.composite
def changes(draw: st.DrawFn, xid: bytes) -> bytes:
    """A row, a TRUNCATE or a transactional message."""
    head = xid + struct.pack("!I", _OID)
    old = draw(st.sampled_from(b"KO").map(lambda tag: bytes([tag]))) + image(draw(_CELLS))
    new = b"N" + image(draw(_CELLS))
    flags = draw(st.integers(0, 3))
    options = {
        "insert": b"I" + head + new,
        "update": b"U" + head + draw(st.sampled_from([b"", old])) + new,
        "delete": b"D" + head + old,
        "truncate": b"T" + xid + struct.pack("!IB", 2, flags) + 2 * struct.pack("!I", _OID),
        "message": b"M" + xid + struct.pack("!BQ", 1, 5) + b"p\0" + struct.pack("!I", 3) + b"abc",
    }
    return xlog(options[draw(st.sampled_from(sorted(options)))], lsn=draw(st.integers(0, 1 << 40)))


@st.composite
def conversations(draw: st.DrawFn) -> list[bytes]:
    """Plain and streamed transactions, savepoints, messages outside of transactions, keepalives."""
    messages: list[bytes] = [relation(b"", draw(st.integers(0, 2)))]
    open_streams: set[int] = set()
    lsn = 1_000
    for _ in range(draw(st.integers(1, 8))):
        lsn += 16
        xid = draw(st.integers(1, 3))
        stop = struct.pack("!BQQq", 0, lsn, lsn + 8, 55)
        match draw(st.sampled_from(["plain", "block", "block", "commit", "abort", "rollback", "message", "keepalive"])):
            case "plain":
                messages.append(xlog(b"B" + struct.pack("!QqI", lsn, 55, 77)))
                messages += draw(st.lists(st.just(xlog(b"O" + bytes(8) + b"far\0")), max_size=1))
                messages += draw(st.lists(changes(b""), max_size=4))
                messages.append(xlog(b"C" + stop))
            case "block":
                messages.append(xlog(b"S" + struct.pack("!IB", xid, xid not in open_streams)))
                open_streams.add(xid)
                sub = struct.pack("!I", xid * 10 + draw(st.integers(0, 2)))
                messages += draw(st.lists(st.just(relation(sub, 1)), max_size=1))
                messages += draw(st.lists(changes(sub), max_size=4))
                messages.append(xlog(b"E"))
            case "commit" if xid in open_streams:
                messages.append(xlog(b"c" + struct.pack("!I", xid) + stop))
                open_streams.discard(xid)
            case "abort":
                messages.append(xlog(b"A" + struct.pack("!II", xid, xid) + draw(st.sampled_from([b"", bytes(16)]))))
                open_streams.discard(xid)
            case "rollback":
                messages.append(xlog(b"A" + struct.pack("!II", xid, xid * 10 + draw(st.integers(1, 2)))))
            case "message":
                messages.append(xlog(b"M\0" + struct.pack("!Q", lsn) + b"p\0" + struct.pack("!I", 1) + b"c"))
            case "keepalive":
                messages.append(b"k" + struct.pack("!QqB", lsn, 0, 1))
    return messages


@st.composite
def damaged(draw: st.DrawFn) -> list[bytes]:
    """A conversation with bytes changed, messages cut, doubled or left out."""
    messages = draw(conversations())
    for _ in range(draw(st.integers(1, 3))):
        index = draw(st.integers(0, len(messages) - 1))
        message = messages[index]
        match draw(st.sampled_from(["byte", "cut", "double", "drop"])):
            case "byte" if message:
                at = draw(st.integers(0, len(message) - 1))
                messages[index] = message[:at] + bytes([draw(st.integers(0, 255))]) + message[at + 1 :]
            case "cut":
                messages[index] = message[: draw(st.integers(0, len(message)))]
            case "double":
                messages.insert(index, message)
            case "drop" if len(messages) > 1:
                del messages[index]
    return messages


_LIMITS = st.builds(
    Limits,
    segment_bytes=st.sampled_from([1, 200, 1 << 20]),
    transaction_bytes_max=st.sampled_from([1, 500, 1 << 20]),
    chunk_messages=st.integers(1, 30),
)


@settings(max_examples=300, deadline=None)
@given(messages=conversations(), limits=_LIMITS)
def test_the_decoder_agrees_with_the_oracle(messages: list[bytes], limits: Limits, spill_dir: Path) -> None:
    oracle = Oracle()
    oracle.feed(messages)
    decoded = native.decode(messages, limits, spill_dir)
    assert decoded.rows == oracle.rows
    assert (decoded.ends[-1][0] if decoded.ends else None) == oracle.end
    assert decoded.received == oracle.received


@settings(max_examples=600, deadline=None)
@given(messages=damaged())
def test_i10_the_decoder_refuses_exactly_what_the_oracle_refuses(messages: list[bytes], spill_dir: Path) -> None:
    oracle = Oracle()
    try:
        oracle.feed(messages)
    except (Malformed, UnicodeDecodeError):
        with pytest.raises(ValueError):
            native.decode(messages, Limits(), spill_dir)
    else:
        rows = [replace(row, before=_readable(row.before), after=_readable(row.after)) for row in oracle.rows]
        assert native.decode(messages, Limits(), spill_dir).rows == rows


def _readable(image: Image | None) -> Image | None:
    """What Python can show of an image: nothing, when a cell is not UTF-8."""
    try:
        "".join(cell for cell in (image or {}).values() if isinstance(cell, str)).encode()
    except UnicodeEncodeError:
        return NOT_UTF8
    return image


def test_a_cell_that_is_not_utf8_is_kept_and_cannot_be_read_as_text(spill_dir: Path) -> None:
    relation = xlog(b"R" + b"\0\0@\0public\0t\0d\0\1" + b"\1c0\0" + bytes([0, 0, 0, 25]) + b"\xff\xff\xff\xff")
    begin = xlog(b"B" + (1032).to_bytes(8) + bytes(8) + (77).to_bytes(4))
    insert = xlog(b"I\0\0@\0N\0\1t\0\0\0\1\x80")
    commit = xlog(b"C\0" + (1032).to_bytes(8) + (1040).to_bytes(8) + bytes(8))
    [row] = native.decode([relation, begin, insert, commit], Limits(), spill_dir).rows
    assert row.after is NOT_UTF8
