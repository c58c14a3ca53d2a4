"""A slot that another reader left is continued right where that one was (I6). The reader here is SQL: no JVM needed."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from tailrace.error import HistoryLost
from tailrace.source.postgres.takeover import Takeover
from tests.server.postgres.reading import Make, Sql

PUBLICATION = "dbz_publication"
_OPTIONS = f"'proto_version', '1', 'publication_names', '{PUBLICATION}', 'messages', 'true'"


@pytest.fixture
def left(any_database: str, sql: Sql) -> str:
    """A database with a slot and a publication of another reader."""
    sql(
        any_database,
        "CREATE TABLE orders (id int PRIMARY KEY, note text)",
        f"CREATE PUBLICATION {PUBLICATION} FOR ALL TABLES",
    )
    sql(any_database, f"SELECT pg_create_logical_replication_slot('{slot(any_database)}', 'pgoutput')")
    return any_database


def slot(url: str) -> str:
    """Slot names are unique over a server that other tests share."""
    return f"debezium_{url.rsplit('/', 1)[1].split('?')[0]}"[:63]


def messages(url: str, sql: Sql) -> list[tuple[str, str, bytes]]:
    """What lies on the slot, as any reader would get it: LSN, message type, content."""
    rows = sql(
        url, f"SELECT lsn::text, data FROM pg_logical_slot_peek_binary_changes('{slot(url)}', NULL, NULL, {_OPTIONS})"
    )
    return [(lsn, bytes(data[:1]).decode(), bytes(data)) for lsn, data in rows]


def committed(message: bytes) -> str:
    """Where the transaction of a Commit ends."""
    high, low = struct.unpack_from("!II", message, 10)
    return f"{high:X}/{low:X}"


def confirmed(url: str, sql: Sql) -> str:
    ((lsn,),) = sql(url, f"SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = '{slot(url)}'")
    return str(lsn)


def xid(message: bytes) -> int:
    return int(struct.unpack_from("!I", message, 17)[0])


def ids(it: Any) -> list[str]:
    return [str(change.after["id"]) for change in it.seen if change.op != "m"]


def test_it_goes_on_in_the_middle_of_a_transaction(left: str, sql: Sql, reading: Make) -> None:
    sql(left, "INSERT INTO orders VALUES (1)", "INSERT INTO orders VALUES (2)")
    sql(left, *(f"INSERT INTO orders VALUES ({id})" for id in range(3, 8)))
    sql(left, "INSERT INTO orders VALUES (8)")
    stream = messages(left, sql)
    first = committed(next(data for _, kind, data in stream if kind == "C"))
    second = [xid(data) for _, kind, data in stream if kind == "B"][1]
    rows = [lsn for lsn, kind, _ in stream if kind == "I"]
    takeover = {"committed_lsn": first, "xid": second, "row_lsn": rows[4]}
    it = reading(left, slot=slot(left), publication=PUBLICATION, takeover=Takeover(**takeover)).open()
    it.count(3)
    assert ids(it) == ["6", "7", "8"]
    it.restart().first()
    sql(left, "INSERT INTO orders VALUES (9)")
    assert ids(it.count(4)) == ["6", "7", "8", "9"]


def test_a_crash_before_the_transaction_was_saved_repeats_the_same_part_of_it(
    left: str, sql: Sql, reading: Make
) -> None:
    sql(left, *(f"INSERT INTO orders VALUES ({id})" for id in range(1, 6)))
    stream = messages(left, sql)
    rows = [lsn for lsn, kind, _ in stream if kind == "I"]
    (begun,) = (xid(data) for _, kind, data in stream if kind == "B")
    then = confirmed(left, sql)
    takeover = Takeover(committed_lsn=then, xid=begun, row_lsn=rows[1])
    it = reading(left, slot=slot(left), publication=PUBLICATION, takeover=takeover).open()
    it.first().until(lambda: len(it.seen) >= 3, save=False)
    positions = [change.position for change in it.seen]
    it.restart().count(6)
    assert ids(it) == ["3", "4", "5"] * 2
    assert [change.position for change in it.seen[3:]] == positions


def test_rows_of_one_record_come_again_but_for_the_first(left: str, sql: Sql, reading: Make) -> None:
    """COPY logs many rows under one LSN, so a reader's offset does not tell how many of them it had."""
    sql(left, "COPY orders (id) FROM PROGRAM 'seq 1 4'")
    stream = messages(left, sql)
    lsns = [lsn for lsn, kind, _ in stream if kind == "I"]
    assert len(lsns) == 4 and len(set(lsns)) == 1
    (begun,) = (xid(data) for _, kind, data in stream if kind == "B")
    then = confirmed(left, sql)
    takeover = Takeover(committed_lsn=then, xid=begun, row_lsn=lsns[0])
    it = reading(left, slot=slot(left), publication=PUBLICATION, takeover=takeover).open()
    assert ids(it.count(3)) == ["2", "3", "4"]


def test_behind_a_snapshot_all_that_the_slot_has_comes(left: str, sql: Sql, reading: Make) -> None:
    sql(left, "INSERT INTO orders VALUES (1)")
    ((now,),) = sql(left, "SELECT pg_current_wal_lsn()::text")
    it = reading(left, slot=slot(left), publication=PUBLICATION, takeover=Takeover(snapshot_lsn=now)).open()
    assert ids(it.count(1)) == ["1"]


def test_a_slot_that_its_reader_moved_on_since_is_refused(left: str, sql: Sql, reading: Make) -> None:
    sql(left, "INSERT INTO orders VALUES (1)")
    then = confirmed(left, sql)
    sql(left, f"SELECT count(*) FROM pg_logical_slot_get_binary_changes('{slot(left)}', NULL, NULL, {_OPTIONS})")
    it = reading(left, slot=slot(left), publication=PUBLICATION, takeover=Takeover(committed_lsn=then))
    with pytest.raises(HistoryLost, match="where takeover says that its former reader was"):
        it.open()
    assert not it.positions.known()
    assert "and not be taken over" in " ".join(finding.message for finding in it.source.check())
    sql(left, "INSERT INTO orders VALUES (2)")
    assert ids(it.open(takeover=Takeover(committed_lsn=then, trust_slot=True)).count(1)) == ["2"]


def test_offsets_of_another_transaction_than_the_first_are_refused_or_change_nothing(
    left: str, sql: Sql, reading: Make
) -> None:
    then = confirmed(left, sql)
    sql(left, "INSERT INTO orders VALUES (1)")
    sql(left, "INSERT INTO orders VALUES (2)")
    stream = messages(left, sql)
    second = [xid(data) for _, kind, data in stream if kind == "B"][1]
    takeover = Takeover(committed_lsn=then, xid=second, row_lsn=[lsn for lsn, kind, _ in stream if kind == "I"][1])
    it = reading(left, slot=slot(left), publication=PUBLICATION, takeover=takeover).open()
    assert ids(it.count(2)) == ["1", "2"]


def test_a_slot_that_is_not_there_is_told_by_check(left: str, reading: Make) -> None:
    it = reading(left, slot="gone", publication=PUBLICATION, takeover=Takeover(committed_lsn="0/1"))
    assert "it cannot be taken over" in " ".join(finding.message for finding in it.source.check())
