"""Calls a handler until it succeeds: retries with backoff and jitter, on a thread or on the private loop.

Never decides what becomes of a change that failed: it returns the reasons, and raises what must stop the pipeline.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
import time
import traceback
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any, TypeVar

from tenacity import AsyncRetrying, RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_exponential, wait_random

from tailrace.app.handler import Handler
from tailrace.app.outcome import require_run
from tailrace.error import Fatal, Reject, Retryable

ResultT = TypeVar("ResultT")
Show = Callable[[], object]
"""Makes what a handler is given, anew for each try: the one before may have changed its row, or emptied its list."""

FIRST_PAUSE_S = 0.1
JITTER_S = 0.25
"""The pause before the second try, which doubles up to `backoff_s_max`, and what is added to each at random."""

_WAIT_S = 0.5

_log = logging.getLogger("tailrace.app")


class Stopped(Retryable):
    """The pipeline stops before a handler is done with a change: that is neither done nor parked."""

    def __init__(self, handler: Handler) -> None:
        super().__init__(f"Stopped before {handler.name} was done", hint="its change comes again at the next start")


class Broken(Retryable):
    """The pipeline lets go of something before a handler is done with a change: that is neither done nor parked."""

    def __init__(self, handler: Handler) -> None:
        super().__init__(f"Broken off before {handler.name} was done", hint="its change comes again")


class Loop:
    """An asyncio loop on a private thread, for handlers that are coroutines. Started at first use.

    A SystemExit or KeyboardInterrupt of any task in it is raised by the call of `run` that it befalls; `told` is called
    of one that comes between two, on the loop's thread.
    """

    def __init__(self, told: Callable[[], None] = lambda: None) -> None:
        self._told = told
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._exit: BaseException | None = None

    def run(self, work: Coroutine[Any, Any, ResultT], *, overdue: Callable[[], bool] = lambda: False) -> ResultT:
        """Run to the end on the loop, or until `overdue`: then it is cancelled (`CancelledError`). From the writer
        thread."""
        if self._loop is None:
            loop = self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._serve, args=(loop,), name="tailrace-app-loop", daemon=True)
            self._thread.start()
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            while not future.done():
                with contextlib.suppress(TimeoutError, CancelledError):
                    future.exception(_WAIT_S)
                if (overdue() or self._exit is not None) and not future.done():
                    self._cancel_all()  # to the end: what still runs would go on beside what comes next
            self.raise_exit()
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def raise_exit(self) -> None:
        """Raise what a task wanted to end the program with, if one did."""
        if self._exit is not None:
            raise self._exit

    def close(self) -> None:
        """Cancel what is left, stop the loop and join its thread; closing twice is harmless."""
        if self._loop is None or self._thread is None:
            return
        self._cancel_all()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = self._thread = None

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run the loop until it is stopped: asyncio lets go of it for what is to end the program, and whoever waits for
        one of its tasks would wait for ever."""
        while True:
            try:
                loop.run_forever()
            except (SystemExit, KeyboardInterrupt) as error:
                self._exit = error
                self._told()
            else:
                return

    def _cancel_all(self) -> None:
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(_cancel_others(), self._loop).result()


