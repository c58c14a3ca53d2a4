"""Whether a page of the log can be the one in which a position was: only what is certain tells it from another."""

from __future__ import annotations

import struct

import pytest

from tailrace.source.postgres.place import PROGRESS, ROW, Place
from tailrace.source.postgres.wal import contradicts

BEGIN = 0x5000000 + 8192
SIZES = (64, 34, 120, 50)
"""Bytes of the records, in which the next one begins at 64, 40, 120 and 56 bytes more."""


def page(*, left: int = 0, address: int = BEGIN, sizes: tuple[int, ...] = SIZES) -> bytes:
    """A page that goes on with `left` bytes of a record and has these behind it."""
    log = struct.pack("<HHIQI4x", 0xD118, 1 if left else 0, 1, address, left) + bytes((left + 7) // 8 * 8)
    for nbytes in sizes:
        log += struct.pack("<IIQBBxxI", nbytes, 700, 0, 0, 1, 0).ljust((nbytes + 7) // 8 * 8, b"x")
    return log


def at(end: int, *, begun: int | None = None) -> Place:
    """Behind a commit that began at `begun`, or where nothing but records of others ended."""
    lsn, phase = (end, PROGRESS) if begun is None else (begun, ROW)
    return Place(BEGIN + lsn, phase, 0, 1, BEGIN + end)


def told(place: Place, log: bytes) -> bool:
    return contradicts(log[: place.end - BEGIN], BEGIN, place)


@pytest.mark.parametrize("end", [24, 88, 128, 248, 304])
def test_a_place_between_two_records_may_be_of_this_log(end: int) -> None:
    assert not told(at(end), page())


@pytest.mark.parametrize("end", [32, 80, 96, 120, 240, 296])
def test_a_place_within_a_record_is_of_another_log(end: int) -> None:
    assert told(at(end), page())


def test_a_commit_begins_where_a_record_does() -> None:
    assert not told(at(128, begun=88), page())
    assert told(at(128, begun=96), page())
    assert not told(at(128, begun=-40), page(left=100)), "it began on a page before"


def test_a_record_of_the_page_before_is_counted() -> None:
    assert not told(at(128), page(left=100))
    assert told(at(120), page(left=100))
    assert not told(at(128 + 64), page(left=100))
    assert told(at(8192), page(left=20_000_000, sizes=())), "it goes on behind this page too"


@pytest.mark.parametrize("log", [page(address=BEGIN + 8192), page(sizes=()) + bytes(400), bytes(400)])
def test_what_is_no_page_of_records_tells_nothing(log: bytes) -> None:
    assert not told(at(96), log)
