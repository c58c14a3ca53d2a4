"""Looks at records of the log, as a physical standby would get them. Never reads what they hold.

Layouts are those of PostgreSQL's `access/xlog_internal.h` and `access/xlogrecord.h`: pages of a header, which says how
much of a record of the page before goes on here, then records of a header (length, transaction, place of the record
before) and content, each aligned to 8.
"""

from __future__ import annotations

import logging
import struct
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from tailrace.dialect.postgres.session import Connection, Login, fetch
from tailrace.error import Fatal, TailraceError
from tailrace.source.postgres import host
from tailrace.source.postgres.place import ROW, Place, format_lsn
from tailrace.source.postgres.walsender import Walsender

_log = logging.getLogger("tailrace.source.postgres")
FRAME_BYTES_MAX = 1 << 20
"""Of a walsender that is asked for a few records."""
_PAGE_HEADER_BYTES, _LATER_HEADER_BYTES = 40, 24
"""Of a segment's first page, and of the others."""
_PAGE = struct.Struct("<HHIQI")
_CONTINUES, _FIRST = 0x0001, 0x0002
_RECORD = struct.Struct("<IIQ")
_RECORD_BYTES_MIN = 24


@dataclass(frozen=True, slots=True)
class Record:
    """One record: `xid` is 0 when no transaction wrote it; `before` is 0 for the first record of a whole log."""

    begin: int
    end: int
    xid: int
    before: int


def records(walsender: Walsender, begin: int, end: int) -> Iterator[Record]:
    """The records from `begin`, where a segment begins, up to `end`, both in one page; `Fatal` if they do not fit."""
    log, at = walsender.read_log(begin, end - begin), _PAGE_HEADER_BYTES
    while at < end - begin:
        nbytes, xid, before = _RECORD.unpack_from(log.ljust(at + _RECORD.size, b"\0"), at)
        after = at + _aligned(nbytes)
        if nbytes < _RECORD_BYTES_MIN or after > end - begin:
            raise Fatal(f"the log from {format_lsn(begin)} to {format_lsn(end)} does not consist of whole records")
        yield Record(begin + at, begin + after, xid, before)
        at = after


def diverged(side: Connection, login: Login, place: Place, *, stop: threading.Event | None = None) -> bool:
    """Whether the server's log is not the one in which `place` was; False when it cannot be told."""
    try:
        ((page_bytes,),) = fetch(side, "SELECT current_setting('wal_block_size')::int")
        begin = (place.end - 1) // page_bytes * page_bytes
        with closing(Walsender(login, frame_bytes_max=FRAME_BYTES_MAX, stop=stop)) as walsender:
            host.require_same(host.load(side), walsender.host())
            return contradicts(walsender.read_log(begin, place.end - begin), begin, place)
    except TailraceError as error:  # there is no walsender left for it, or the server gives its log to nobody
        _log.info("nobody can tell whether %s is of this log: %s", format_lsn(place.end), error.args[0])
        return False


def contradicts(log: bytes, begin: int, place: Place) -> bool:
    """Whether `log`, from the page that begins at `begin` up to `place`, has other records than those that led there.

    Only what is certain counts, so a page of a form that is not known shows nothing. A log of other records may have
    them at the very same places; most have not.
    """
    _, flags, _, address, left = _PAGE.unpack_from(log.ljust(_PAGE.size, b"\0"))
    if address != begin:
        return False
    at = _PAGE_HEADER_BYTES if flags & _FIRST else _LATER_HEADER_BYTES
    if flags & _CONTINUES:
        at += _aligned(left)
    first, begun = begin + at, set[int]()
    while begin + at < place.end:
        nbytes, _, _ = _RECORD.unpack_from(log.ljust(at + _RECORD.size, b"\0"), at)
        if nbytes < _RECORD_BYTES_MIN:
            return False
        begun.add(begin + at)
        at += _aligned(nbytes)
    # A record that goes on beyond its page ends farther on than this says, and beyond `place` all the same.
    crossed = begin + at > place.end
    return crossed or (place.phase == ROW and place.lsn >= first and place.lsn not in begun)


def _aligned(nbytes: int) -> int:
    return (nbytes + 7) // 8 * 8
