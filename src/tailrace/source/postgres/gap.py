"""The durable record of changes that nobody will read any more, because their slot was dropped on purpose.

One JSON object a line, appended and synced before the slot is dropped. Never removed: it is for people, too.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tailrace.durable import make_folder, storage, sync_folder
from tailrace.error import Fatal


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Changes of `lineage` between two LSNs, and whatever came later: gone with the slot, at `dropped_at`.

    `confirmed` is what the server knew to be durable in the sink; the saved position may lie behind it.
    """

    lineage: str
    confirmed: str
    wal_end: str
    retained_bytes: int
    retained_bytes_max: int
    dropped_at: str


def now() -> str:
    """The time as it stands in a record."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def record(path: Path, gap: Gap) -> None:
    """Append one record; durable on return."""
    make_folder(path.parent)
    with storage("write", path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, msgspec.json.encode(gap) + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_folder(path.parent)


def last(path: Path, lineage: str) -> Gap | None:
    """The latest record of that stream, if there is one."""
    with storage("read", path):
        lines = path.read_bytes().splitlines() if path.exists() else []
    try:
        gaps = [msgspec.json.decode(line, type=Gap) for line in lines]
    except msgspec.DecodeError as error:
        raise Fatal(
            f"{path} holds a line that is no record of a gap", hint="mend the line, or move the file away"
        ) from error
    return next((gap for gap in reversed(gaps) if gap.lineage == lineage), None)
