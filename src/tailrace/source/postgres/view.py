"""Reads rows of the source as they are now, in ranges of the key or by key, to be compared. Never reads the log.

A look is taken in one snapshot. Before it, the transactions that have not ended are asked for; after it, the end of the
log: a commit is written before it becomes visible, so what is visible lies before that. The reverse does not hold (a
commit that is written may not be visible yet), which is why the pending ones are told.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from psycopg import sql

from tailrace._native import BatchBuilder, CopyRows
from tailrace.comparison import Checksum, Compared, Key, Mirror, Seen, SourceLook, Span
from tailrace.dialect.postgres.digest import PROBE, digest, spelled
from tailrace.dialect.postgres.equality import EQUAL, equal, operators
from tailrace.dialect.postgres.look import VERSION, fetch_composed, snapshot
from tailrace.dialect.postgres.session import connect, fetch
from tailrace.error import ConfigError, TailraceError
from tailrace.model import Batch, Change, Limits, Position, Table
from tailrace.source.postgres import plan, publication, query
from tailrace.source.postgres.copying import TableReader
from tailrace.source.postgres.opening import Names
from tailrace.source.postgres.place import PROGRESS, Place, parse_lsn
from tailrace.source.postgres.publication import Published

if TYPE_CHECKING:
    from tailrace.source.postgres.config import Postgres

__all__ = ["PostgresView"]

_log = logging.getLogger("tailrace.source.postgres")
_WAIT_S = 0.2
_STAMP_MS = 10**8
_STAMP_ROWS = 10**4


@dataclass(frozen=True, slots=True)
class _Captured:
    """A published table with what a statement needs to read it as the stream sends it."""

    table: Table
    relation: sql.Composed
    row_filter: sql.Composable
    inputs: Mapping[str, str]
    operators: Mapping[str, str]


class PostgresView:
    """See `SourceView`."""

    def __init__(self, source: Postgres, pipeline: str) -> None:
        self._session = connect(source.login)
        self._source = source
        self._names = Names.of(source, pipeline)
        self._captured: dict[str, _Captured] | None = None
        self._stamp = 0

    def tables(self) -> Sequence[Table]:
        """See `SourceView.tables`."""
        return [captured.table for captured in self._tables().values()]

    def agrees(self, mirror: Mirror) -> bool:
        """See `SourceView.agrees`."""
        [[answer]] = fetch(self._session, PROBE)
        return bool(answer == mirror.probe)

    def boundary(self, what: Compared, span: Span, rows: int) -> Key | None:
        """See `SourceView.boundary`."""
        here = self._of(what.table)
        binary = _source_names(what)
        cells = _cells(what.table, binary)
        found = self._fetch(
            sql.SQL("SELECT {} FROM {} AS t WHERE {} ORDER BY {} OFFSET {} LIMIT 1").format(
                _list(_spelled(here.table)),
                here.relation,
                _within(here, span, binary),
                _list(cells),
                sql.Literal(rows - 1),
            ),
            what.table,
        )
        return tuple(found[0]) if found else None

    def checksum(self, what: Compared, span: Span) -> Checksum:
        """See `SourceView.checksum`."""
        here = self._of(what.table)
        # Keys are distinct, so equal rows cannot cancel each other out; without a key they could.
        total = sql.SQL("bit_xor({})" if what.table.key else "sum({}::numeric)").format(_digest(what))
        statement = sql.SQL("SELECT count(*), coalesce(({})::text, '0') FROM {} AS t WHERE {}").format(
            total, here.relation, _within(here, span, _source_names(what))
        )
        [[rows, found]] = self._fetch(statement, what.table)
        return Checksum(rows, found)

    def digests(self, what: Compared, span: Span) -> Sequence[tuple[Key, str]]:
        """See `SourceView.digests`."""
        here = self._of(what.table)
        statement = sql.SQL("SELECT {}, ({})::text FROM {} AS t WHERE {}").format(
            _list(_spelled(what.table)),
            _digest(what),
            here.relation,
            _within(here, span, _source_names(what)),
        )
        return [(tuple(key), found) for *key, found in self._fetch(statement, what.table)]

    def rows(self, table: Table, span: Span, *, binary: Sequence[str] = ()) -> Iterator[Batch]:
        """See `SourceView.rows`."""
        here = self._of(table)
        return self._copy(here, _within(here, span, binary))

    def look(self, table: Table, keys: Sequence[Key], *, what: Compared | None = None) -> SourceLook:
        """See `SourceView.look`."""
        here = self._of(table)
        pending = self.pending()  # before the snapshot: whoever has ended by now is seen in it
        with snapshot(self._session, "look at rows"):
            spelled, seen = self._find(here, keys, what) if keys else ((), ())
            rows = self._rows_of(here, spelled) if keys and what is None else None
            [[upto]] = fetch(self._session, query.load("log_end"))
        return SourceLook(spelled, seen, pending, upto, rows)

    def pending(self) -> frozenset[int]:
        """See `SourceView.pending`."""
        [[running]] = fetch(self._session, query.load("pending"))
        return frozenset(running)

    def lineage(self, positions: Collection[str]) -> str | None:
        """See `SourceView.lineage`: the one that ends with the slot."""
        return next((each for each in positions if each.rsplit("/", 1)[-1] == self._names.slot), None)

    def reached(self, positions: Mapping[str, str], upto: str) -> bool:
        """See `SourceView.reached`."""
        lineage = self.lineage(positions)
        return lineage is not None and Place.of(Position(lineage, positions[lineage])).end >= parse_lsn(upto)

    def nudge(self) -> None:
        """See `SourceView.nudge`: a logical decoding message, which any role may emit."""
        try:
            fetch(self._session, "SELECT pg_logical_emit_message(true, 'tailrace', 'verify')::text")
        except TailraceError as error:  # a standby, or a role that may not: then the pipeline's own pace must do
            _log.debug("the log cannot be moved from here: %s", error.args[0])

    def changes(self, table: Table, look: SourceLook, *, which: Sequence[int], lineage: str) -> list[Change]:
        """See `SourceView.changes`. Positions lie in phase 1 at the look's end of the log, with ordinals made of the
        time, so that two repairs of an idle database differ."""
        assert look.rows is not None
        place = Place.progress(parse_lsn(look.upto), 0)
        stamp = max(self._stamp, time.time_ns() // 1_000_000 % _STAMP_MS * _STAMP_ROWS)
        self._stamp = stamp + len(which)
        rows = {_key(change): change.after for change in look.rows}
        builder = BatchBuilder(lineage)
        for number, index in enumerate(which):
            at = Place(place.lsn, PROGRESS, stamp + number, 0, place.end).position(lineage)
            builder.begin(xid=0, committed_at_us=time.time_ns() // 1000, at=at.text)
            row = rows.get(look.keys[index])
            if row is None:
                builder.add("d", table, before=dict(zip(table.key, look.keys[index], strict=True)))
            else:
                builder.add("u", table, after=row.texts())
            builder.commit()
        return list(builder.take())

    def close(self) -> None:
        """See `SourceView.close`."""
        self._session.close()

    def _tables(self) -> dict[str, _Captured]:
        if self._captured is None:
            found = publication.load(self._session, self._names.publication)
            if found is None:
                raise ConfigError(
                    f"publication {self._names.publication!r} does not exist", hint="run the pipeline first"
                )
            globs = publication.selection(self._session, found, self._source.tables)
            published = plan.tables_of(self._session, self._names.publication, globs)
            self._captured = {
                str(copy.table): self._capture(table, copy.table)
                for table, copy in zip(published, plan.make(self._session, published), strict=True)
            }
        return self._captured

    def _capture(self, published: Published, table: Table) -> _Captured:
        name = sql.Identifier(published.schema, published.name)
        relation = sql.SQL("{}" if published.kind == "p" else "ONLY {}").format(name)
        where = sql.SQL(published.row_filter or "true")
        inputs = dict(fetch(self._session, query.load("input_types"), {"oid": published.oid}))
        return _Captured(table, relation, where, inputs, operators(self._session, published.oid))

    def _of(self, table: Table) -> _Captured:
        try:
            return self._tables()[str(table)]
        except KeyError:
            raise ConfigError(f"{table} is not published (any more)", hint="`tailrace check` looks at it") from None

    def _find(
        self, here: _Captured, keys: Sequence[Key], what: Compared | None
    ) -> tuple[tuple[Key, ...], tuple[Seen | None, ...]]:
        """Look the keys up one by one in their index; each as its row spells it, if there is one, and that row."""
        places, asked = _places(here.table), _asked(here)
        statement = sql.SQL(
            "SELECT {}, t.version, t.free, t.digest FROM {} LEFT JOIN LATERAL (SELECT {}, {} AS version,"
            " t.xmax = 0 AS free, {}::text AS digest FROM {} AS t WHERE {} AND {} OFFSET 0) AS t ON true"
            " ORDER BY u.place"
        ).format(
            # Equal keys may be spelled in two ways (1.0 and 1.00): the stream, and whoever reads the row, has its own.
            _list(
                sql.SQL("coalesce(t.{}, {})").format(place, spelled(value, type))
                for place, value, type in zip(places, asked, _key_types(here.table), strict=True)
            ),
            _unnested(places, keys),
            _list(
                sql.SQL("{} AS {}").format(cell, place)
                for cell, place in zip(_spelled(here.table), places, strict=True)
            ),
            VERSION,
            _digest(what) if what is not None else sql.Literal(""),
            here.relation,
            _match(here, asked),
            here.row_filter,
        )
        found = self._fetch(statement, here.table)
        names = tuple(tuple(key) for *key, _, _, _ in found)
        seen = tuple(None if version is None else Seen(version, text, free) for *_, version, free, text in found)
        return names, seen

    def _rows_of(self, here: _Captured, keys: Sequence[Key]) -> Batch:
        """The rows of these keys as one batch; in the snapshot of the caller."""
        where = sql.SQL("({}) AND EXISTS (SELECT FROM {} WHERE {})").format(
            here.row_filter, _unnested(_places(here.table), keys), _match(here, _asked(here))
        )
        batches = list(self._copy(here, where))
        return batches[-1].with_changes([change for batch in batches for change in batch])

    def _copy(self, here: _Captured, where: sql.Composable) -> Iterator[Batch]:
        names = _list(_column(column.name) for column in here.table.columns)
        statement = sql.SQL("COPY (SELECT {} FROM {} AS t WHERE {}) TO STDOUT").format(names, here.relation, where)
        limits = Limits()
        decoder = CopyRows(
            "verify", here.table, database="", attempt="verify", lsn=0, timeline=0, xid=0, at_us=0, first_ordinal=0,
            first_table=True, segment_bytes=limits.segment_bytes,
        )  # fmt: skip
        reader = TableReader(
            self._session, plan.TableCopy(here.table, statement), frame_bytes_max=limits.frame_bytes_max
        )
        while not reader.done:
            if (chunk := reader.read(_WAIT_S)) is not None:
                decoder.feed(chunk)
                if (batch := decoder.take()) is not None:
                    yield batch
        yield decoder.finish(last_table=True)

    def _fetch(self, statement: sql.Composed, table: Table) -> list[tuple[Any, ...]]:
        return fetch_composed(self._session, statement, f"compare {table}")


def _key(change: Change) -> Key:
    texts = change.key.texts() if change.key is not None else {}
    return cast(Key, tuple(texts[name] for name in change.table.key))


def _source_names(what: Compared) -> tuple[str, ...]:
    """The key columns, by the source's names, that are ordered by the bytes of their text."""
    return tuple(field.source for field in what.mirror.shape.fields if field.name in what.mirror.binary)


