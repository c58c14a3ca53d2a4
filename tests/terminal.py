"""A command on a pseudo-terminal, as a person at a terminal has it: what it shows, and what is typed."""

from __future__ import annotations

import os
import pty
import subprocess
import termios
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.waiting import TIMEOUT_S, until

ROWS, COLUMNS = 50, 140


class Terminal:
    """A running command; all that it writes, on stdout or stderr, becomes `shown`."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self._descriptor = descriptor
        self._shown = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def shown(self) -> str:
        """What was shown up to now, control sequences included, with plain line ends."""
        return self._shown.decode(errors="replace").replace("\r\n", "\n")

    def type(self, text: str) -> None:
        """As if typed."""
        os.write(self._descriptor, text.encode())

    def await_text(self, text: str) -> None:
        """Return when `text` was shown; AssertionError when it does not come."""
        until(lambda: text in self.shown or not self._reader.is_alive(), f"for {text!r}")
        assert text in self.shown, self.shown

    def end(self, timeout_s: float = TIMEOUT_S) -> int:
        """The exit code, once the command has ended and all of it was read."""
        code = self.process.wait(timeout_s)
        self._reader.join(timeout_s)
        return code

    def _read(self) -> None:
        while True:
            try:
                read = os.read(self._descriptor, 1 << 16)
            except OSError:  # how Linux says that nobody has the other side open any more
                return
            if not read:
                return
            self._shown += read


@contextmanager
def terminal(command: Sequence[str], *, folder: Path, environ: Mapping[str, str]) -> Iterator[Terminal]:
    """Run `command` in `folder` on a terminal of its own; it is killed at the end if it still runs."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (ROWS, COLUMNS))
    process = subprocess.Popen(
        command, cwd=folder, env={**environ, "TERM": "xterm"}, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    running = Terminal(process, ours)
    try:
        yield running
    finally:
        process.kill()
        running.end()
        os.close(ours)
