"""Says whether the source is at rest, how far its log goes and its sequences stand. Changes nothing but the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from psycopg import sql

from tailrace.dialect.postgres.fault import told
from tailrace.dialect.postgres.session import Connection, fetch
from tailrace.error import TailraceError
from tailrace.model import Counter, Position, Rest
from tailrace.source.postgres import describing, query
from tailrace.source.postgres.place import Place, parse_lsn

__all__ = ["behind", "passed", "rest"]


def rest(connection: Connection, publication: str, patterns: Sequence[str]) -> Rest:
    """The tables of the publication that match: who writes to them, where the log ends, where their sequences stand."""
    oids = {"oids": [table.oid for table in describing.captured(connection, publication, patterns)]}
    [[writers, writes]] = fetch(connection, query.load("writes"), oids)
    counters = tuple(_counter(connection, *row) for row in fetch(connection, query.load("sequences"), oids))
    # A message gives the stream something to pass; a standby, or a role that may not send one, must do without.
    with suppress(TailraceError):
        fetch(connection, "SELECT pg_logical_emit_message(true, 'tailrace', 'cutover')::text")
    [[upto]] = fetch(connection, query.load("log_end"))
    return Rest(writers, writes, upto, counters)


def passed(slot: str, saved: Mapping[str, Position | None], upto: str) -> bool:
    """Whether what is `saved` for the lineage of `slot` lies behind `upto`."""
    return any(end >= parse_lsn(upto) for end in _ends(slot, saved))


def behind(connection: Connection, slot: str, saved: Mapping[str, Position | None]) -> int | None:
    """Bytes between what is `saved` for the lineage of `slot` and the end of the log; None when nothing is."""
    ends = _ends(slot, saved)
    [[log_end]] = fetch(connection, query.load("log_end"))
    return max(0, parse_lsn(log_end) - max(ends)) if ends else None


def _ends(slot: str, saved: Mapping[str, Position | None]) -> list[int]:
    found = [position for lineage, position in saved.items() if lineage.rsplit("/", 1)[-1] == slot]
    return [Place.of(position).end for position in found if position is not None]


def _counter(connection: Connection, *row: object) -> Counter:
    schema, name, table_schema, table, column, owned, increment, least, most = row
    statement = sql.SQL("SELECT last_value, is_called FROM {}").format(sql.Identifier(str(schema), str(name)))
    with told(f"read the sequence {schema}.{name}"):
        [[last, called]] = connection.execute(statement).fetchall()
    return Counter(
        str(schema),
        str(name),
        (str(table_schema), str(table), str(column)),
        owned=bool(owned),
        last=last,
        called=called,
        increment=int(str(increment)),
        least=int(str(least)),
        most=int(str(most)),
    )
