"""What Ctrl-C does to a command that has no pipelines to stop. Imports nothing of weight: it comes before all else."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType

__all__ = ["Unwinding", "leave_at_once", "may_handle"]

_CODE = 128 + signal.SIGINT


def may_handle() -> bool:
    """Whether this thread may say who hears of signals: Python lets the main thread alone. On any other thread of a
    program a command runs without, and signals stay the program's."""
    return threading.current_thread() is threading.main_thread()


def leave_at_once() -> Callable[[], None]:
    """From here on Ctrl-C ends the process without a word, as soon as the main thread is back in Python: while it
    imports, and in waits that a signal breaks off. Returns what takes that back.

    Where whoever started us has it ignored, as for a job in the background, that stays.
    """
    return _handle(_leave)


class Unwinding:
    """Within it the first Ctrl-C is a KeyboardInterrupt, for what cleans up after itself; a second ends the process."""

    def __enter__(self) -> None:
        self._restore = _handle(_unwind)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()


def _handle(handler: Callable[[int, FrameType | None], None]) -> Callable[[], None]:
    """Have `handler` hear of Ctrl-C; returns what has it heard as before."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN or not may_handle():
        return lambda: None
    signal.signal(signal.SIGINT, handler)

    def restore() -> None:
        if before is not None:  # as for a handler of C, which Python cannot set
            signal.signal(signal.SIGINT, before)

    return restore


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(_CODE)


def _unwind(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGINT, _leave)
    raise KeyboardInterrupt
