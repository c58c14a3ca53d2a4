"""Work beside the main thread, which hears the signals. A server that says nothing must not keep a stop waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from tailrace.error import Retryable

__all__ = ["Aside"]

T = TypeVar("T")

_NAP_S = 0.2
_COMES_BACK_S = 1.0


class Aside(Generic[T]):
    """`work` on a thread of its own; where it does not come back after a stop it is left alone."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._done: list[T] = []
        self._error: BaseException | None = None
        # A daemon: the process must end while it waits.
        self._thread = threading.Thread(target=self._run, name="tailrace-aside", daemon=True)

    @property
    def left(self) -> bool:
        """It did not come back: its thread is still there, in the way of an orderly exit."""
        return self._thread.is_alive()

    def result(self, stop: threading.Event, settle: Callable[[], None]) -> T:
        """What it returns or raises; `Retryable` when it is left. Call it once.

        Where it has not come back a second after the stop, `settle` ends in order what else runs in this process.
        """
        self._thread.start()
        while self._thread.is_alive() and not stop.is_set():
            self._thread.join(_NAP_S)
        self._thread.join(_COMES_BACK_S)
        if self._thread.is_alive():
            settle()
            self._thread.join(_COMES_BACK_S)
        if self._thread.is_alive():
            raise Retryable(
                "stopped while the source or the target did not answer",
                hint="`tailrace check` says whether they can be reached",
            )
        if self._error is not None:
            raise self._error
        return self._done[0]

    def wait(self, seconds: float) -> None:
        """So long, or until it has come back."""
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            self._done.append(self._work())
        except BaseException as error:  # noqa: BLE001 - raised by `result`
            self._error = error
