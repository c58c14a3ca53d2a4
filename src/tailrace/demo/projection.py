"""The demo's handler: keeps the shop's rows in SQLite, as text. Never applies a change twice, whenever it is killed.

A pipeline repeats up to a second of changes after a crash. Here the position of the last change is stored in the
transaction of the rows, and what lies at or before it is passed over: at-least-once in, exactly-once out.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from tailrace.app import App
from tailrace.contract import Source
from tailrace.model import UNCHANGED, Change, Position, Row, Unchanged

_SCHEMA = """
CREATE TABLE IF NOT EXISTS rows (relation TEXT, key TEXT, cells TEXT, PRIMARY KEY (relation, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS applied (lineage TEXT PRIMARY KEY, position TEXT);
"""

Cells = list[str | Unchanged | None]


class Projection:
    """Rows by table and key, in one SQLite file."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(_SCHEMA)

    def apply(self, changes: list[Change]) -> None:
        """Apply what is not applied yet, and remember how far, in one transaction."""
        last = changes[-1].position
        row = self._connection.execute("SELECT position FROM applied WHERE lineage = ?", [last.lineage]).fetchone()
        if row is not None:
            done = Position(last.lineage, row[0])
            changes = [change for change in changes if change.position > done]
        self._connection.execute("BEGIN")
        try:
            for change in changes:
                self._apply(change)
            if changes:
                self._connection.execute("REPLACE INTO applied VALUES (?, ?)", [last.lineage, last.text])
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise

    def rows(self, relation: str) -> list[list[str | None]]:
        """The rows of a table as lists of the server's text, in column order."""
        found = self._connection.execute("SELECT cells FROM rows WHERE relation = ?", [relation])
        return [json.loads(cells) for (cells,) in found]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _apply(self, change: Change) -> None:
        table = change.table
        names = table.key
        if change.before is not None:
            old = [str(table), _key(change.before, names)]
            if change.op == "d" or (change.after is not None and _key(change.after, names) != old[1]):
                self._connection.execute("DELETE FROM rows WHERE relation = ? AND key = ?", old)
        if change.after is not None:
            place = [str(table), _key(change.after, names)]
            cells = list(change.after.texts().values())
            if any(cell is UNCHANGED for cell in cells):
                cells = self._filled(cells, place)
            self._connection.execute("REPLACE INTO rows VALUES (?, ?, ?)", [*place, json.dumps(cells)])

    def _filled(self, cells: Cells, place: list[str]) -> Cells:
        """A cell that the server did not send is as it was."""
        (text,) = self._connection.execute("SELECT cells FROM rows WHERE relation = ? AND key = ?", place).fetchone()
        return [before if cell is UNCHANGED else cell for cell, before in zip(cells, json.loads(text), strict=True)]


def app(source: Source, name: str, path: Path) -> App:
    """An App with one handler, which keeps the rows of schema `shop` in the SQLite file `path`."""
    made = App(source, name=name)
    projection = Projection(path)

    @made.on("shop.*")
    def keep(changes: list[Change]) -> None:
        projection.apply(changes)

    return made


def _key(row: Row, names: tuple[str, ...]) -> str:
    return json.dumps([row.text(name) for name in names])
