"""The file of dead letters: lines that are only ever appended, and an index over them. Never decides what to park.

    {"owner": NAME}                                the pipeline whose letters these are; the last line of the kind holds
    {"letter": {…}}                                a change was parked
    {"failed": ID, "reason": …, "attempts": N}     its replay was refused again
    {"removed": ID, "why": "replayed"|"dropped"}   it is no longer parked

A line without its newline was never acknowledged: a reader ignores it and the owner cuts it off.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from tailrace.dead_letters.letter import Letter
from tailrace.durable import hold_to, make_folder, storage, sync_folder
from tailrace.durable import replace as replace_file
from tailrace.error import Fatal

__all__ = ["Journal", "check_owner", "read_all", "scan"]

_COMPACT_NBYTES_MIN = 1 << 20
_OTHERS = (
    "put it back as it was, or move it away to start an empty one, which loses the changes that were parked in it;"
    " `tailrace dead-letters drop` is for those that are done with"
)


@dataclass(slots=True)
class _Entry:
    """Where a letter's line lies, and what later lines said about it."""

    offset: int
    nbytes: int
    reason: str | None = None
    attempts: int | None = None


def scan(path: Path) -> tuple[dict[str, _Entry], int, str | None]:
    """Read the file from the start: the letters that are parked, where the last whole line ends, and whose they are."""
    with storage("read", path), _opened(path) as file:
        return ({}, 0, None) if file is None else _scan(file, path)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO | None]:
    """The file, None where there is none. Nobody asks before: of another user's folder, which may not be looked into,
    `Path.exists` says from Python 3.14 on that it is not there."""
    try:
        file = path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        yield None
        return
    with file:
        yield file


