"""The names of a data file and its rotated predecessors. Never reads or writes data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

__all__ = ["Rotated", "Series"]

_PARTIAL = ".partial"


@dataclass(frozen=True, slots=True)
class Rotated:
    """A rotated file; `partial` while the snapshot that it belongs to is not complete."""

    path: Path
    sequence: int
    partial: bool

    def publish(self) -> None:
        """Give it the name of a finished file."""
        if self.partial:
            self.path.rename(self.path.with_name(self.path.name.removesuffix(_PARTIAL)))


class Series:
    """All files of one sink: `orders.jsonl`, `orders.20261122T205000Z.000001.jsonl`, …"""

    def __init__(self, path: Path) -> None:
        self.path = path
        suffixes = path.suffixes[-2:] if path.suffix == ".zst" else path.suffixes[-1:]
        self._suffix = "".join(suffixes)
        self._stem = path.name.removesuffix(self._suffix)
        self._pattern = re.compile(
            rf"{re.escape(self._stem)}\.\d{{8}}T\d{{6}}Z\.(\d{{6,}}){re.escape(self._suffix)}({re.escape(_PARTIAL)})?"
        )

    def name(self, sequence: int, at: datetime, *, partial: bool) -> Path:
        """What file number `sequence`, rotated `at` this time, is called."""
        time = at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        return self.path.with_name(f"{self._stem}.{time}.{sequence:06d}{self._suffix}{_PARTIAL if partial else ''}")

    def rotated(self) -> Iterator[Rotated]:
        """The rotated files that exist, by number."""
        found = []
        for path in self.path.absolute().parent.iterdir():
            match = self._pattern.fullmatch(path.name)
            if match:
                found.append(Rotated(path, int(match[1]), match[2] is not None))
        return iter(sorted(found, key=lambda file: file.sequence))
