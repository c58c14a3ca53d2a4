"""Positions of any number of pipelines in a SQLite file, synchronous EXTRA. Never shares a pipeline between processes.

The lock of pipeline `orders` in `positions.db` is `positions.db.orders.lock`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tailrace.durable import Lock, make_folder, obstacles, require_file, storage
from tailrace.error import Fatal, Fenced, Retryable
from tailrace.model import Finding, Position

__all__ = ["SQLite"]

_BUSY_S = 5.0
_CREATE = """
create table if not exists tailrace_position (
    pipeline text not null,
    lineage text not null,
    epoch integer not null,
    position text,
    saved_at text not null default current_timestamp,
    primary key (pipeline, lineage)
) without rowid
"""
_MADE = "select 1 from sqlite_master where name = 'tailrace_position'"
_KNOWN = "select lineage, position from tailrace_position where pipeline = ?"
_CLAIM = """
insert into tailrace_position (pipeline, lineage, epoch) values (?, ?, 1)
on conflict (pipeline, lineage) do update set epoch = epoch + 1
returning epoch, position
"""
_SAVE = """
update tailrace_position set position = ?, saved_at = current_timestamp
where pipeline = ? and lineage = ? and epoch = ?
"""
_MOVE = """
update tailrace_position set lineage = ?, position = ?, saved_at = current_timestamp
where pipeline = ? and lineage = ? and epoch = ?
"""
_FORGET = "delete from tailrace_position where pipeline = ?"


@dataclass(frozen=True, slots=True)
class SQLite:
    """Keep the positions of any number of pipelines in the SQLite file `path`, mode 0600, made when it is missing.

    `Retryable` while another process has the same pipeline (an operating system lock), or while the disk is full.
    """

    kind: ClassVar[str] = "sqlite"
    path: str | Path

    def __post_init__(self) -> None:
        require_file(self.path)

    def check(self) -> list[Finding]:
        """See `Checked.check`."""
        return obstacles(Path(self.path))

    def open(self, name: str) -> _Positions:
        """See `Checkpoint.open`."""
        return _Positions(Path(self.path), name)

    def saved(self, name: str) -> Mapping[str, Position | None]:
        """See `Remembering.saved`."""
        path = Path(self.path).absolute()
        if not path.exists():
            return {}
        with _explained(path):
            try:
                return _read(path, name)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:
                    raise
                return _read_copy(path, name)


class _Positions:
    """See `Positions`. Each method is one transaction; the epoch is checked inside it."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name
        self._epochs: dict[str, int] = {}
        self._guard = threading.Lock()  # a source claims on the reader thread
        make_folder(path.parent)
        self._lock = Lock(path.with_name(f"{path.name}.{name}.lock"), f"the checkpoint of pipeline {name}")
        try:
            with storage("open", path):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
            with _explained(path):
                self._db.execute("pragma synchronous = extra")
                self._db.execute(_CREATE)
        except BaseException:
            self._lock.close()
            raise

    def known(self) -> Mapping[str, Position | None]:
        """See `Positions.known`."""
        with self._guard, _explained(self._path):
            return _known(self._db, self._name)

    def claim(self, lineage: str) -> Position | None:
        """See `Positions.claim`."""
        with self._transaction() as db:
            epoch, text = db.execute(_CLAIM, (self._name, lineage)).fetchone()
        self._epochs[lineage] = epoch
        return None if text is None else Position(lineage, text)

    def save(self, positions: Sequence[Position]) -> None:
        """See `Positions.save`."""
        with self._transaction() as db:
            for position in positions:
                epoch = self._epochs.get(position.lineage, 0)
                self._update(db, _SAVE, (position.text, self._name, position.lineage, epoch), lineage=position.lineage)

    def move(self, lineage: str, position: Position) -> None:
        """See `Movable.move`."""
        epoch = self._epochs.get(lineage, 0)
        with self._transaction() as db:
            self._update(db, _MOVE, (position.lineage, position.text, self._name, lineage, epoch), lineage=lineage)
        self._epochs[position.lineage] = epoch

    def forget(self) -> None:
        """See `Positions.forget`."""
        with self._transaction() as db:
            db.execute(_FORGET, (self._name,))
        self._epochs.clear()

    def close(self) -> None:
        """See `Positions.close`."""
        self._db.close()
        self._lock.close()

    def _update(self, db: sqlite3.Connection, statement: str, values: tuple[object, ...], *, lineage: str) -> None:
        """Run a statement that changes the row of `lineage` while its epoch is ours."""
        if db.execute(statement, values).rowcount != 1:
            raise Fenced(
                f"another process has claimed pipeline {self._name} ({lineage}) since this one did",
                hint=f"let one process run it; positions are in {self._path}",
            )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._guard, _explained(self._path):
            self._db.execute("begin immediate")
            try:
                yield self._db
                self._db.execute("commit")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # the fault itself is what counts
                    self._db.execute("rollback")
                raise


def _read(path: Path, name: str) -> dict[str, Position | None]:
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
        # Killed before the table was made, its first process left an empty file.
        return _known(db, name) if db.execute(_MADE).fetchall() else {}


def _read_copy(path: Path, name: str) -> dict[str, Position | None]:
    """A process was killed within a save, and the next to open the file takes that back: here a copy of it does."""
    with tempfile.TemporaryDirectory(prefix="tailrace-") as folder:
        for part in (path, path.with_name(f"{path.name}-journal")):
            with contextlib.suppress(FileNotFoundError):  # opened in between, the file has no journal any more
                shutil.copyfile(part, Path(folder) / part.name)
        with contextlib.closing(sqlite3.connect(Path(folder) / path.name)) as db:
            return _known(db, name) if db.execute(_MADE).fetchall() else {}


def _known(db: sqlite3.Connection, name: str) -> dict[str, Position | None]:
    rows = db.execute(_KNOWN, (name,)).fetchall()
    return {lineage: None if text is None else Position(lineage, text) for lineage, text in rows}


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        message = f"checkpoint {path}: {error}"
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None and code & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}:
            raise Retryable(
                message, hint="free some space or end what locks the file; the position has not moved"
            ) from error
        raise Fatal(message, hint="restore the file from a copy, or `tailrace reset`") from error