def _digest(what: Compared) -> sql.Composed:
    mirror = what.mirror
    return digest(
        (_column(field.source), field.type, field.native, type)
        for field, type in zip(mirror.shape.fields, mirror.types, strict=True)
    )


def _column(name: str) -> sql.Composed:
    return sql.SQL("t.{}").format(sql.Identifier(name))


def _key_types(table: Table) -> list[str]:
    """The portable types of the key's columns."""
    types = {column.name: column.type for column in table.columns}
    return [types[name] for name in table.key]


def _spelled(table: Table) -> list[sql.Composed]:
    """The key of a row, as the stream and a copy have it."""
    return [spelled(_column(name), type) for name, type in zip(table.key, _key_types(table), strict=True)]


def _places(table: Table) -> list[sql.Identifier]:
    """What the columns of keys that are looked for are called."""
    return [sql.Identifier(f"k{number}") for number in range(len(table.key))]


def _unnested(places: Sequence[sql.Identifier], keys: Sequence[Key]) -> sql.Composed:
    """The keys that are looked for, as the table `u`."""
    texts = _list(sql.SQL("{}::text[]").format(sql.Literal(list(column))) for column in zip(*keys, strict=True))
    return sql.SQL("unnest({}) WITH ORDINALITY AS u ({}, place)").format(texts, _list(places))


