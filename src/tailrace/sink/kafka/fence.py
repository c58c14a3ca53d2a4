"""Tells a transactional id that others have too from one that was taken over once. Never asks a broker."""

from __future__ import annotations

import time
from collections import deque

__all__ = ["Takeovers"]

_MANY, _WITHIN_S = 3, 600.0


class Takeovers:
    """When the transactional id of a sink was taken over by others, in all lives of its pipeline in this process."""

    def __init__(self) -> None:
        self._at: deque[float] = deque(maxlen=_MANY)

    def note(self) -> bool:
        """It was again: whether that goes on and on, since each has it back only by taking it over in turn."""
        self._at.append(time.monotonic())
        return len(self._at) == _MANY and self._at[-1] - self._at[0] <= _WITHIN_S
