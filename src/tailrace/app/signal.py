"""Signals that stop an App: the first one asks, a second one aborts. Never stops anything itself."""

from __future__ import annotations

import logging
import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_QUIET_S = 1.0
"""How long a stop may take before it is told what it waits for."""

_log = logging.getLogger("tailrace.app")


@contextmanager
def stop_on_signals(stop: Callable[[], None], waits: str) -> Iterator[None]:
    """The first SIGINT or SIGTERM calls `stop`; a second one does what it did before. Only in the main thread.

    When it takes longer, the warning `waits` says so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # A pipe, and no lock: a signal handler may have interrupted whoever holds the lock.
    asked, asks = os.pipe()
    watcher = threading.Thread(target=_tell, args=(asked, waits), name="tailrace-app-stop", daemon=True)
    watcher.start()

    def handle(_number: int, _frame: FrameType | None) -> None:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.write(asks, b"!")
        stop()

    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(asks)
        watcher.join()
        os.close(asked)


def _tell(asked: int, waits: str) -> None:
    """Log `waits` when a byte has come through the pipe and its other end is still open after a while."""
    if os.read(asked, 1) and not select.select([asked], [], [], _QUIET_S)[0]:
        _log.warning("%s; a second signal aborts", waits)
