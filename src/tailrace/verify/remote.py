"""Asks the process that runs a pipeline about a target that only it may open, and to repair rows. Opens neither end."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from tailrace.comparison import Checksum, Key, Mirror, Shape, Span, TargetLook
from tailrace.error import Fatal, Retryable
from tailrace.pipeline.desk import Ask, Reply
from tailrace.pipeline.status import short_address

__all__ = ["PipelineGone", "Remote"]

_CONNECT_S = 5.0
_ANSWER_S = 600.0
T = TypeVar("T")


class PipelineGone(Retryable):
    """The process that runs the pipeline has ended, and nobody answers in its place."""


class Remote:
    """A `TargetView` of the target of the pipeline whose desk is `path`; `Retryable` when nobody answers there."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(_CONNECT_S)
        try:
            with short_address(path) as address:
                self._socket.connect(address)
        except OSError as error:
            self._socket.close()
            raise Retryable(
                f"the running pipeline does not answer at {path}: {error.strerror}",
                hint="a pipeline of an older release cannot be verified while it runs: restart it",
            ) from error
        self._socket.settimeout(_ANSWER_S)
        self._lines = self._socket.makefile("rb")

    def mirror(self, shape: Shape) -> Mirror | str:
        """See `TargetView.mirror`."""
        raw = self._ask(Ask("mirror", shape=shape))
        return msgspec.json.decode(raw) if raw.startswith(b'"') else msgspec.json.decode(raw, type=Mirror)

    def checksum(self, mirror: Mirror, span: Span) -> Checksum:
        """See `TargetView.checksum`."""
        return msgspec.json.decode(self._ask(Ask("checksum", mirror=mirror, span=span)), type=Checksum)

    def digests(self, mirror: Mirror, span: Span) -> Sequence[tuple[Key, str]]:
        """See `TargetView.digests`."""
        found = msgspec.json.decode(self._ask(Ask("digests", mirror=mirror, span=span)))
        return [(tuple(key), digest) for key, digest in found]

    def look(self, mirror: Mirror, keys: Sequence[Key]) -> TargetLook:
        """See `TargetView.look`."""
        return msgspec.json.decode(self._ask(Ask("look", mirror=mirror, keys=list(keys))), type=TargetLook)

    def repair(self, table: str, keys: Sequence[Key]) -> int:
        """Have these rows of the source's `table` written again; returns how many were."""
        return msgspec.json.decode(self._ask(Ask("repair", table=table, keys=list(keys))), type=int)

    def close(self) -> None:
        """See `TargetView.close`."""
        self._lines.close()
        self._socket.close()

    def _ask(self, ask: Ask) -> bytes:
        try:
            self._socket.sendall(msgspec.json.encode(ask) + b"\n")
            line = self._lines.readline()
        except ConnectionError as error:
            raise _gone() from error
        except OSError as error:
            raise Retryable(f"the running pipeline has not answered: {error.strerror or 'timed out'}") from error
        if not line:
            raise _gone()
        reply = msgspec.json.decode(line, type=Reply)
        if reply.error is not None:
            raise (Retryable if reply.retryable else Fatal)(reply.error, hint=reply.hint)
        return bytes(reply.value)


def _gone() -> PipelineGone:
    return PipelineGone("the pipeline ended while it was verified", hint="run it, and verify again")
