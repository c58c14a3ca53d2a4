"""Positions of one pipeline in one file: JSON under a checksum, replaced whole, fsynced. Never repairs a damaged file.

The file before is kept beside it as `<file>.previous`, and the lock is `<file>.lock`.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tailrace.durable import Lock, make_folder, obstacles, replace, require_file, storage, sync_folder
from tailrace.error import Fatal, Fenced
from tailrace.model import Finding, Position

__all__ = ["File"]

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class File:
    """Keep the positions of one pipeline in the file `path`, mode 0600, replaced whole and fsynced at each save.

    `Retryable` while another process has it (an operating system lock); `Fatal` when it is damaged: it is never
    repaired, and the one before it is beside it as `<path>.previous`.
    """

    kind: ClassVar[str] = "file"
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
        return _positions(_read(Path(self.path), name))


@dataclass(frozen=True, slots=True)
class _Held:
    """What the file says of one lineage: the epoch of its holder, and the text of its position."""

    epoch: int
    position: str | None


class _Positions:
    """See `Positions`. A lock of its own, because a source claims on the reader thread."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name
        self._epochs: dict[str, int] = {}
        self._guard = threading.Lock()
        self._lock = Lock(path.with_name(path.name + ".lock"), f"the checkpoint of pipeline {name}")
        try:
            self._load()
        except BaseException:
            self._lock.close()
            raise

    def known(self) -> Mapping[str, Position | None]:
        """See `Positions.known`."""
        return _positions(self._load())

    def claim(self, lineage: str) -> Position | None:
        """See `Positions.claim`."""
        with self._guard:
            saved = self._load()
            before = saved.get(lineage, _Held(0, None))
            self._epochs[lineage] = before.epoch + 1
            self._store({**saved, lineage: _Held(before.epoch + 1, before.position)})
        return None if before.position is None else Position(lineage, before.position)

    def save(self, positions: Sequence[Position]) -> None:
        """See `Positions.save`. One write for all positions."""
        with self._guard:
            saved = self._load()
            fresh = dict(saved)
            for position in positions:
                held = self._held(saved, position.lineage)
                fresh[position.lineage] = _Held(held.epoch, position.text)
            if fresh != saved:
                self._store(fresh)

    def move(self, lineage: str, position: Position) -> None:
        """See `Movable.move`."""
        with self._guard:
            saved = self._load()
            held = self._held(saved, lineage)
            self._epochs[position.lineage] = held.epoch
            rest = {name: other for name, other in saved.items() if name != lineage}
            self._store({**rest, position.lineage: _Held(held.epoch, position.text)})

    def forget(self) -> None:
        """See `Positions.forget`."""
        with self._guard:
            self._epochs.clear()
            with storage("remove", self._path):
                self._path.unlink(missing_ok=True)
                self._previous.unlink(missing_ok=True)
                sync_folder(self._path.parent)

    def close(self) -> None:
        """See `Positions.close`."""
        self._lock.close()

    @property
    def _previous(self) -> Path:
        return _previous(self._path)

    def _held(self, saved: Mapping[str, _Held], lineage: str) -> _Held:
        """What is saved of `lineage`, which must be ours."""
        held = saved.get(lineage)
        if held is None or held.epoch != self._epochs.get(lineage):
            raise Fenced(
                f"another process has claimed pipeline {self._name} ({lineage}) since this one did",
                hint=f"let one process run it; positions are in {self._path}",
            )
        return held

    def _load(self) -> dict[str, _Held]:
        """Read the file anew: another process may have written it, if the lock did not hold it back."""
        return _read(self._path, self._name)

    def _store(self, saved: Mapping[str, _Held]) -> None:
        body = {
            "format": _FORMAT,
            "pipeline": self._name,
            "lineages": {
                lineage: {"epoch": held.epoch, "position": held.position} for lineage, held in sorted(saved.items())
            },
        }
        make_folder(self._path.parent)
        content = json.dumps({"checkpoint": body, "sha256": _checksum(body)}, indent=1).encode() + b"\n"
        replace(self._path, content, previous=self._previous)


def _positions(saved: Mapping[str, _Held]) -> dict[str, Position | None]:
    return {
        lineage: None if held.position is None else Position(lineage, held.position) for lineage, held in saved.items()
    }


def _previous(path: Path) -> Path:
    return path.with_name(path.name + ".previous")


def _read(path: Path, name: str) -> dict[str, _Held]:
    """What the file says; `Fatal` when it is damaged or of another pipeline."""
    with storage("read", path):
        if not path.exists():
            return {}
        content = path.read_bytes()
    try:
        document = json.loads(content)
        body = document["checkpoint"]
        if document["sha256"] != _checksum(body):
            raise ValueError("the checksum differs")
        if body["format"] != _FORMAT:
            raise ValueError(f"format {body['format']} is not known to this version")
        saved = {lineage: _Held(held["epoch"], held["position"]) for lineage, held in body["lineages"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Fatal(
            f"checkpoint {path} is damaged: {error}",
            hint=f"put {_previous(path)} (one save older) in its place, or `tailrace reset`",
        ) from error
    if body["pipeline"] != name:
        raise Fatal(
            f"checkpoint {path} belongs to pipeline {body['pipeline']}, not to {name}",
            hint="give each pipeline a file of its own",
        )
    return saved


def _checksum(body: object) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
