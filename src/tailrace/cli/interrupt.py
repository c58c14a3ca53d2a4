"""What Ctrl-C does to a command that has no pipelines to stop. Imports nothing of weight: it comes before all else."""

from __future__ import annotations

import os
import signal
from types import FrameType, TracebackType

__all__ = ["Unwinding", "leave_at_once"]

_CODE = 128 + signal.SIGINT


def leave_at_once() -> None:
    """From here on Ctrl-C ends the process where it stands, without a word, whatever it imports or waits for.

    Where whoever started us has it ignored, as for a job in the background, that stays.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _leave)


class Unwinding:
    """Within it the first Ctrl-C is a KeyboardInterrupt, for what cleans up after itself; a second ends the process."""

    def __enter__(self) -> None:
        self._before = signal.getsignal(signal.SIGINT)
        if self._before is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, _unwind)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._before)


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(_CODE)


def _unwind(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGINT, _leave)
    raise KeyboardInterrupt
