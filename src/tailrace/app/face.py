"""`App`: functions registered by table and op, and the pipeline that calls them. Never touches a batch itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from pathlib import Path
from typing import ClassVar, TypeVar

from tailrace.app.call import Caller
from tailrace.app.done import Done
from tailrace.app.handler import Handler, is_async, parse_ops, read_annotation
from tailrace.app.row import check_type
from tailrace.app.signal import stop_on_signals
from tailrace.app.signature import check_globs, check_patterns, check_signature
from tailrace.app.writer import AppWriter
from tailrace.config import source_fields, source_from_url
from tailrace.contract import Checkpoint, DeadLetters, Source, Transform
from tailrace.error import ConfigError, HistoryLost
from tailrace.model import Finding, Limits, Severity
from tailrace.pipeline import Pipeline

HandlerT = TypeVar("HandlerT", bound=Callable[..., object])


class App:
    """Your functions at the end of a pipeline. An App is a sink like any other; `run` puts it behind its source.

    `source` is a URL or a Source; `name` is what its position, slot and lock are kept under; `tables` are globs of
    `schema.table`, by default those of the handlers; topics (`kafka://broker:9092/topic,topic?group=…`) are read whole,
    and handlers take their tables of them. `checkpoint` keeps the position, by default in a file. A handler gets one
    change after another, in commit order; a change is done when it returns. When it raises, it is called again
    after a pause that doubles; after its last try the change is parked in `dead_letters`, and so are later changes of
    its key; without dead letters the pipeline stops (`Refused`). `raise tr.Reject("reason")` parks at once,
    `raise tr.Retryable(...)` never parks: after the last try the pipeline opens again and the change comes back;
    `raise tr.Fatal(...)` stops the pipeline. After a crash, up to a second of changes comes again, each with the same
    `Change.position`; within a process nothing that is done is called again.
    """

    kind: ClassVar[str] = "app"
    transactional: ClassVar[bool] = False
    table_like: ClassVar[bool] = False
    truncate: ClassVar[bool] = True

    def __init__(
        self,
        source: str | Source,
        *,
        name: str,
        tables: Sequence[str] | None = None,
        checkpoint: Checkpoint | None = None,
        dead_letters: DeadLetters | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.name = name
        self._source = source
        self._tables = tables
        self._checkpoint = checkpoint
        self._dead_letters = dead_letters
        self._limits = limits or Limits()
        self._handlers: list[Handler] = []
        self._done: dict[str, Done] = {}
        self._parks = True

    @property
    def handlers(self) -> tuple[Handler, ...]:
        """What is registered, in order."""
        return tuple(self._handlers)

    @property
    def tables(self) -> tuple[str, ...]:
        """The table globs that the source is asked for."""
        if self._tables is not None:
            return tuple(self._tables)
        patterns = (pattern for handler in self._handlers if "m" not in handler.ops for pattern in handler.patterns)
        return tuple(dict.fromkeys(patterns))

    def on(
        self,
        *patterns: str,
        op: str | Iterable[str] | None = None,
        batch: bool = False,
        retries: int = 5,
        concurrency: int = 1,
    ) -> Callable[[HandlerT], HandlerT]:
        """Register a function for the changes of tables that match a glob; returns it unchanged.

        `op` has the letters of the changes wanted (`"c"`, `"cu"`, `"c,u"`; default create, update, delete and snapshot
        row). Annotated `Change[T]`, rows come as T. With `batch`, or annotated `list[Change[T]]`, it gets a list of up
        to 10,000 changes; a list that fails for good, or that `raise tr.Reject("reason")` is of, is halved until the
        changes at fault stand alone. `raise tr.Reject({2: "reason"}, written=[0, 1])` parks those that it names by
        their place in the list; the list comes again without them and without what is `written`, that is done.
        `retries` is how often a change is tried again before it has failed for good. `concurrency` runs that many
        changes of different keys side by side, on threads or as tasks for an `async def`. `ConfigError` for a function
        that cannot be called with the change alone, or whose row type cannot be resolved.
        """
        if not patterns:
            raise ConfigError("@app.on names no table", hint='write @app.on("public.orders")')
        check_patterns(patterns, hint='write @app.on("public.orders")')
        check_globs(patterns)

        def register(call: HandlerT) -> HandlerT:
            check_signature(call, _name(call))
            row, many = read_annotation(call, sys._getframe(1).f_locals)
            if row is not None:
                check_type(row)
            self._add(
                Handler(
                    call=call,
                    name=_name(call),
                    patterns=patterns,
                    ops=parse_ops(op),
                    row=row,
                    batch=batch or many,
                    asynchronous=is_async(call),
                    retries=retries,
                    concurrency=concurrency,
                )
            )
            return call

        return register

    def on_message(self, *prefixes: str, retries: int = 5) -> Callable[[HandlerT], HandlerT]:
        """Register a function for logical messages (`pg_logical_emit_message`) whose prefix matches a glob.

        It gets changes of op m, one after another: `change.message` is what was sent. `retries` as of `on`.
        """
        if not prefixes:
            raise ConfigError("@app.on_message names no prefix", hint='write @app.on_message("*") for all')
        check_patterns(prefixes, hint='write @app.on_message("outbox.*")')

        def register(call: HandlerT) -> HandlerT:
            check_signature(call, _name(call))
            self._add(
                Handler(call, _name(call), prefixes, frozenset("m"), asynchronous=is_async(call), retries=retries)
            )
            return call

        return register

    def check(self) -> list[Finding]:
        """Whether there is a handler at all; handlers themselves are not called."""
        if not self._handlers:
            return [
                Finding(Severity.ERROR, "handlers", "no function is registered", 'decorate one: @app.on("public.t")')
            ]
        names = ", ".join(handler.name for handler in self._handlers)
        return [Finding(Severity.OK, "handlers", f"{len(self._handlers)} registered: {names}")]

    def open(self, name: str, limits: Limits) -> AppWriter:
        """Open the handlers for pipeline `name`; `ConfigError` when there are none."""
        backoff_s, stop_s = limits.backoff_s_max, limits.stop_timeout_s
        return self.writer(name, Caller(backoff_s_max=backoff_s, stop_timeout_s=stop_s, parks=self._parks))

    def failing_fast(self) -> App:
        """See `FailFast.failing_fast`."""
        sink = copy(self)
        sink._parks = False
        return sink

    def writer(self, name: str, caller: Caller) -> AppWriter:
        """The same with a `Caller` of one's own (`tailrace.testing` has one that does not pause)."""
        self._require_handlers()
        return AppWriter(self._handlers, self._done.setdefault(name, Done()), caller)

    def pipeline(
        self, *, transforms: Sequence[Transform] = (), state_dir: str | os.PathLike[str] | None = Path(".tailrace")
    ) -> Pipeline:
        """The pipeline that `run` would run: source → transforms → handlers.

        `state_dir` is as that of `Pipeline`. `ConfigError` when nothing says which tables to read.
        """
        source = self._source
        return Pipeline(
            self._from_url(source) if isinstance(source, str) else source,
            self,
            name=self.name,
            transforms=transforms,
            checkpoint=self._checkpoint,
            dead_letters=self._dead_letters,
            limits=self._limits,
            state_dir=state_dir,
        )

    def run(self, *, until_current: bool = False, state_dir: str | os.PathLike[str] | None = Path(".tailrace")) -> None:
        """Run until SIGINT or SIGTERM (a second one aborts), or until what the source had at the start is done.

        Returns None after either. `limits.stop_timeout_s` after the signal no call begins any more, and a coroutine is
        cancelled: their changes come again at the next start. For a handler that blocks it waits, and a warning says
        so. Off the main thread signals are not heard: there run `app.pipeline()`, whose `stop` ends it.

        `state_dir`, which is relative to the working directory, keeps the position and the lock: as of `Pipeline`.

        `Refused` when a change failed for good and there are no dead letters, with what the handler raised as its
        `__cause__`; `HistoryLost`, `ConfigError` and other `Fatal` errors as `Pipeline.run` raises them.
        """
        pipeline = self.pipeline(state_dir=state_dir)
        names = ", ".join(handler.name for handler in self._handlers)
        with stop_on_signals(pipeline.stop, f"{self.name}: still stopping; a handler may be at work ({names})"):
            try:
                pipeline.run(until_current=until_current)
            except HistoryLost as lost:
                lost.hint = f"{lost.hint}; an App does that by app.drop(), once, in place of app.run()"
                raise

    def drop(self, *, state_dir: str | os.PathLike[str] | None = Path(".tailrace")) -> list[str]:
        """Remove what the App made on its source (slot, publication) and its position; returns what was removed.

        The next run begins as a first one does. Dead letters stay. `state_dir` is that of `run`. `Retryable` while a
        process runs it; with `state_dir=None` there is no lock that tells: stop it before.
        """
        removed = self.pipeline(state_dir=state_dir).drop()
        self._done.clear()
        return removed

    def _require_handlers(self) -> None:
        if not self._handlers:
            raise ConfigError(
                f"App {self.name!r} has no handlers", hint='decorate a function: @app.on("public.orders")'
            )

    def _from_url(self, url: str) -> Source:
        """The source of `url`; one that has topics is asked for those alone, and handlers take their tables of them."""
        if "tables" not in source_fields(url):
            if self._tables is not None:
                raise ConfigError(
                    f"App {self.name!r} names tables, and its source has none to choose from",
                    hint="leave tables out: the URL names topics, and handlers take their tables of them",
                )
            return source_from_url(url)
        if not self.tables:
            self._require_handlers()
            raise ConfigError(
                f"App {self.name!r} has handlers of messages only, and a publication needs a table",
                hint='name one: App(…, tables=["public.orders"])',
            )
        return source_from_url(url, tables=self.tables)

    def _add(self, handler: Handler) -> None:
        if handler.retries < 0 or handler.concurrency < 1:
            raise ConfigError(
                f"Handler {handler.name}: retries={handler.retries}, concurrency={handler.concurrency}",
                hint="retries is 0 or more, concurrency 1 or more",
            )
        if handler.batch and handler.concurrency > 1:
            raise ConfigError(
                f"Handler {handler.name} takes lists, so it cannot be called for several changes at once",
                hint="leave out batch or concurrency",
            )
        self._handlers.append(handler)


def _name(call: Callable[..., object]) -> str:
    return str(getattr(call, "__qualname__", type(call).__qualname__)).replace("<locals>.", "")
