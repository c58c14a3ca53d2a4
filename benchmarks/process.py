"""Runs one side of a benchmark in a child process and says what it spent. Never knows what the side does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.result import Run


class SideFailed(Exception):
    """Our side of a benchmark ended with an error; the message is its last line."""


def foreign(
    command: Sequence[str | Path], *, events: int, environment: Mapping[str, str], watch: psutil.Process
) -> Run:
    """Run another program to its end, its output thrown away; time and memory as the kernel counts them."""
    with walsender_cpu(watch) as spent:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=dict(environment))
        assert process.stderr is not None
        complaint = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SideFailed(f"{Path(command[0]).name}: {complaint.decode(errors='replace').strip()}")
    return Run(seconds, usage.ru_utime + usage.ru_stime, events, usage.ru_maxrss / 1024, spent[0])


def ours(side: str, arguments: Mapping[str, object], *, watch: psutil.Process) -> tuple[Run, dict[str, float]]:
    """Run `benchmarks.side`'s function `side` in a child; returns its run and what else it measured."""
    with walsender_cpu(watch) as spent:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.side", side, json.dumps(arguments)],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise SideFailed("\n".join(done.stderr.strip().splitlines()[-12:]) or f"exit code {done.returncode}")
    measured = json.loads(done.stdout.splitlines()[-1])
    extra = measured.pop("extra")
    return Run(**measured, walsender_cpu_s=spent[0]), extra


@contextmanager
def walsender_cpu(postmaster: psutil.Process, title: str = "walsender") -> Iterator[list[float]]:
    """Seconds of processor time that walsenders, or children of another `title`, spend meanwhile: sampled, for a
    process that ended cannot be asked."""
    spent, last, stop = [0.0], dict[int, float](), threading.Event()

    def sample() -> None:
        for child in postmaster.children():
            try:
                if title in " ".join(child.cmdline()):
                    times = child.cpu_times()
                    last[child.pid] = times.user + times.system
            except psutil.Error:
                continue

    def watch() -> None:
        while not stop.wait(0.1):
            sample()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield spent
    finally:
        stop.set()
        watcher.join()
        spent[0] = sum(last.values())
