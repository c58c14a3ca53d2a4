"""A slow decoder of pgoutput, written from the PostgreSQL manual alone, to compare the fast one with.

It keeps everything in memory as plain Python values and does nothing in one step that can be done in two. It shares no
code and no idea with `crates/wire`; where the two differ, one of them is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

EPOCH_2000_US = 946_684_800_000_000
UNCHANGED = "<unchanged>"
"""Stands for an unchanged TOASTed cell; no value in the tests looks like it."""

Image = dict[str, str | None]
NOT_UTF8: Image = {"": "not UTF-8"}
"""In place of an image that Python cannot show as text."""


class Malformed(ValueError):
    """Something that the manual does not allow."""


@dataclass(frozen=True)
class Row:
    """One change as a consumer should see it."""

    op: str
    table: str | None
    columns: tuple[str, ...]
    before: Image | None
    after: Image | None
    position: str
    xid: int
    at_us: int
    origin: str | None
    message: tuple[str, bytes, bool] | None = None


@dataclass
class Relation:
    table: str
    columns: list[str]


@dataclass
class Draft:
    """A row whose transaction has not committed."""

    xid: int
    op: str
    relation: Relation | None = None
    before: Image | None = None
    after: Image | None = None
    message: tuple[str, bytes, bool] | None = None


@dataclass
class Transaction:
    xid: int
    lsn: int = 0
    at_us: int = 0
    origin: str | None = None
    drafts: list[Draft] = field(default_factory=list)
    relations: dict[int, Relation] = field(default_factory=dict)


class Fields:
    """The fields of a message, one after another."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def take(self, count: int) -> bytes:
        if count > len(self._data):
            raise Malformed("too short")
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    def number(self, size: int, *, signed: bool = False) -> int:
        return int.from_bytes(self.take(size), "big", signed=signed)

    def text(self) -> str:
        if b"\0" not in self._data:
            raise Malformed("string without an end")
        text = self.take(self._data.index(b"\0")).decode()
        self.take(1)
        return text

    def among(self, allowed: bytes) -> str:
        byte = self.take(1)
        if byte not in [bytes([one]) for one in allowed]:
            raise Malformed(f"{byte!r} is none of {allowed!r}")
        return byte.decode("latin-1")

    @property
    def left(self) -> int:
        return len(self._data)

    def end(self) -> None:
        if self._data:
            raise Malformed("too long")


def position(lsn: int, phase: int, ordinal: int, timeline: int, end: int) -> str:
    return f"{lsn:016X}.{phase}.{ordinal:012d}/{timeline:08X}/{end:016X}"


