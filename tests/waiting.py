"""Waiting for a condition, with an end: a test that waits in vain must fail and say for what."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

TIMEOUT_S = 120.0


def until(condition: Callable[[], object], what: str = "", *, timeout_s: float = TIMEOUT_S) -> None:
    """Ask every few milliseconds until `condition` holds; AssertionError after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain {what}"
        threading.Event().wait(0.01)
