"""`tailrace verify`: compares source and target of a pipeline, running or not, and shows what differs.

Keys are the one thing of a row that is ever printed. Never writes to either end: repairs are the pipeline's.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

import msgspec

from tailrace.cli.aside import Aside
from tailrace.cli.option import VerifyOptions
from tailrace.cli.parked import letters_of
from tailrace.cli.report import columns, fail
from tailrace.cli.run import Signals, ended
from tailrace.comparison import ComparableSink, ComparableSource, Key, TargetView
from tailrace.config import load
from tailrace.contract import Remembering
from tailrace.error import ConfigError, Retryable, TailraceError
from tailrace.pipeline import Pipeline, ask, desk_path, socket_path
from tailrace.supervisor import Supervisor
from tailrace.verify import Clock, Options, Pipes, Remote, Report, TableReport
from tailrace.verify import verify as compare

__all__ = ["verify"]

_START_S = 30.0
_LOOK_S = 0.05
_SHOW_S = 0.2


def verify(config: Path, name: str, options: VerifyOptions) -> int:
    """Compare and print; 0 when all is equal (or was repaired), 3 when not, 75 when some rows have not settled."""
    if options.rate is not None and options.rate <= 0:
        raise ConfigError("--rate is rows a second: it must be more than 0")
    pipeline = load(config, [name]).pipelines[name]
    source, sink = pipeline.source, pipeline.sink
    if not isinstance(source, ComparableSource) or not isinstance(sink, ComparableSink):
        kinds = f"source {source.kind} and sink {sink.kind}"
        raise ConfigError(f"{kinds} cannot be compared", hint="verify needs a target that holds rows, such as duckdb")
    stop, supervisor = threading.Event(), Supervisor([pipeline])
    comparing = Aside(lambda: _compared(supervisor, source, sink, options=options, stop=stop))

    def settle() -> None:
        if supervisor.left:
            supervisor.stop()
            supervisor.wait()

    with Signals(stop.set) as signals:
        try:
            report = comparing.result(stop, settle)
        except TailraceError as error:
            fail(error, name if signals.exit_code else "")
            return ended(signals.code_of(error), left=supervisor.left or comparing.left)
    sys.stdout.write(_json(report) if options.json else _text(report))
    return ended(report.exit_code, left=supervisor.left)


def _compared(
    supervisor: Supervisor,
    source: ComparableSource,
    sink: ComparableSink,
    *,
    options: VerifyOptions,
    stop: threading.Event,
) -> Report:
    (pipeline,) = supervisor.pipelines
    name = pipeline.name
    with contextlib.ExitStack() as stack:
        desk, here = stack.enter_context(_running(supervisor, stop))
        view = stack.enter_context(contextlib.closing(source.view(name)))
        target: TargetView = sink.view(name) if sink.shared or here else Remote(desk)
        stack.callback(target.close)
        if (image := sink.image()) is not None:
            stack.callback(image.close)
        repair = stack.enter_context(contextlib.closing(Remote(desk))).repair if options.repair else None
        asked = Options(
            tables=options.table or (),
            rate=options.rate,
            repair=repair,
            parked=_parked(pipeline),
            clock=Clock(stop),
        )
        with _Bar() as bar:
            return compare(name, Pipes(view, target, image, pipeline.transforms), asked, told=bar.show)


@contextlib.contextmanager
def _running(supervisor: Supervisor, stop: threading.Event) -> Iterator[tuple[Path, bool]]:
    """The desk of the running pipeline, and whether it runs in this process: it does when nobody else runs it."""
    (pipeline,) = supervisor.pipelines
    if pipeline.state_folder is None:
        raise ConfigError(f"pipeline {pipeline.name} has no state_dir, so nobody can ask it")
    desk = desk_path(pipeline.state_folder, pipeline.name)
    if ask(socket_path(pipeline.state_folder, pipeline.name)) is not None:
        yield desk, False
        return
    saved = pipeline.sink.saved(pipeline.name) if isinstance(pipeline.sink, Remembering) else {}
    if not any(saved.values()):
        raise ConfigError(f"pipeline {pipeline.name} has not run yet: there is nothing to compare", hint="run it first")
    supervisor.start()
    try:
        deadline = time.monotonic() + _START_S
        while ask(socket_path(pipeline.state_folder, pipeline.name)) is None:
            for error in supervisor.outcomes.values():
                raise error or Retryable(f"pipeline {pipeline.name} ended at once")
            if time.monotonic() > deadline:
                raise Retryable(f"pipeline {pipeline.name} does not start", hint="run it by itself to see why")
            if stop.wait(_LOOK_S):
                raise Retryable("stopped before the pipeline had started")
        yield desk, True
    finally:
        supervisor.stop()
        supervisor.wait()


def _parked(pipeline: Pipeline) -> Mapping[str, set[Key]]:
    """The keys of dead letters, by the table that they were to be written to."""
    found: dict[str, set[Key]] = {}
    for letter in letters_of(pipeline):
        names = letter.table["key"] if letter.table is not None else ()
        for image in (letter.key, letter.before, letter.after):
            if names and image is not None and all(isinstance(image.get(name), str) for name in names):
                found.setdefault(letter.table_name, set()).add(tuple(image[name] for name in names))
    return found


class _Bar:
    """Shows on a terminal how far the comparison is; nothing elsewhere."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._began = self._last = time.monotonic()

    def __enter__(self) -> _Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")

    def show(self, report: TableReport) -> None:
        """How far this table is."""
        now = time.monotonic()
        if not self._shown or now - self._last < _SHOW_S:
            return
        self._last = now
        rate = report.rows / max(now - self._began, 0.001)
        sys.stderr.write(
            f"\r\x1b[K{report.table}: {report.rows:,} rows, {rate:,.0f} a second, {report.differences} differ"
        )
        sys.stderr.flush()


def _json(report: Report) -> str:
    tables = [
        {
            "table": table.table,
            "key": table.key,
            "rows": table.rows,
            "equal": table.equal,
            "different": table.different,
            "missing": table.missing,
            "extra": table.extra,
            "parked": table.parked,
            "unsettled": table.unsettled,
            "repaired": table.repaired,
            "seconds": round(table.seconds, 3),
            "left_out": table.left_out,
            "obstacle": table.obstacle,
            "keys": table.keys,
        }
        for table in report.tables
    ]
    return msgspec.json.encode({"pipeline": report.pipeline, "tables": tables}).decode() + "\n"


def _text(report: Report) -> str:
    head = ("TABLE", "ROWS", "EQUAL", "DIFFERENT", "MISSING", "EXTRA", "PARKED", "UNSETTLED", "REPAIRED")
    rows = [
        (t.table, t.rows, t.equal, t.different, t.missing, t.extra, t.parked, t.unsettled, t.repaired)
        if t.obstacle is None or t.rows
        else (t.table, *["-"] * 8)
        for t in report.tables
    ]
    return columns([head, *rows]) + "\n" + "".join(line + "\n" for table in report.tables for line in _notes(table))


def _notes(table: TableReport) -> Iterator[str]:
    if table.obstacle is not None:
        yield f"{table.table}: {'' if table.rows else 'cannot be compared: '}{table.obstacle}"
    if table.left_out:
        yield f"{table.table}: not compared, since it is masked: {', '.join(table.left_out)}"
    for kind, keys in table.keys.items():
        shown = "; ".join(
            ", ".join(f"{name}={part}" for name, part in zip(table.key, key, strict=True)) for key in keys
        )
        more = f"; and {table.more(kind)} more" if table.more(kind) else ""
        yield f"{table.table}: {kind}: {shown}{more}"
