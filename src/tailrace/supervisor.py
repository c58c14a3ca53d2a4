"""Many pipelines, each on a thread of its own: one's failure leaves the others running. Never touches a batch.

Faults that pass are the pipelines' own business: they reopen with growing pauses. What ends here is final.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence

from tailrace.error import Fatal, TailraceError
from tailrace.pipeline import Pipeline, Status, reader_name

__all__ = ["GRACE_S", "Supervisor", "exit_code_of", "worst"]

_GRAVITY = (0, 75, 3, 2, 1, 5, 4)
"""Exit codes, the worst last: a human must decide about 4 and 5, a retry heals 75."""

_NAP_S = 0.5
GRACE_S = 5.0
"""How long a pipeline may take, beyond `limits.stop_timeout_s`, to close what it has open."""

log = logging.getLogger("tailrace.supervisor")


def exit_code_of(error: BaseException | None) -> int:
    """The exit code that an outcome asks for; 1 for what is not ours."""
    if error is None:
        return 0
    return error.exit_code if isinstance(error, TailraceError) else 1


def worst(codes: Sequence[int]) -> int:
    """The gravest of several exit codes."""
    return max(codes, key=lambda code: _GRAVITY.index(code) if code in _GRAVITY else len(_GRAVITY), default=0)


class Supervisor:
    """Runs pipelines side by side until all have ended."""

    def __init__(self, pipelines: Sequence[Pipeline]) -> None:
        self._pipelines = tuple(pipelines)
        self._outcomes: dict[str, BaseException | None] = {}
        self._threads: list[threading.Thread] = []
        self._deadline: float | None = None

    @property
    def pipelines(self) -> Sequence[Pipeline]:
        """What is run."""
        return self._pipelines

    def start(self, *, until_current: bool = False, retry: bool = True) -> None:
        """Start them all, as `Pipeline.run` with these arguments; returns at once."""
        for pipeline in self._pipelines:
            # Daemons: a second signal must end the process while a sink is stuck in a system call.
            arguments = (pipeline, until_current, retry)
            thread = threading.Thread(target=self._run, args=arguments, name=f"tailrace-{pipeline.name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def wait(self) -> int:
        """Wait until every pipeline has ended; returns the exit code of the worst. Signal handlers run meanwhile.

        After `stop` no longer than the largest `limits.stop_timeout_s` and a few seconds: then what does not come back
        (`left`) is left alone, with `Fatal` as its outcome.
        """
        for pipeline, thread in zip(self._pipelines, self._threads, strict=True):
            while thread.is_alive() and not self._overdue:
                thread.join(_NAP_S)
            if thread.is_alive():
                self._outcomes.setdefault(
                    pipeline.name,
                    Fatal(
                        f"pipeline {pipeline.name} did not stop in time: {pipeline.status().reason}",
                        hint="what was not saved comes again at the next start; limits.stop_timeout_s bounds a stop",
                    ),
                )
        return worst([exit_code_of(error) for error in self._outcomes.values()])

    def stop(self) -> None:
        """Let every pipeline finish what it holds, all at the same time; from any thread or signal handler."""
        if self._deadline is None:
            longest_s = max((pipeline.limits.stop_timeout_s for pipeline in self._pipelines), default=0.0)
            self._deadline = time.monotonic() + longest_s + GRACE_S
        for pipeline in self._pipelines:
            pipeline.stop()

    @property
    def left(self) -> bool:
        """A pipeline, or what it reads, did not come back: its thread is still there, in the way of an orderly exit."""
        readers = {reader_name(pipeline.name) for pipeline in self._pipelines}
        return any(thread.is_alive() for thread in self._threads) or any(
            thread.name in readers for thread in threading.enumerate()
        )

    @property
    def _overdue(self) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline

    def status(self) -> list[Status]:
        """What each pipeline is doing."""
        return [pipeline.status() for pipeline in self._pipelines]

    @property
    def outcomes(self) -> Mapping[str, BaseException | None]:
        """How the pipelines that have ended did: None when as wanted."""
        return dict(self._outcomes)

    def _run(self, pipeline: Pipeline, until_current: bool, retry: bool) -> None:
        error: BaseException | None = None
        try:
            pipeline.run(until_current=until_current, retry=retry)
        except BaseException as caught:  # noqa: BLE001 - one pipeline's end must not end the others
            error = caught
        self._outcomes.setdefault(pipeline.name, error)
        others = len(self._pipelines) - len(self._outcomes)
        if error is not None and others:  # whoever waits for the end reports it; this is for those who cannot wait
            told = error.args[0] if isinstance(error, TailraceError) else type(error).__name__  # I9: no row values
            fields = {"pipeline": pipeline.name, "state": "failed", "error": told, "error_type": type(error).__name__}
            log.error("%s: stopped, %d other(s) go on: %s", pipeline.name, others, told, extra=fields)
