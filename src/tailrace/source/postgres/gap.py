"""The durable record of changes that nobody will read any more, because their slot was dropped on purpose.

One JSON object a line, appended and synced before the slot is dropped. Never removed: it is for people, too. A line
without its end was never durable, so its slot was not dropped.
"""

from __future__ import annotations

import contextlib
import fcntl
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
    """Append one record, whole; durable on return. If it raises, the file is as it was."""
    make_folder(path.parent)
    with storage("write", path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # several pipelines may share the file
            size = len(_whole(path.read_bytes()))
            os.ftruncate(descriptor, size)
            try:
                view = memoryview(msgspec.json.encode(gap) + b"\n")
                while view:  # a disk that is almost full takes a part
                    view = view[os.write(descriptor, view) :]
                os.fsync(descriptor)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)
        sync_folder(path.parent)


def last(path: Path, lineage: str) -> Gap | None:
    """The latest record of that stream, if there is one."""
    with storage("read", path):
        lines = _whole(path.read_bytes()).splitlines() if path.exists() else []
    try:
        gaps = [msgspec.json.decode(line, type=Gap) for line in lines]
    except msgspec.DecodeError as error:
        raise Fatal(
            f"{path} holds a line that is no record of a gap", hint="mend the line, or move the file away"
        ) from error
    return next((gap for gap in reversed(gaps) if gap.lineage == lineage), None)


def _whole(content: bytes) -> bytes:
    """Without a last line that has no end."""
    return content[: content.rfind(b"\n") + 1]
