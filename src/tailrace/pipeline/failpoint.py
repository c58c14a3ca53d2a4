"""Kills this process at a chosen place of the pipeline, for crash tests. Does nothing unless TAILRACE_FAILPOINT is set.

`TAILRACE_FAILPOINT=write.before:3` sends SIGKILL to the process when it comes to that place for the third time.
"""

from __future__ import annotations

import os
import signal
import threading
from enum import StrEnum

__all__ = ["Place", "reach"]


class Place(StrEnum):
    """Where a process can be made to die: between the rooms, and on both sides of what is made durable."""

    READ = "read"
    DECODE = "decode"
    SHELF = "shelf"
    TRANSFORM = "transform"
    WRITE_BEFORE = "write.before"
    WRITE_AFTER = "write.after"
    REPLAY_AFTER = "replay.after"
    SAVE_BEFORE = "save.before"
    SAVE_AFTER = "save.after"
    CONFIRM = "confirm"


_ARMED, _, _COUNT = os.environ.get("TAILRACE_FAILPOINT", "").partition(":")
_lock = threading.Lock()
_left = int(_COUNT or 1)


def reach(place: Place) -> None:
    """Die here, if this is the place and the time."""
    if place == _ARMED:
        _count_down()


def _count_down() -> None:
    global _left
    with _lock:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
