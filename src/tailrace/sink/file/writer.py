"""Writes batches to a data file and its sidecar, data first. Never encodes a change itself.

The order of every step is chosen for a crash after any of them: what is beyond the sidecar is cut on the next open, a
rotation or a publication that was begun is carried through, a rewind is repeated.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from tailrace import durable
from tailrace._native import DebeziumJson
from tailrace.error import Fatal, Retryable
from tailrace.model import Batch, Position
from tailrace.sink.file.series import Series
from tailrace.sink.file.sidecar import Attempt, Held, Sidecar, State, sidecar_path

__all__ = ["Compressor", "FileWriter"]

_OTHERS = (
    "put it back as it was, or move it and its sidecar away to start with a snapshot; other programs must leave it"
    " alone (logrotate too: rotate_bytes and rotate_s are for that)"
)


class Compressor(Protocol):
    """What makes one frame: zstandard's `ZstdCompressionObj`."""

    def compress(self, data: memoryview, /) -> bytes:
        """Take in `data`; return what of the frame is ready."""
        ...

    def flush(self) -> bytes:
        """End the frame; return the rest of it."""
        ...


class FileWriter:
    """An open file sink and its `Positions`. Used by the writer thread; `claim` and `known` come before any batch."""

    def __init__(
        self,
        path: Path,
        name: str,
        *,
        profile: DebeziumJson,
        compress: Callable[[], Compressor] | None,
        rotate_bytes: int | None,
        rotate_s: float | None,
    ) -> None:
        self._path = path
        self._profile = profile
        self._compress = compress
        self._rotate_bytes = rotate_bytes
        self._rotate_s = rotate_s
        self._series = Series(path)
        self._sidecar = Sidecar(sidecar_path(path))
        self._descriptor: int | None = None
        self._lock = durable.Lock(path.with_name(path.name + ".lock"), f"the file {path}")
        try:
            self._state = self._adopt(name)
            with durable.storage("open", path):
                self._recover()
        except BaseException:
            self.close()
            raise

    def known(self) -> Mapping[str, Position | None]:
        """Every lineage in the sidecar, with the position that the data ends at."""
        return self._state.positions()

    def claim(self, lineage: str) -> Position | None:
        """Record a new epoch for `lineage`; return the position that the data ends at."""
        held = self._state.lineages.get(lineage, Held(0))
        self._store(
            replace(self._state, lineages=self._state.lineages | {lineage: Held(held.epoch + 1, held.position)})
        )
        return self.known()[lineage]

    def save(self, positions: Sequence[Position]) -> None:
        """Does nothing: `write` saved them with the rows."""

    def move(self, lineage: str, position: Position) -> None:
        """Carry the position that the data ends at over to another lineage, which is claimed with it."""
        lineages = dict(self._state.lineages)
        held = lineages.pop(lineage)
        lineages[position.lineage] = Held(held.epoch, position.text)
        self._store(replace(self._state, lineages=lineages))

    def forget(self) -> None:
        """Remove every position; the file, and where it ends, stay."""
        self._store(replace(self._state, lineages={}))

    def close(self) -> None:
        """Close the file and let go of it; closing twice is harmless (I12)."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        self._lock.close()

    def write(self, batch: Batch) -> None:
        """Append the batch, durably, then its positions. What a failure left of it in the file is cut."""
        if self._descriptor is None:
            raise Retryable(f"{self._path} is closed after an earlier error", hint="it is opened again after a pause")
        durable.hold_to(self._path, self._descriptor, self._state.offset, hint=_OTHERS)
        self._rotate()
        mark = batch.snapshot
        if mark is not None:
            self._begin(mark.attempt)
        offset = self._state.offset + self._append(batch)
        began_s = self._state.began_s if self._state.offset else time.time()
        state = replace(self._state.at(batch.positions), offset=offset, began_s=began_s)
        # Dead letters that are replayed come without a mark too, but they end where the last batch ended.
        if mark is None and state.attempt is not None and state.lineages != self._state.lineages:
            self._store(replace(state, attempt=None))
            self._publish()
        else:
            self._store(state)

    def _append(self, batch: Batch) -> int:
        """Write the records behind the end of the file; returns how many bytes. On failure the file is as it was."""
        assert self._descriptor is not None
        start = end = self._state.offset
        frame = None
        try:
            for encoded in batch.json(self._profile):
                view = memoryview(encoded)
                if self._compress is not None and frame is None and view:
                    frame = self._compress()
                end = self._put(view if frame is None else frame.compress(view), end)
            if frame is not None:
                end = self._put(frame.flush(), end)
            if end > start:
                with durable.storage("write", self._path):
                    os.fdatasync(self._descriptor)
                durable.hold_to(self._path, self._descriptor, end, hint=_OTHERS)
        except BaseException:
            self._cut(self._descriptor)
            raise
        return end - start

    def _put(self, data: bytes | memoryview, offset: int) -> int:
        assert self._descriptor is not None
        view = memoryview(data)
        with durable.storage("write", self._path):
            while view:
                written = os.pwrite(self._descriptor, view, offset)
                view, offset = view[written:], offset + written
        return offset

    def _cut(self, descriptor: int) -> None:
        """Take back what a failed write left; if even that fails, opening again must do it."""
        try:
            with durable.storage("cut", self._path):
                os.ftruncate(descriptor, self._state.offset)
                os.fsync(descriptor)
        except BaseException:
            self.close()
            raise

    def _store(self, state: State) -> None:
        """Replace the sidecar. After a failure nobody knows which one is on disk: only opening again tells."""
        try:
            self._sidecar.store(state, held=self._state)
        except BaseException:
            self.close()
            raise
        self._state = state

    def _rotate(self) -> None:
        """Give the current file its final name, and begin a new one, if it is long or old enough."""
        state = self._state
        long = self._rotate_bytes is not None and state.offset >= self._rotate_bytes
        old = self._rotate_s is not None and time.time() - state.began_s >= self._rotate_s
        if state.offset and (long or old):
            self._close_data()
            with durable.storage("rotate", self._path):
                at = datetime.now(UTC)
                self._path.rename(self._series.name(state.sequence, at, partial=state.attempt is not None))
                self._begin_file()

    def _begin_file(self) -> None:
        """The file behind the one that was renamed last."""
        self._open_data(0)
        self._store(replace(self._state, sequence=self._state.sequence + 1, offset=0))

    def _begin(self, attempt: str) -> None:
        """Remember where a snapshot began; a snapshot that was given up before leaves no line."""
        begun = self._state.attempt
        if begun is None:
            self._state = replace(self._state, attempt=Attempt(attempt, self._state.sequence, self._state.offset))
        elif begun.id != attempt:
            back = replace(begun, id=attempt)
            self._store(replace(self._state, attempt=back, sequence=back.sequence, offset=back.offset, rewinding=True))
            with durable.storage("cut back", self._path):
                self._rewind()

    def _rewind(self) -> None:
        """Make the files what they were when the attempt began. Each step may be repeated after a crash."""
        self._close_data()
        for rotated in self._series.rotated():
            if rotated.sequence == self._state.sequence:
                rotated.path.replace(self._path)
            elif rotated.sequence > self._state.sequence:
                rotated.path.unlink()
        self._open_data(self._state.offset)
        self._store(replace(self._state, rewinding=False))

    def _publish(self) -> None:
        """The snapshot is complete: what it rotated is final."""
        with durable.storage("rename rotated files of", self._path):
            partial = [rotated for rotated in self._series.rotated() if rotated.partial]
            for rotated in partial:
                rotated.publish()
            if partial:
                durable.sync_folder(self._path.absolute().parent)

    def _adopt(self, name: str) -> State:
        """What the sidecar says, or a first state; `Fatal` when the file is somebody else's."""
        state = self._sidecar.load()
        if state is None:
            with durable.storage("open", self._path):
                if self._path.exists() and self._path.stat().st_size:
                    raise Fatal(
                        f"{self._path} holds data, but {self._sidecar.path.name} is not beside it",
                        hint="move the file away, or give another path: Tailrace appends only to files of its own",
                    )
                last = max((rotated.sequence for rotated in self._series.rotated()), default=0)
            return State(name, sequence=last + 1)
        if state.pipeline != name:
            raise Fatal(
                f"{self._path} belongs to the pipeline {state.pipeline!r}, not to {name!r}",
                hint="give each pipeline a path of its own",
            )
        return state

    def _recover(self) -> None:
        """Carry through what a crash interrupted, and cut what lies beyond the sidecar."""
        if self._state.rewinding:
            self._rewind()
            return
        last = max((rotated.sequence for rotated in self._series.rotated()), default=0)
        begun = self._path.exists() and self._path.stat().st_size > 0
        if last > self._state.sequence or (last == self._state.sequence and begun):
            raise Fatal(
                f"{self._sidecar.path} is older than the files beside it: by it file {self._state.sequence} is being"
                f" written, and file {last} is rotated already",
                hint="put back the sidecar that belongs to them, or move all of them away to start with a snapshot",
            )
        if self._state.attempt is None:
            self._publish()
        if last == self._state.sequence:
            self._begin_file()
        else:
            self._open_data(self._state.offset)

    def _open_data(self, offset: int) -> None:
        """Open the current file and cut it at `offset`; `Fatal` when it is shorter."""
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        size = os.fstat(self._descriptor).st_size
        if size < offset:
            raise Fatal(
                f"{self._path} has {size} bytes, but {offset} were written and saved",
                hint="put the file back as it was, or move it and its sidecar away to start with a snapshot",
            )
        if size > offset:
            os.ftruncate(self._descriptor, offset)
            os.fsync(self._descriptor)

    def _close_data(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
