"""Counts what a piece of work does: time says too little on a machine that others use too."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any


def calls(work: Callable[[], object]) -> int:
    """How many functions, of Python and of C, `work` calls in this thread, each next step of a generator included."""
    count = 0

    def note(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    gc.disable()  # it calls whoever wants to know of it, Hypothesis say, whenever it happens to run
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count
