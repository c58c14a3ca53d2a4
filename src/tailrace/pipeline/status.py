"""What a pipeline is doing, as a frozen value, and the socket where other processes ask. Never holds row values."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from tailrace.error import Fatal, Retryable

__all__ = ["END_S", "State", "Status", "StatusServer", "ask", "read_status", "short_address", "write_status"]

_ASK_S = 5.0
_REPLY_NBYTES_MAX = 1 << 20
END_S = 1.0
"""How long `close` waits for a thread that answers. One that the end of the interpreter overtakes keeps what it holds
alive, and DuckDB complains of its own on stderr."""

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
    SILENT = "silent"
    """A process has its socket open and does not answer: it hangs or is paused."""


@dataclass(frozen=True, slots=True)
class Status:
    """A snapshot of one pipeline. Times are seconds since the Unix epoch; counts are since this process started it.

    `positions` maps each lineage to what is saved. `lag_s` is the age of the oldest change that is not yet durable in
    the sink: exact for what was read, at most so much for what was not; 0 when the source had nothing more, as it was
    last asked, and None when unknown. `lag_bytes` is what the server has and the pipeline has not read, `lags` the same
    in records by `topic/partition`, of a source that has partitions. Everything that was committed before
    `caught_up_at` is durable. `progressed_at` is when something last became durable or the source was seen idle; health
    goes by it. `reason` says in words what is done or waited for, `opened` whether the source has been open in this
    run, `error` what the last fault was.
    """

    name: str
    state: State
    pid: int
    since: float
    started_at: float
    reason: str = ""
    positions: Mapping[str, str] = field(default_factory=dict)
    changes: int = 0
    nbytes: int = 0
    batches: int = 0
    changes_per_s: float = 0.0
    bytes_per_s: float = 0.0
    shelf_nbytes: int = 0
    lag_bytes: int | None = None
    lags: Mapping[str, int] = field(default_factory=dict)
    lag_s: float | None = None
    caught_up_at: float | None = None
    progressed_at: float | None = None
    opened: bool = False
    dead_letters: int = 0
    restarts: int = 0
    error: str | None = None
    error_at: float | None = None


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
        self._thread = threading.Thread(target=self._serve, name=f"tailrace-{path.stem}-status", daemon=True)
        self._thread.start()

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
        self._thread.join(END_S)
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


def ask(path: Path, *, timeout_s: float = _ASK_S) -> Status | None:
    """The Status of the pipeline whose socket is `path`; None when no process has it open.

    `Retryable` when a process has it open and does not answer, `Fatal` when it is another user's.
    """
    import msgspec

    reply = bytearray()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(timeout_s)
        try:
            with short_address(path) as address:
                client.connect(address)
            while len(reply) < _REPLY_NBYTES_MAX and (part := client.recv(65536)):
                reply += part
        except (TimeoutError, BlockingIOError) as error:  # the second: a queue that nobody takes from is full
            raise Retryable(
                f"the process that runs {path.stem} did not answer within {timeout_s:g} s",
                hint="it hangs, is paused, or has no time",
            ) from error
        except PermissionError as error:
            raise Fatal(
                f"{path} belongs to another user, and only that one may ask pipeline {path.stem}",
                hint=f"sudo -u '#{_owner(path)}' tailrace …",
            ) from error
        except OSError:
            return None
    try:
        return msgspec.json.decode(reply, type=Status)
    except msgspec.DecodeError:
        return None


def _owner(path: Path) -> int:
    """Whose it is, as far as we may see."""
    for each in (path, *path.parents):
        with contextlib.suppress(PermissionError):
            return each.stat().st_uid
    return 0
