"""Dead letters in one file of JSON Lines, fsynced, mode 0600. Never drops a letter that nobody asked to drop.

Beside it lie `<file>.lock` and `<file>.requests/`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tailrace.dead_letters import request
from tailrace.dead_letters.journal import Journal
from tailrace.dead_letters.parked import Parked
from tailrace.durable import Lock, obstacles, require_file
from tailrace.error import Retryable
from tailrace.model import Finding, Limits

__all__ = ["File", "discard", "is_owned"]


@dataclass(frozen=True, slots=True)
class File:
    """Park changes in the file `path`, mode 0600: JSON Lines that are on disk before anything later is written.

    It is one pipeline's, and one process's at a time: `Fatal` when it is another pipeline's, `Retryable` while another
    process has it. Beyond `Limits.dead_letters_bytes_max` the pipeline stops.
    """

    kind: ClassVar[str] = "file"
    path: str | Path

    def __post_init__(self) -> None:
        require_file(self.path)

    def check(self) -> list[Finding]:
        """See `Checked.check`."""
        return obstacles(Path(self.path))

    def open(self, name: str, limits: Limits, *, stopped: Callable[[], bool] | None = None) -> Parked:
        """See `DeadLetters.open`."""
        path = Path(self.path)
        lock = _lock(path, f"the dead letters of pipeline {name}")
        try:
            journal = Journal(path, limits.dead_letters_bytes_max, owner=name)
            return Parked(journal, lambda: request.pending(path), lock.close)
        except BaseException:
            lock.close()
            raise


def is_owned(path: Path) -> bool:
    """Whether a process has these letters open: it looks at requests between two batches."""
    try:
        _lock(path, "").close()
    except Retryable:
        return True
    return False


def discard(path: Path, ids: Collection[str] | None = None, *, owner: str | None = None) -> int:
    """Throw letters away (None: all) while no process has them open; returns how many. `Retryable` while one has,
    `Fatal` when they are another pipeline's than `owner`."""
    with _lock(path, f"the file of dead letters {path}"):
        journal = Journal(path, 0, owner=owner)
        try:
            wanted = [letter.id for letter in journal.letters() if ids is None or letter.id in ids]
            journal.remove(wanted, "dropped")
        finally:
            journal.close()
    return len(wanted)


def _lock(path: Path, what: str) -> Lock:
    return Lock(path.with_name(path.name + ".lock"), what)