class Caller:
    """Tries a call again, with pauses that `interrupt` and `break_off` cut short. Used from any thread.

    With `parks=False` no change is parked: the first that is given up ends it all.
    """

    def __init__(
        self, *, backoff_s_max: float, stop_timeout_s: float = math.inf, pauses: bool = True, parks: bool = True
    ) -> None:
        self.loop = Loop(self._end)
        # Not an Event: its lock is not reentrant, so a signal handler that sets it can deadlock with its own thread.
        self._changed = threading.Condition()
        self.told = False
        """A stop, a break or the end of the program was asked for: `halted` says whether another call may begin."""
        self._ending = False
        self._broken = False
        self._stopping = False
        self._stop_timeout_s = stop_timeout_s
        self._stop_at = math.inf
        self._wait = wait_exponential(FIRST_PAUSE_S, max=backoff_s_max) + wait_random(0, JITTER_S)
        self._pauses = pauses
        self._parks = parks
        self._pools: dict[Handler, ThreadPoolExecutor] = {}

    def pool(self, handler: Handler) -> ThreadPoolExecutor:
        """The threads of a concurrent handler, made at first use. Called from the writer thread."""
        if handler not in self._pools:
            self._pools[handler] = ThreadPoolExecutor(handler.concurrency, thread_name_prefix="tailrace-handler")
        return self._pools[handler]

    def interrupt(self) -> None:
        """End every pause now: handlers that wait for a next try raise `Stopped`. After `stop_timeout_s` so do
        coroutines that still run, and no other call begins. Called from any thread."""
        with self._changed:
            if not self._stopping:
                self._stop_at = time.monotonic() + self._stop_timeout_s
            self._stopping = self.told = True
            self._changed.notify_all()

    def break_off(self) -> None:
        """End every pause now and begin no other call: `Broken`, until `go_on`. Called from any thread."""
        with self._changed:
            self._broken = self.told = True
            self._changed.notify_all()

    def refused(self) -> None:
        """A change is given up. Where nothing is parked the pipeline stops for it: no other call begins, or it would
        stop only once all the others that wait have had their tries. Called from any thread."""
        if not self._parks:
            self.break_off()

    def go_on(self) -> None:
        """Calls may begin again, unless a stop was asked for. Called from the writer thread."""
        with self._changed:
            self._broken = False
            self.told = self._stopping or self._ending

    def _end(self) -> None:
        """A task that a handler left behind wants to end the program."""
        with self._changed:
            self._ending = self.told = True
            self._changed.notify_all()

    @property
    def overdue(self) -> bool:
        """A stop was asked for, and the time for it is over."""
        return self._stopping and time.monotonic() > self._stop_at

    def halted(self, handler: Handler) -> Retryable | None:
        """What to raise in place of another call of `handler`, if none is to begin; raises what ends the program."""
        self.loop.raise_exit()
        if self.overdue:
            return Stopped(handler)
        return Broken(handler) if self._broken else None

    def close(self) -> None:
        """Stop the loop and the threads; closing twice is harmless (I12)."""
        self.loop.close()
        for pool in self._pools.values():
            pool.shutdown()
        self._pools.clear()

    def run(self, handler: Handler, work: Coroutine[Any, Any, None]) -> None:
        """Run coroutines of `handler` to the end; `Stopped` when they were cancelled, the time for a stop over."""
        try:
            self.loop.run(work, overdue=lambda: self.overdue)
        except CancelledError:
            if not self._stopping:
                raise
            raise Stopped(handler) from None

    def call(self, handler: Handler, show: Show) -> Exception | None:
        """Call until it succeeds (None) or gives up (the last error); raises `Fatal`, `Retryable`, `Stopped`,
        `Broken`."""
        if self.told and (halt := self.halted(handler)) is not None:
            raise halt
        try:
            _call(handler, show())
        except Exception as error:  # noqa: BLE001 - a handler may raise anything
            return self.again(handler, show, error)
        return None

    def again(self, handler: Handler, show: Show, error: Exception) -> Exception | None:
        """What `call` does after a first try that ended with `error`."""
        first: list[Exception] = [error]

        def attempt() -> None:
            if first:
                raise first.pop()
            _call(handler, show())

        try:
            Retrying(sleep=lambda pause_s: self._sleep(handler, pause_s), **self._policy(handler))(attempt)
        except Exception as last:  # noqa: BLE001 - a handler may raise anything
            return _given_up(last)
        return None

    async def call_async(self, handler: Handler, show: Show) -> Exception | None:
        """The same on the loop, for a coroutine function."""
        if self.told and (halt := self.halted(handler)) is not None:
            raise halt
        try:
            await _call_async(handler, show())
        except Exception as error:  # noqa: BLE001 - a handler may raise anything
            first: list[Exception] = [error]
        else:
            return None

        async def attempt() -> None:
            if first:
                raise first.pop()
            await _call_async(handler, show())

        async def sleep(pause_s: float) -> None:
            await asyncio.to_thread(self._sleep, handler, pause_s)

        try:
            await AsyncRetrying(sleep=sleep, **self._policy(handler))(attempt)
        except Exception as last:  # noqa: BLE001 - a handler may raise anything
            return _given_up(last)
        return None

    def _policy(self, handler: Handler) -> dict[str, Any]:
        return {
            "stop": stop_after_attempt(handler.retries + 1),
            "wait": self._wait,
            "retry": retry_if_exception(_is_tried_again),
            "before_sleep": _log_retry(handler),
            "reraise": True,
        }

    def _sleep(self, handler: Handler, pause_s: float) -> None:
        until = time.monotonic() + (pause_s if self._pauses else 0.0)
        with self._changed:
            while not self.told and (left := until - time.monotonic()) > 0:
                self._changed.wait(min(left, _WAIT_S))  # a signal handler runs between waits, not in them
            self.loop.raise_exit()
            if self._stopping:
                raise Stopped(handler)
            if self._broken:
                raise Broken(handler)


def reasons_of(handler: Handler, error: Exception, size: int) -> dict[int, str]:
    """Why changes are parked, by index among the `size` that were offered; for a `Reject` that names some only those.

    `Fatal` when it names others: which change is to be parked would be a guess.
    """
    if isinstance(error, Reject):
        return error.suspected(size, f"handler {handler.name}")
    tries = "1 try" if handler.retries == 0 else f"{handler.retries + 1} tries"
    # The message is left out: it may quote the row, and reasons are logged (I9).
    return dict.fromkeys(range(size), f"{type(error).__name__} in {handler.name}{_place(error)}, {tries}")


def _place(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1:]
    return f" at {last[0].filename.rpartition('/')[2]}:{last[0].lineno}" if last else ""


def _call(handler: Handler, argument: object) -> None:
    if (result := handler.call(argument)) is not None:
        require_run(handler.name, result)


async def _call_async(handler: Handler, argument: object) -> None:
    try:
        result = await handler.call(argument)  # type: ignore[misc]
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # Not us: something that the handler waited for was cancelled, which is a failure like any other.
        raise CancelledError().with_traceback(error.__traceback__) from None
    if result is not None:
        require_run(handler.name, result)


def _is_tried_again(error: BaseException) -> bool:
    """Not what chooses for itself, nor what ends the program or the task."""
    return isinstance(error, Exception) and not isinstance(error, Reject | Fatal)


def _given_up(error: Exception) -> Exception:
    if isinstance(error, Fatal | Retryable):
        raise error
    return error


def _log_retry(handler: Handler) -> Callable[[RetryCallState], None]:
    def log(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        pause_s = state.next_action.sleep if state.next_action else 0.0
        what = f"{type(error).__name__}{_place(error) if error else ''}"
        _log.warning("%s: try %d raised %s, next in %.2f s", handler.name, state.attempt_number, what, pause_s)

    return log


async def _cancel_others() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
