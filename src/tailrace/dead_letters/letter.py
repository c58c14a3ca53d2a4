"""One parked change: as a value, as a line of JSON, and back as a Change. Never touches a file."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from tailrace._native import BatchBuilder
from tailrace.model import UNCHANGED, Batch, Change, Column, Position, Row, Table, TypeDefinition, Unchanged

__all__ = ["Group", "Letter", "groups_of", "letter_id", "rebuild"]

Group = tuple[str, tuple[str, ...] | None]
"""Changes that must stay in order: those of one key of a table, or (None) all those of the table."""

_CONNECTORS = {"postgres": "postgresql"}


def letter_id(position: Position) -> str:
    """The same for a change on every replay (I7), short enough to type."""
    return hashlib.sha256(f"{position.lineage}\n{position.text}".encode()).hexdigest()[:12]


def groups_of(change: Change) -> frozenset[Group]:
    """What a change must stay in order with: its key, and its old key when it changes the key.

    A TRUNCATE, and every change of a table without a key, with all changes of the table; a message with nothing.
    """
    if change.op == "m":
        return frozenset()
    table = change.table
    if change.op == "t" or not table.key:
        return frozenset({(str(table), None)})
    images = (change.key, change.before)
    keys = (_key(image, table) for image in images if image is not None)
    return frozenset((str(table), key) for key in keys if key is not None) or frozenset({(str(table), None)})


def _key(row: Row, table: Table) -> tuple[str, ...] | None:
    texts = row.texts()
    cells = [texts.get(name) for name in table.key]
    return tuple(cells) if all(isinstance(cell, str) for cell in cells) else None  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Letter:
    """A parked change. Cells are texts as the server sent them; in JSON `false` stands for an UNCHANGED one.

    `parked_at` is in seconds since the Unix epoch; `attempts` counts how often it was refused: not at all
    while it waits behind an earlier change of its key, by a handler only once all of its own tries had failed, of which
    `reason` tells. `transform` names the transform that refused it,
    which has not seen it then; None: the sink did.
    """

    id: str
    op: str
    lineage: str
    position: str
    xid: int | None
    committed_at_us: int
    reason: str
    attempts: int
    parked_at: float
    table: Mapping[str, Any] | None = None
    key: Mapping[str, Any] | None = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    message: Mapping[str, Any] | None = None
    origin: tuple[str, int] | None = None
    transform: str | None = None
    source: tuple[str, str, int, int] | None = None
    """See `Change.source`; None in letters of a version that did not keep it."""
    truncate_options: tuple[bool, bool] = (False, False)

    @classmethod
    def of(cls, change: Change, reason: str, attempts: int, *, transform: str | None = None) -> Letter:
        """Everything that is needed to offer `change` again."""
        message = change.message
        return cls(
            id=letter_id(change.position),
            op=change.op,
            lineage=change.position.lineage,
            position=change.position.text,
            xid=change.transaction,
            committed_at_us=round(change.committed_at.timestamp() * 1_000_000),
            reason=reason,
            attempts=attempts,
            parked_at=time.time(),
            table=_describe(change.table) if change.op != "m" else None,
            key=_texts(change.key),
            before=_texts(change.before),
            after=_texts(change.after),
            message=None
            if message is None
            else {
                "prefix": message.prefix,
                "content": base64.b64encode(message.content).decode(),
                "transactional": message.transactional,
            },
            origin=None if change.origin is None else (change.origin, change.origin_lsn or 0),
            transform=transform,
            source=change.source,
            truncate_options=change.truncate_options,
        )

    @property
    def table_name(self) -> str:
        """`schema.table`; empty for a message."""
        return f"{self.table['schema']}.{self.table['name']}" if self.table else ""

    @property
    def at(self) -> Position:
        """Its position."""
        return Position(self.lineage, self.position)

    def line(self) -> bytes:
        """One line of JSON, newline included."""
        document = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps({"letter": document}, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Letter:
        """The inverse of `line`; TypeError when a field is missing or unknown."""
        lists = ("origin", "source", "truncate_options")
        tuples = {name: tuple(document[name]) for name in lists if document.get(name) is not None}
        return cls(**{**document, **tuples})


def _describe(table: Table) -> dict[str, Any]:
    columns = [
        {
            "name": column.name,
            "type": column.type,
            "native": column.native,
            "nullable": column.nullable,
            "labels": list(column.labels),
            **_said(column, "comment", "identity", "backfill", "default", "defaulted"),
        }
        for column in table.columns
    ]
    types = [
        {"schema": each.schema, "name": each.name, "kind": each.kind, "labels": each.labels, "parts": each.parts}
        for each in table.types
    ]
    named = {"schema": table.schema, "name": table.name, "key": list(table.key), "columns": columns}
    return {**named, "types": types, **_said(table, "comment")}


def _said(of: Column | Table, *names: str) -> dict[str, Any]:
    """Those that are not as they are by themselves: most are, in every letter."""
    return {name: value for name in names if (value := getattr(of, name)) not in (None, False)}


def _texts(row: Row | None) -> dict[str, str | bool | None] | None:
    if row is None:
        return None
    return {name: False if isinstance(text, Unchanged) else text for name, text in row.texts().items()}


def _cells(texts: Mapping[str, Any] | None) -> dict[str, str | Unchanged | None] | None:
    if texts is None:
        return None
    return {name: UNCHANGED if text is False else text for name, text in texts.items()}


def _table(document: Mapping[str, Any]) -> Table:
    columns = [Column(**column) for column in document["columns"]]
    types = [
        TypeDefinition(
            each["schema"],
            each["name"],
            each["kind"],
            labels=each["labels"],
            parts=[(name, of) for name, of in each["parts"]],
        )
        for each in document.get("types", ())
    ]
    comment = document.get("comment")
    return Table(document["schema"], document["name"], columns, key=document["key"], comment=comment, types=types)


def rebuild(letters: Iterable[Letter], at: Position) -> Batch:
    """A batch of these changes, each with its own position, that ends at `at`."""
    changes: list[Change] = []
    for letter in letters:
        kind, *rest = letter.lineage.split("/")
        connector, database, *lsns = letter.source or (_CONNECTORS.get(kind, kind), rest[1] if len(rest) > 1 else "")
        builder = BatchBuilder(letter.lineage, connector=connector, database=database)
        builder.begin(
            xid=letter.xid or 0,
            committed_at_us=letter.committed_at_us,
            at=letter.position,
            lsns=(lsns[0], lsns[1]) if lsns else None,
            origin=letter.origin,
        )
        if letter.message is not None:
            builder.message(
                letter.message["prefix"],
                base64.b64decode(letter.message["content"]),
                transactional=letter.message.get("transactional", True),
            )
        else:
            assert letter.table is not None
            builder.add(
                cast(Any, letter.op),
                _table(letter.table),
                before=_cells(letter.before),
                after=_cells(letter.after),
                truncate_options=letter.truncate_options,
            )
        builder.commit()
        changes.extend(builder.take())
    return Batch.progress(at).with_changes(changes)
