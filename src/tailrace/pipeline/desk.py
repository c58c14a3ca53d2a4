"""Answers questions about the target, and takes orders to repair, on a 0600 Unix socket of the running pipeline.

One JSON document a line, each with one in return. A target that only one process may open is read through here. Never
touches the target but by the sink's own view, nor the stream but by the writer.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tailrace.comparison import Checksum, ComparableSink, Key, Mirror, Shape, Span, TargetLook, TargetView
from tailrace.contract import Sink
from tailrace.error import Fatal, Retryable, TailraceError
from tailrace.pipeline.repair import Ticket
from tailrace.pipeline.status import END_S, short_address

__all__ = ["Ask", "Desk", "Reply"]

_LINE_NBYTES_MAX = 64 << 20
_CLIENTS_MAX = 8
_LOOK_S = 0.2


class Ask(msgspec.Struct, omit_defaults=True):
    """What is asked: `do` is a method of `TargetView`, or `repair` with `table` and `keys`."""

    do: str
    shape: Shape | None = None
    mirror: Mirror | None = None
    span: Span = msgspec.field(default_factory=Span)
    keys: list[Key] = []
    table: str = ""


class Reply(msgspec.Struct, omit_defaults=True):
    """The answer, or the error: whether it passes by itself, what it says, its hint."""

    value: msgspec.Raw = msgspec.Raw(b"null")
    retryable: bool = False
    error: str | None = None
    hint: str | None = None


class Desk:
    """Listens until it is closed. `submit` hands a repair to the pipeline's writer."""

    def __init__(self, path: Path, name: str, *, sink: Sink, submit: Callable[[str, Sequence[Key]], Ticket]) -> None:
        self._path = path
        self._name = name
        self._sink = sink
        self._submit = submit
        self._closed = threading.Event()
        self._room = threading.BoundedSemaphore(_CLIENTS_MAX)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        os.fchmod(self._socket.fileno(), 0o600)
        path.unlink(missing_ok=True)
        with short_address(path) as address:
            self._socket.bind(address)
        self._socket.listen(_CLIENTS_MAX)
        self._attending: list[tuple[threading.Thread, socket.socket]] = []
        self._serving = threading.Thread(target=self._serve, name=f"tailrace-{name}-desk", daemon=True)
        self._serving.start()

    def close(self) -> None:
        """Answer what was asked, and nobody any more; closing twice is harmless (I12)."""
        if self._closed.is_set():
            return
        self._closed.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        deadline = time.monotonic() + END_S
        self._serving.join(END_S)  # nobody is let in behind it
        for thread, client in self._attending:
            with contextlib.suppress(OSError):  # it has left
                client.shutdown(socket.SHUT_RD)
            thread.join(max(deadline - time.monotonic(), 0.0))
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def _serve(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._socket.accept()
            except OSError:
                return  # closed
            if not self._room.acquire(blocking=False):
                client.close()
                continue
            attending = threading.Thread(
                target=self._attend, args=(client,), name=f"tailrace-{self._name}-desk", daemon=True
            )
            attending.start()
            self._attending = [each for each in self._attending if each[0].is_alive()] + [(attending, client)]

    def _attend(self, client: socket.socket) -> None:
        """One client, from its first line to its last."""
        view: list[TargetView] = []
        try:
            with client, client.makefile("rb") as lines, contextlib.suppress(OSError):
                while line := lines.readline(_LINE_NBYTES_MAX):
                    client.sendall(msgspec.json.encode(self._answer(line, view)) + b"\n")
        finally:
            for each in view:
                each.close()
            self._room.release()

    def _answer(self, line: bytes, view: list[TargetView]) -> Reply:
        try:
            ask = msgspec.json.decode(line, type=Ask)
            value = self._repair(ask) if ask.do == "repair" else self._read(ask, view)
            return Reply(value=msgspec.Raw(msgspec.json.encode(value)))
        except TailraceError as error:
            return Reply(retryable=isinstance(error, Retryable), error=str(error.args[0]), hint=error.hint)
        except Exception as error:  # noqa: BLE001 - whoever asks is told; the pipeline must not end of it
            return Reply(error=f"the pipeline could not answer: {type(error).__name__}")

    def _read(self, ask: Ask, view: list[TargetView]) -> Any:
        if not isinstance(self._sink, ComparableSink):
            raise Fatal(f"sink {self._sink.kind} holds nothing that can be compared")
        if not view:
            view.append(self._sink.view(self._name))
        if ask.do == "mirror" and ask.shape is not None:
            return view[0].mirror(ask.shape)
        if ask.mirror is None:
            raise Fatal("the question names no table")
        if ask.do == "checksum":
            checksum: Checksum = view[0].checksum(ask.mirror, ask.span)
            return checksum
        if ask.do == "digests":
            return view[0].digests(ask.mirror, ask.span)
        if ask.do == "look":
            look: TargetLook = view[0].look(ask.mirror, ask.keys)
            return look
        raise Fatal(f"the pipeline does not know the question {ask.do!r}")

    def _repair(self, ask: Ask) -> int:
        ticket = self._submit(ask.table, ask.keys)
        while not ticket.done.wait(_LOOK_S):
            if self._closed.is_set():
                raise Retryable("the pipeline ended before the rows were repaired", hint="run it, and verify again")
        if ticket.error is not None:
            raise ticket.error
        return ticket.repaired