def _scan(file: BinaryIO, path: Path) -> tuple[dict[str, _Entry], int, str | None]:
    entries: dict[str, _Entry] = {}
    end, owner = 0, None
    for number, line in enumerate(file, 1):
        if not line.endswith(b"\n"):
            break
        try:
            document = json.loads(line)
            if "owner" in document:
                owner = str(document["owner"])
            else:
                _apply(entries, document, _Entry(end, len(line)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Fatal(
                f"dead letters {path}, line {number}: not a record of this file ({type(error).__name__})",
                hint="restore the file from a copy, or move it away to start an empty one",
            ) from error
        end += len(line)
    return entries, end, owner if entries else None  # without letters it is anybody's


def check_owner(path: Path, owner: str) -> None:
    """`Fatal` when the file holds letters of another pipeline than `owner`."""
    _refuse_other(path, scan(path)[2], owner)


def _refuse_other(path: Path, held: str | None, owner: str | None) -> None:
    if owner is not None and held is not None and held != owner:
        raise Fatal(
            f"the dead letters in {path} are of the pipeline {held!r}, not of {owner!r}",
            hint="give the dead letters of each pipeline a file of their own; if the pipeline was renamed, replay or "
            "drop them under the old name, or move the file",
        )


def read_all(path: Path, *, owner: str | None = None) -> list[Letter]:
    """Every letter that is parked in the file, without taking it from its owner. `Fatal` when they are another
    pipeline's than `owner`."""
    with storage("read", path), _opened(path) as file:
        if file is None:
            return []
        # One file for both: its owner may put a fresh one in its place at any moment.
        entries, _, held = _scan(file, path)
        _refuse_other(path, held, owner)
        return [_read(file.fileno(), entry) for entry in entries.values()]


def _read(descriptor: int, entry: _Entry) -> Letter:
    """The letter, with what later lines said about it."""
    letter = Letter.parse(json.loads(os.pread(descriptor, entry.nbytes, entry.offset))["letter"])
    if entry.reason is None:
        return letter
    return replace(letter, reason=entry.reason, attempts=entry.attempts or letter.attempts)


def _apply(entries: dict[str, _Entry], document: dict[str, object], line: _Entry) -> None:
    if "letter" in document:
        letter = Letter.parse(document["letter"])  # type: ignore[arg-type]
        entries[letter.id] = line
    elif "failed" in document:
        entry = entries[str(document["failed"])]
        entry.reason, entry.attempts = str(document["reason"]), int(str(document["attempts"]))
    else:
        entries.pop(str(document["removed"]), None)


class Journal:
    """The file, opened by its owner (under the owner's lock).

    It says with its first letter whose it is: the id of a letter is its change's, and a replay writes it into the sink
    of whoever has the file. When no letter is left another pipeline may have it.
    """

    def __init__(self, path: Path, nbytes_max: int, *, owner: str | None = None) -> None:
        self._path = path
        self._nbytes_max = nbytes_max
        make_folder(path.parent)
        self._entries, self._end, held = scan(path)
        _refuse_other(path, held, owner)
        self._owner = owner or held
        self._said = held == self._owner
        self._live_nbytes = sum(entry.nbytes for entry in self._entries.values())
        with storage("open", path):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.ftruncate(self._descriptor, self._end)
            sync_folder(path.parent)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, letter_id: object) -> bool:
        return letter_id in self._entries

    def read(self, letter_id: str) -> Letter:
        """The letter, with what later lines said about it."""
        with storage("read", self._path):
            return _read(self._descriptor, self._entries[letter_id])

    def letters(self) -> Iterator[Letter]:
        """All that are parked, in the order in which they were."""
        return (self.read(letter_id) for letter_id in list(self._entries))

    def park(self, letters: Iterable[Letter]) -> None:
        """Append, durably on return; `Fatal` when the file would pass its limit (I8)."""
        lines = [(letter.id, letter.line()) for letter in letters]
        nbytes = sum(len(line) for _, line in lines)
        if self._live_nbytes + nbytes > self._nbytes_max:
            raise Fatal(
                f"dead letters {self._path} are full: {self._nbytes_max} bytes, {len(self)} change(s)",
                hint="`tailrace dead-letters replay` or `drop` them, or raise limits.dead_letters_bytes_max",
            )
        head = b"" if self._said or not lines else self._head()
        offset = self._end + len(head)
        self._append(head + b"".join(line for _, line in lines))
        self._said = self._said or bool(lines)
        for letter_id, line in lines:
            self._entries[letter_id] = _Entry(offset, len(line))
            offset += len(line)
        self._live_nbytes += nbytes

    def fail(self, letter_id: str, reason: str) -> None:
        """Note that a replay was refused."""
        attempts = self.read(letter_id).attempts + 1
        self._append(_line({"failed": letter_id, "reason": reason, "attempts": attempts}))
        entry = self._entries[letter_id]
        entry.reason, entry.attempts = reason, attempts

    def remove(self, letter_ids: Iterable[str], why: str) -> None:
        """Forget these letters, durably on return."""
        gone = [letter_id for letter_id in letter_ids if letter_id in self._entries]
        self._append(b"".join(_line({"removed": letter_id, "why": why}) for letter_id in gone))
        for letter_id in gone:
            self._live_nbytes -= self._entries.pop(letter_id).nbytes
        if self._end - self._live_nbytes > max(_COMPACT_NBYTES_MIN, self._live_nbytes):
            self._compact()

    def close(self) -> None:
        """Release the file; closing twice is harmless (I12)."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _append(self, lines: bytes) -> None:
        if not lines:
            return
        hold_to(self._path, self._descriptor, self._end, hint=_OTHERS)
        with storage("write", self._path):
            try:
                view, at = memoryview(lines), self._end
                while view:
                    written = os.pwrite(self._descriptor, view, at)
                    view, at = view[written:], at + written
                os.fsync(self._descriptor)
            except OSError:
                os.ftruncate(self._descriptor, self._end)  # half a line must not stand in the way of the next
                raise
        hold_to(self._path, self._descriptor, self._end + len(lines), hint=_OTHERS)
        self._end += len(lines)

    def _compact(self) -> None:
        """Write what is still parked into a fresh file in place of the old one."""
        lines = [(letter.id, letter.line()) for letter in self.letters()]
        head = self._head()
        replace_file(self._path, head + b"".join(line for _, line in lines))
        os.close(self._descriptor)
        with storage("open", self._path):
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        self._entries, self._end, self._live_nbytes = {}, len(head), 0
        for letter_id, line in lines:
            self._entries[letter_id] = _Entry(self._end, len(line))
            self._end += len(line)
            self._live_nbytes += len(line)

    def _head(self) -> bytes:
        return b"" if self._owner is None else _line({"owner": self._owner})


def _line(document: dict[str, object]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
