"""Looks at the first records of a log segment, as a physical standby would get them. Never reads what they hold.

Layouts are those of PostgreSQL's `access/xlog_internal.h` and `access/xlogrecord.h`: a long page header, then records
of a header (length, transaction, place of the record before) and content, each aligned to 8.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import psycopg
from psycopg import errors, pq

from tailrace.dialect.postgres.fault import told, translate
from tailrace.dialect.postgres.session import Login, connect_replication
from tailrace.error import Fatal
from tailrace.source.postgres.place import format_lsn

_PAGE_HEADER_BYTES, _DATA_HEADER_BYTES = 40, 25
_RECORD = struct.Struct("<IIQ")
_RECORD_BYTES_MIN = 24


@dataclass(frozen=True, slots=True)
class Record:
    """One record: `xid` is 0 when no transaction wrote it; `before` is 0 for the first record of a whole log."""

    begin: int
    end: int
    xid: int
    before: int


def records(login: Login, begin: int, end: int) -> Iterator[Record]:
    """The records from `begin`, where a segment begins, up to `end`, both in one page; `Fatal` if they do not fit."""
    log, at = _read(login, begin, end - begin), _PAGE_HEADER_BYTES
    while at < end - begin:
        nbytes, xid, before = _RECORD.unpack_from(log.ljust(at + _RECORD.size, b"\0"), at)
        after = at + (nbytes + 7) // 8 * 8
        if nbytes < _RECORD_BYTES_MIN or after > end - begin:
            raise Fatal(f"the log from {format_lsn(begin)} to {format_lsn(end)} does not consist of whole records")
        yield Record(begin + at, begin + after, xid, before)
        at = after


def _read(login: Login, begin: int, nbytes: int) -> bytes:
    """That much of the log, through a walsender that is given up afterwards."""
    doing = f"read the log at {format_lsn(begin)}"
    log = b""
    with closing(connect_replication(login)) as connection, told(doing):
        result = connection.pgconn.exec_(f"START_REPLICATION PHYSICAL {format_lsn(begin)}".encode())
        if result.status != pq.ExecStatus.COPY_BOTH:
            raise translate(errors.error_from_result(result), doing)
        while len(log) < nbytes:
            size, data = connection.pgconn.get_copy_data(0)
            if size < 0:
                raise psycopg.OperationalError("the server ended the stream")
            if bytes(data[:1]) == b"w":
                log += bytes(data[_DATA_HEADER_BYTES:])
    return log[:nbytes]
