"""A stop while a handler is stuck: a coroutine is cancelled in time, of a blocking one the user is told."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

import tailrace as tr
from tailrace.testing.fake import Log, LogSource
from tests.waiting import until

STUCK = """
import threading
import tailrace as tr
from tailrace.testing.fake import Log, LogSource

log = Log()
log.insert(1)
app = tr.App(LogSource(log), name="stuck")

@app.on("public.orders")
def wait(change: tr.Change) -> None:
    print("waiting", flush=True)
    threading.Event().wait()

app.run()
"""


@contextmanager
def _stopping(app: tr.App, called: threading.Event, folder: Path) -> Iterator[tr.Pipeline]:
    """Run the App until a handler was called, then ask it to stop; it must have stopped at the end of the block."""
    pipeline = app.pipeline(state_dir=folder)
    runner = threading.Thread(target=pipeline.run, daemon=True)
    runner.start()
    assert called.wait(120)
    pipeline.stop()
    yield pipeline
    runner.join(120)
    assert not runner.is_alive()


@pytest.mark.parametrize("options", [{}, {"concurrency": 2}, {"batch": True}])
def test_a_coroutine_is_cancelled_when_the_time_for_a_stop_is_over(options: dict[str, Any], tmp_path: Path) -> None:
    log, called, ends = Log(), threading.Event(), []
    app = tr.App(LogSource(log), name="stuck", limits=tr.Limits(stop_timeout_s=0.1))

    @app.on("public.orders", **options)
    async def wait(change: object) -> None:
        called.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ends.append("cancelled")

    log.insert(1)
    with _stopping(app, called, tmp_path):
        pass
    assert ends == ["cancelled"]
    assert not log.confirmed


def test_a_coroutine_that_ends_in_time_is_done(tmp_path: Path) -> None:
    log, called, stopped, ends = Log(), threading.Event(), threading.Event(), []
    app = tr.App(LogSource(log), name="slow", limits=tr.Limits(stop_timeout_s=60.0))

    @app.on("public.orders")
    async def wait(change: object) -> None:
        called.set()
        await asyncio.to_thread(stopped.wait, 30)
        ends.append("done")

    log.insert(1)
    with _stopping(app, called, tmp_path):
        stopped.set()
    assert ends == ["done"]
    assert log.confirmed


@pytest.mark.parametrize("retries", [0, 1], ids=["at once", "after a failure"])
@pytest.mark.parametrize("options", [{}, {"concurrency": 2}])
def test_no_call_begins_when_the_time_for_a_stop_is_over(
    options: dict[str, Any], retries: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A batch may hold more than a slow handler does in hours."""
    log, called, over, calls = Log(), threading.Event(), threading.Event(), []
    app = tr.App(LogSource(log), name="slow", limits=tr.Limits(stop_timeout_s=0.1))

    @app.on("public.orders", **options, retries=retries)
    def work(change: object) -> None:
        if retries and not calls:
            calls.append("failed")
            raise ValueError
        called.set()
        assert over.wait(120)
        calls.append("done")

    log.commit(*(("c", {"id": str(at), "note": ""}) for at in range(1_000)))  # one batch, however the threads run
    with _stopping(app, called, tmp_path) as pipeline:
        # The writer was told a moment later than the pipeline, so that its time is over later too.
        until(lambda: cast(Any, pipeline)._line._writer._caller.overdue, "for the end of the time for a stop")
        over.set()
    assert 1 <= calls.count("done") <= 4
    late = "slow: not finished 0.1 s after the stop; what was not written comes again at the next start"
    assert late in [record.getMessage() for record in caplog.records]
    assert not log.confirmed


def test_ctrl_c_on_a_stuck_handler_names_it_and_a_second_one_ends_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STUCK]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            assert running.stderr is not None
            assert running.stdout.readline() == "waiting\n"
            running.send_signal(signal.SIGINT)
            said = running.stderr.readline()
            running.send_signal(signal.SIGINT)
            _, rest = running.communicate(timeout=60)
        finally:
            running.kill()
    assert said == "stuck: still stopping; a handler may be at work (wait); a second signal aborts\n"
    assert rest.splitlines()[-1] == "KeyboardInterrupt"
    assert "During handling" not in rest
