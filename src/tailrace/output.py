"""Standard output, past Python's own buffering: whole lines, and its faults in our words. Never closes it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TextIO

from tailrace.durable import FULL
from tailrace.error import Fatal, Retryable, TailraceError

__all__ = ["fault_of", "give_up", "is_open", "require", "reserve", "write"]

_FD, _ERRORS_FD = 1, 2
_NAP_S = 0.2
_turn = threading.Lock()
"""Of several pipelines one writes at a time: a pipe that is full takes parts of lines."""


def reserve() -> None:
    """Keep descriptors 1 and 2 from becoming a file or a socket that is opened later, where the caller gave us none.

    What is written to 1 fails then, in place of landing in that file; what is said on 2 goes nowhere.
    """
    if sys.stdout is None:
        while (descriptor := os.open(os.devnull, os.O_RDONLY)) < _FD:  # without standard input 0 is free too
            pass
        sys.stdout = os.fdopen(descriptor, "w")
    if sys.stderr is None:  # print would take standard output in its place
        while (descriptor := os.open(os.devnull, os.O_WRONLY)) < _ERRORS_FD:
            pass
        sys.stderr = os.fdopen(descriptor, "w")


def give_up(stream: TextIO) -> None:
    """What is still buffered must not fail again when Python exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def is_open() -> bool:
    """Whether anything can be written there."""
    try:
        return fcntl.fcntl(_FD, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
    except OSError:
        return False


def require() -> None:
    """Have what Python still holds for standard output go first; `Fatal` when standard output is closed."""
    if sys.stdout is None or not is_open():
        raise _closed()
    with _explained():
        sys.stdout.flush()


def write(view: memoryview, *, unwanted: Callable[[], bool] | None = None) -> bool:
    """Write all of it, apart from what other threads write; once it is `unwanted` only as long as somebody takes it,
    and False when nobody did.

    `BrokenPipeError` when the reader is gone, `Retryable` for a full disk, `Fatal` for the rest.
    """
    with _turn, _explained():
        while view:
            if unwanted is None:
                view = view[_some(view) :]
            elif select.select([], [_FD], [], _NAP_S)[1]:  # then a pipe has room for so much: it does not block
                view = view[_some(view[: select.PIPE_BUF]) :]
            elif unwanted():
                return False
    return True


def _some(view: memoryview) -> int:
    try:
        return os.write(_FD, view)
    except BlockingIOError:  # whoever started us made the pipe non-blocking
        select.select([], [_FD], [])
        return 0


def fault_of(error: Exception) -> TailraceError | None:
    """What `print` and `sys.stdout` raised, in words; None for other errors.

    Nothing else in a command raises these without the name of a file: what has one is wrapped where it happens.
    """
    if isinstance(error, OSError) and error.filename is None and error.errno in FULL | {errno.EBADF, errno.EIO}:
        return _fault(error)
    return None


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _fault(error) from error


def _fault(error: OSError) -> TailraceError:
    if error.errno == errno.EBADF:
        return _closed()
    message = f"cannot write to standard output: {error.strerror}"
    if error.errno in FULL:
        return Retryable(message, hint="free some space, and begin again")
    return Fatal(message)


def _closed() -> TailraceError:
    return Fatal("standard output is closed", hint="give it a reader, a file or /dev/null")
