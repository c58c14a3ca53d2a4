"""A stop while DuckDB runs a statement that takes its time."""

import contextlib
import threading
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tailrace.model import Batch, Limits
from tailrace.pipeline import Pipeline
from tailrace.sink import DuckDB
from tailrace.sink.duckdb import breaking
from tailrace.sink.duckdb.writer import DuckDBWriter
from tailrace.testing.fake import Log, LogSource

SLOW = "CREATE TABLE t AS SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range * b.range % 7 = 3"


@pytest.mark.parametrize("later", [False, True], ids=["runs already", "begins later"])
def test_a_stop_breaks_off_a_statement_that_outlasts_it_and_nothing_of_it_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: bool
) -> None:
    slow, interrupted = threading.Event(), threading.Event()
    change, interrupt = DuckDBWriter._change, duckdb.DuckDBPyConnection.interrupt

    def slowly(writer: DuckDBWriter, batch: Batch) -> None:
        change(writer, batch)
        slow.set()
        if later:  # as where one statement of a batch has ended, and the next one has not begun
            assert interrupted.wait(120)
        writer._execute(SLOW)

    def telling(session: duckdb.DuckDBPyConnection) -> None:
        interrupt(session)
        interrupted.set()

    monkeypatch.setattr(DuckDBWriter, "_change", slowly)
    monkeypatch.setattr(duckdb.DuckDBPyConnection, "interrupt", telling)
    log, sink = Log(), DuckDB(tmp_path / "t.duckdb")
    pipeline = Pipeline(LogSource(log), sink, name="p", state_dir=None, limits=Limits(stop_timeout_s=0.2))
    log.insert(1)
    running = threading.Thread(target=pipeline.run, daemon=True)
    running.start()
    assert slow.wait(120)
    pipeline.stop()
    running.join(120)
    assert not running.is_alive()
    assert sink.saved("p") == {log.lineage: None}
    monkeypatch.undo()
    pipeline.run(until_current=True)
    assert sink.saved("p") == {log.lineage: log.confirmed[-1]}


def test_nothing_has_the_connection_in_hand_once_the_writer_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that had it while Python ended left a page about leaks behind a run that was good."""
    awaited, watch, join = threading.Event(), breaking._watch, threading.Thread.join

    def slow_to_end(*arguments: Any, timeout_s: float) -> None:
        watch(*arguments, timeout_s=timeout_s)
        assert awaited.wait(120)

    def telling(thread: threading.Thread, timeout: float | None = None) -> None:
        awaited.set()
        join(thread, timeout)

    monkeypatch.setattr(breaking, "_watch", slow_to_end)
    monkeypatch.setattr(threading.Thread, "join", telling)
    before = set(threading.enumerate())
    with contextlib.closing(DuckDB(tmp_path / "t.duckdb").open("p", Limits())) as writer:
        assert set(threading.enumerate()) > before
        writer.interrupt()
    assert set(threading.enumerate()) <= before
