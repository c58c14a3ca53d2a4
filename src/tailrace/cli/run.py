"""`tailrace run`: pipelines under a supervisor until they end or a signal stops them. Never retries what is final."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType, TracebackType

from tailrace.cli.interrupt import may_handle
from tailrace.cli.option import RunOptions
from tailrace.cli.report import report
from tailrace.cli.traces import traced
from tailrace.config import load
from tailrace.error import Retryable, TailraceError
from tailrace.health import Address, HealthServer, Notifier
from tailrace.supervisor import Supervisor

__all__ = ["Signals", "ended", "run"]

log = logging.getLogger("tailrace.cli")


def run(config: Path, names: Sequence[str], options: RunOptions) -> int:
    """Run the pipelines of a file; the exit code is that of the worst, or 130 and 143 for a clean stop by a signal."""
    loaded = load(config, names)
    supervisor = Supervisor(list(loaded.pipelines.values()))
    settings = loaded.http if options.http is None else replace(loaded.http, listen=options.http)
    with contextlib.ExitStack() as stack:
        signals = stack.enter_context(Signals(supervisor.stop))
        if may_handle():
            stack.enter_context(_ignored(signal.SIGHUP))
        if options.traces:
            stack.enter_context(traced())
        if settings.listen is not None:
            address = Address.parse(settings.listen)
            server = HealthServer(address, supervisor.pipelines, stalled_s=settings.stalled_s)
            stack.callback(server.close)
        supervisor.start(until_current=options.until_current)
        notifier = Notifier(supervisor.status)
        stack.callback(notifier.close)
        code = supervisor.wait()
        notifier.stopping()
    for name, error in supervisor.outcomes.items():
        if error is not None:
            report(error, name)
    return ended(code or signals.exit_code, left=supervisor.left)


@contextlib.contextmanager
def _ignored(number: signal.Signals) -> Iterator[None]:
    """A terminal that goes away, or an operator who means "reload", must not end the process in the middle."""

    def handle(number: int, frame: FrameType | None) -> None:
        log.warning("SIGHUP is ignored: the file is read at the start; restart to have it read again")

    before = signal.signal(number, handle)
    try:
        yield
    finally:
        signal.signal(number, before)


def ended(code: int, *, left: bool) -> int:
    """The exit code; with a thread that is left, which would be in the way of an orderly exit, the end."""
    if left:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


class Signals:
    """SIGINT and SIGTERM ask for a clean stop; the second one ends the process where it stands. Off the main thread
    neither is heard."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._before: list[tuple[int, object]] = []
        self.exit_code = 0
        """128 and the number of the signal that came, 0 while none did."""

    def __enter__(self) -> Signals:
        for number in (signal.SIGINT, signal.SIGTERM) if may_handle() else ():
            self._before.append((number, signal.signal(number, self._handle)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before:
            signal.signal(number, handler)  # type: ignore[arg-type]

    def code_of(self, error: TailraceError) -> int:
        """The exit code of a command that ends with `error`: the signal's where the stop may be why."""
        return self.exit_code if self.exit_code and isinstance(error, Retryable) else error.exit_code

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.exit_code:
            os._exit(128 + number)
        self.exit_code = 128 + number
        self._stop()