def _asked(here: _Captured) -> list[sql.Composed]:
    """The key that is looked for, read by the types of its columns."""
    return [
        sql.SQL("u.{}::{}").format(place, sql.SQL(here.inputs[name]))
        for place, name in zip(_places(here.table), here.table.key, strict=True)
    ]


def _match(here: _Captured, asked: Sequence[sql.Composed]) -> sql.Composed:
    """That a row has the key that is looked for."""
    return sql.SQL(" AND ").join(
        equal(_column(name), value, here.operators.get(name, EQUAL))
        for name, value in zip(here.table.key, asked, strict=True)
    )


def _cells(table: Table, binary: Sequence[str]) -> list[sql.Composed]:
    """The key of a row, as it is ordered."""
    return [
        sql.SQL('{} COLLATE "C"').format(text) if name in binary else _column(name)
        for name, text in zip(table.key, _spelled(table), strict=True)
    ]


def _within(here: _Captured, span: Span, binary: Sequence[str]) -> sql.Composed:
    """The row filter of the publication and the bounds, literals without a type: the columns give them theirs."""
    parts: list[sql.Composable] = [sql.SQL("({})").format(here.row_filter)]
    cells = _list(_cells(here.table, binary))
    for bound, than in ((span.after, ">"), (span.upto, "<=")):
        if bound is not None:
            parts.append(sql.SQL("({}) {} ({})").format(cells, sql.SQL(than), _list(map(sql.Literal, bound))))
    return sql.SQL(" AND ").join(parts)


def _list(parts: Iterator[sql.Composable] | Sequence[sql.Composable]) -> sql.Composed:
    return sql.SQL(", ").join(parts)
