"""What a pipeline is doing, as a frozen value, and the socket where other processes ask. Never holds row values."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

__all__ = ["Gauge", "State", "Status", "StatusServer", "ask", "read_status", "short_address", "write_status"]

_ASK_S = 5.0
_RATE_WINDOW_S = 10.0
_REPLY_NBYTES_MAX = 1 << 20

log = logging.getLogger(__name__)


class State(StrEnum):
    """Where a pipeline is in its life."""

    STARTING = "starting"
    SNAPSHOT = "snapshot"
    STREAMING = "streaming"
    RETRYING = "retrying"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Status:
    """A snapshot of one pipeline. Times are seconds since the Unix epoch; counts are since this process started it.

    `positions` maps each lineage to what is saved. `lag_s` is the age of the oldest change that was read and is not
    yet written, 0 when there is none; `lag_bytes` is what the server has and the pipeline has not read; both are None
    when unknown.
    """

    name: str
    state: State
    pid: int
    since: float
    started_at: float
    positions: Mapping[str, str] = field(default_factory=dict)
    changes: int = 0
    nbytes: int = 0
    batches: int = 0
    changes_per_s: float = 0.0
    shelf_nbytes: int = 0
    lag_bytes: int | None = None
    lag_s: float | None = None
    dead_letters: int = 0
    restarts: int = 0
    error: str | None = None


class Gauge:
    """The numbers behind a Status; written by the writer thread, read by any."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._started_at = self._since = time.time()
        self._state = State.STOPPED
        self._changes = self._nbytes = self._batches = 0
        self._history: deque[tuple[float, int]] = deque(maxlen=256)
        self.saved: dict[str, str] = {}
        self.dead_letters = 0
        self.restarts = 0
        self.error: str | None = None
        self.committed_at: datetime | None = None
        """Commit time of the batch that is being written; None between batches."""

    @property
    def state(self) -> State:
        """Where the pipeline is; setting it notes the time."""
        return self._state

    @state.setter
    def state(self, state: State) -> None:
        if state is not self._state:
            self._state, self._since = state, time.time()

    @property
    def changes(self) -> int:
        """Changes that the sink has made durable since the start of this process."""
        return self._changes

    def wrote(self, changes: int, nbytes: int) -> None:
        """Count one batch that the sink has made durable."""
        self._changes += changes
        self._nbytes += nbytes
        self._batches += 1
        now = time.monotonic()
        if not self._history or now - self._history[-1][0] >= _RATE_WINDOW_S / 100:
            self._history.append((now, self._changes))

    def _rate(self) -> float:
        now = time.monotonic()
        window = [(at, count) for at, count in list(self._history) if now - at <= _RATE_WINDOW_S]
        return (self._changes - window[0][1]) / max(now - window[0][0], 1.0) if window else 0.0

    def status(self, *, shelf_nbytes: int, lag_bytes: int | None, oldest: datetime | None) -> Status:
        """Freeze. `oldest` is the commit time of the batch that has waited longest on the shelf."""
        running = self._state in {State.SNAPSHOT, State.STREAMING, State.STOPPING}
        held = self.committed_at or oldest
        age_s = max(0.0, (datetime.now(UTC) - held).total_seconds()) if held else 0.0
        return Status(
            name=self._name,
            state=self._state,
            pid=os.getpid(),
            since=self._since,
            started_at=self._started_at,
            positions=dict(self.saved),
            changes=self._changes,
            nbytes=self._nbytes,
            batches=self._batches,
            changes_per_s=round(self._rate(), 1),
            shelf_nbytes=shelf_nbytes,
            lag_bytes=lag_bytes,
            lag_s=round(age_s, 3) if running else None,
            dead_letters=self.dead_letters,
            restarts=self.restarts,
            error=self.error,
        )


@contextlib.contextmanager
def short_address(path: Path) -> Iterator[str]:
    """An address for `path` below the 107 bytes that a Unix socket allows, whatever the folder's length."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}" if len(os.fsencode(path)) > 100 else str(path)
    finally:
        os.close(folder)


class StatusServer:
    """Answers every connection to a 0600 Unix socket with one JSON document, the Status, and closes it."""

    def __init__(self, path: Path, status: Callable[[], Status]) -> None:
        self._path = path
        self._status = status
        self._closed = False
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        os.fchmod(self._socket.fileno(), 0o600)  # the file is born private, there is no moment when others may ask
        path.unlink(missing_ok=True)  # what a killed process left; the pipeline's lock is held, so nobody listens
        with short_address(path) as address:
            self._socket.bind(address)
        self._socket.listen(8)
        threading.Thread(target=self._serve, name=f"tailrace-{path.stem}-status", daemon=True).start()

    def _serve(self) -> None:
        import msgspec

        while not self._closed:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return  # closed
            with client, contextlib.suppress(OSError):  # the asker went away: nothing to tell it
                client.settimeout(_ASK_S)
                client.sendall(msgspec.json.encode(self._status()))

    def close(self) -> None:
        """Stop answering and remove the socket; closing twice is harmless (I12)."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes `accept`
        self._socket.close()
        self._path.unlink(missing_ok=True)


def write_status(path: Path, status: Status) -> None:
    """Keep the last status of a pipeline that ends; only for people, so not fsynced."""
    import msgspec

    fresh = path.with_name(path.name + ".new")
    with open(fresh, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(msgspec.json.encode(status))
    fresh.replace(path)


def read_status(path: Path) -> Status | None:
    """What `write_status` kept; None when nothing is there that can be read."""
    import msgspec

    try:
        return msgspec.json.decode(path.read_bytes(), type=Status)
    except (OSError, msgspec.DecodeError):
        return None


def ask(path: Path) -> Status | None:
    """The Status of the pipeline whose socket is `path`; None when nobody answers there."""
    import msgspec

    reply = bytearray()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(_ASK_S)
        try:
            with short_address(path) as address:
                client.connect(address)
            while len(reply) < _REPLY_NBYTES_MAX and (part := client.recv(65536)):
                reply += part
        except OSError:
            return None
    try:
        return msgspec.json.decode(reply, type=Status)
    except msgspec.DecodeError:
        return None