class Oracle:
    """Feed it replication messages; `rows` are the changes that committed, `end` is where they end."""

    def __init__(self, *, timeline: int = 1) -> None:
        self._timeline = timeline
        self._relations: dict[int, Relation] = {}
        self._plain: Transaction | None = None
        self._block: Transaction | None = None
        self._streams: dict[int, Transaction] = {}
        self.rows: list[Row] = []
        self.end: str | None = None
        self.received = 0

    def feed(self, messages: Iterable[bytes]) -> None:
        for message in messages:
            self._message(Fields(message))

    def _message(self, fields: Fields) -> None:
        if fields.among(b"wk") == "k":
            self.received = max(self.received, fields.number(8))
            fields.take(9)
            fields.end()
            return
        start, end, clock = fields.number(8), fields.number(8), fields.number(8, signed=True)
        self.received = max(self.received, start, end)
        kind = fields.among(b"BCORYIUDTMSEcA")
        xid = fields.number(4) if self._block is not None and kind in "RYIUDTM" else None
        match kind:
            case "B":
                self._begin(fields)
            case "C":
                self._commit(fields)
            case "O":
                self._origin(fields)
            case "R":
                self._relation(fields)
            case "Y":
                fields.take(4), fields.text(), fields.text()
            case "I" | "U" | "D":
                self._row(kind, fields, xid)
            case "T":
                self._truncate(fields, xid)
            case "M":
                self._logical(fields, xid, clock)
            case "S":
                self._stream_start(fields)
            case "E":
                self._stream_stop()
            case "c":
                self._stream_commit(fields)
            case "A":
                self._stream_abort(fields)
        fields.end()

    def _outside(self) -> None:
        if self._plain is not None or self._block is not None:
            raise Malformed("inside of a transaction")

    def _open(self) -> Transaction:
        transaction = self._block or self._plain
        if transaction is None:
            raise Malformed("outside of a transaction")
        return transaction

    def _begin(self, fields: Fields) -> None:
        self._outside()
        lsn, clock, xid = fields.number(8), fields.number(8, signed=True), fields.number(4)
        self._plain = Transaction(xid=xid, lsn=lsn, at_us=clock + EPOCH_2000_US)

    def _commit(self, fields: Fields) -> None:
        if self._plain is None:
            raise Malformed("nothing to commit")
        fields.among(b"\0")
        lsn, end = fields.number(8), fields.number(8)
        fields.take(8)
        if lsn != self._plain.lsn:
            raise Malformed("another commit")
        self._finish(self._plain, end)
        self._plain = None

    def _finish(self, transaction: Transaction, end: int) -> None:
        lsn = transaction.lsn
        for ordinal, draft in enumerate(transaction.drafts):
            where = position(lsn, 2, ordinal, self._timeline, end)
            self.rows.append(self._finished(draft, where, transaction))
        self.end = position(lsn, 2, max(len(transaction.drafts) - 1, 0), self._timeline, end)

    @staticmethod
    def _finished(draft: Draft, where: str, transaction: Transaction) -> Row:
        return Row(
            op=draft.op,
            table=draft.relation.table if draft.relation else None,
            columns=tuple(draft.relation.columns) if draft.relation else (),
            before=draft.before,
            after=draft.after,
            position=where,
            xid=transaction.xid,
            at_us=transaction.at_us,
            origin=transaction.origin,
            message=draft.message,
        )

    def _origin(self, fields: Fields) -> None:
        transaction = self._open()
        fields.take(8)
        transaction.origin = fields.text()

    def _relation(self, fields: Fields) -> None:
        oid, schema, name = fields.number(4), fields.text(), fields.text()
        fields.among(b"dnfi")
        relation = Relation(f"{schema or 'pg_catalog'}.{name}", [])
        for _ in range(fields.number(2)):
            fields.among(b"\0\1")
            relation.columns.append(fields.text())
            fields.take(8)
        known = self._relations if self._block is None else self._block.relations
        known[oid] = relation

    def _known(self, oid: int) -> Relation:
        found = (self._block.relations.get(oid) if self._block else None) or self._relations.get(oid)
        if found is None:
            raise Malformed("unknown relation")
        return found

    def _tuple(self, fields: Fields, relation: Relation) -> Image:
        if fields.number(2) != len(relation.columns):
            raise Malformed("other columns")
        image: Image = {}
        for column in relation.columns:
            match fields.among(b"nut"):
                case "n":
                    image[column] = None
                case "u":
                    image[column] = UNCHANGED
                case "t":
                    image[column] = fields.take(fields.number(4)).decode(errors="surrogateescape")
        return image

    def _row(self, kind: str, fields: Fields, xid: int | None) -> None:
        transaction = self._open()
        relation = self._known(fields.number(4))
        draft = Draft(transaction.xid if xid is None else xid, {"I": "c", "U": "u", "D": "d"}[kind], relation)
        tag = fields.among({"I": b"N", "U": b"KON", "D": b"KO"}[kind])
        old: Image = {}
        if tag in "KO":
            old = self._tuple(fields, relation)
            # A column of a replica identity is never null: in a key tuple a null says "not sent".
            draft.before = old if tag == "O" else {name: cell for name, cell in old.items() if cell is not None}
            if kind == "U":
                fields.among(b"N")
        if kind != "D":
            after = self._tuple(fields, relation)
            for column, cell in after.items():
                if cell == UNCHANGED and old.get(column) is not None:
                    after[column] = old[column]
            draft.after = after
        transaction.drafts.append(draft)

    def _truncate(self, fields: Fields, xid: int | None) -> None:
        transaction = self._open()
        count = fields.number(4)
        fields.among(b"\0\1\2\3")
        if fields.left != 4 * count:
            raise Malformed("other number of tables")
        for _ in range(count):
            relation = self._known(fields.number(4))
            transaction.drafts.append(Draft(transaction.xid if xid is None else xid, "t", relation))

    def _logical(self, fields: Fields, xid: int | None, clock: int) -> None:
        transactional = fields.among(b"\0\1") == "\1"
        lsn, prefix = fields.number(8), fields.text()
        message = (prefix, fields.take(fields.number(4)), transactional)
        if transactional:
            transaction = self._open()
            transaction.drafts.append(Draft(transaction.xid if xid is None else xid, "m", message=message))
            return
        self._outside()
        self.end = position(lsn, 1, 0, self._timeline, lsn)
        alone = Transaction(xid=0, at_us=clock + EPOCH_2000_US)
        self.rows.append(self._finished(Draft(0, "m", message=message), self.end, alone))

    def _stream_start(self, fields: Fields) -> None:
        self._outside()
        xid, first = fields.number(4), fields.among(b"\0\1") == "\1"
        if first == (xid in self._streams):
            raise Malformed("begins twice, or goes on without a beginning")
        self._block = self._streams.setdefault(xid, Transaction(xid=xid))

    def _stream_stop(self) -> None:
        if self._block is None:
            raise Malformed("no block")
        self._block = None

    def _stream_commit(self, fields: Fields) -> None:
        self._outside()
        xid = fields.number(4)
        fields.among(b"\0")
        lsn, end, clock = fields.number(8), fields.number(8), fields.number(8, signed=True)
        if xid not in self._streams:
            raise Malformed("was never streamed")
        transaction = self._streams.pop(xid)
        self._relations |= transaction.relations
        transaction.lsn, transaction.at_us = lsn, clock + EPOCH_2000_US
        self._finish(transaction, end)

    def _stream_abort(self, fields: Fields) -> None:
        if self._block is not None:
            raise Malformed("inside of a block")
        xid, subxid = fields.number(4), fields.number(4)
        if fields.left:
            fields.take(16)
        if xid == subxid:
            self._streams.pop(xid, None)
        elif xid in self._streams:
            transaction = self._streams[xid]
            transaction.drafts = [draft for draft in transaction.drafts if draft.xid != subxid]
