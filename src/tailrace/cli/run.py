"""`tailrace run`: pipelines under a supervisor until they end or a signal stops them. Never retries what is final."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType, TracebackType

from tailrace.cli.report import fail
from tailrace.config import load
from tailrace.supervisor import Supervisor

__all__ = ["Signals", "run"]


def run(config: Path, names: Sequence[str], *, until_current: bool) -> int:
    """Run the pipelines of a file; the exit code is that of the worst, or 130 and 143 for a clean stop by a signal."""
    supervisor = Supervisor(list(load(config, names).pipelines.values()))
    with Signals(supervisor.stop) as signals:
        supervisor.start(until_current=until_current)
        code = supervisor.wait()
    for name, error in supervisor.outcomes.items():
        if error is not None:
            fail(error, name)
    return code or signals.exit_code


class Signals:
    """SIGINT and SIGTERM ask for a clean stop; the second one ends the process where it stands."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._before: list[tuple[int, object]] = []
        self.exit_code = 0
        """128 and the number of the signal that came, 0 while none did."""

    def __enter__(self) -> Signals:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before.append((number, signal.signal(number, self._handle)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before:
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.exit_code:
            os._exit(128 + number)
        self.exit_code = 128 + number
        self._stop()
