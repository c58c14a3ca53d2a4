"""`tail`: changes as an iterator, sync and async, through a slot that goes with it. Never saves a position.

A pipeline runs on a thread of its own, so that the server is answered while the loop's body takes its time; it hands
over one batch after another and waits for the loop.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import ClassVar, Self

from tailrace.checkpoint.memory import Memory
from tailrace.config import source_fields, source_from_url
from tailrace.contract import Positions, Source, Stream
from tailrace.error import ConfigError, Fatal, Retryable
from tailrace.model import Batch, Change, Finding, Limits
from tailrace.pipeline import Pipeline

_WAIT_S = 0.5
_CLOSE_TIMEOUT_S = 10.0


def tail(
    source: str | Source,
    *,
    tables: Sequence[str] | None = None,
    snapshot: bool = False,
    until_current: bool = False,
    slot: str | None = None,
    publication: str | None = None,
) -> Tail:
    """Iterate over changes from now on, with `for` or `async for`; with `snapshot`, over the present rows first.

    `source` is a URL (then the slot is temporary, and so is the publication unless one is named) or a Source. `tables`
    are globs of `schema.table`, by default all. With `until_current` the iteration ends with what was committed at its
    start. `with tr.tail(...) as changes` sees what is committed from there on, and closes at the end of the block; else
    it closes when it is dropped.

    `ConfigError` for a URL of something that is no database. What the source fails with is raised by `with` or by the
    loop: `Fatal` and what is below it, and `Retryable` while it cannot be opened; a fault that passes later is waited
    out. Where the slot went with a connection that broke, that is `HistoryLost`: what came meanwhile is not there.
    """
    if isinstance(source, str):
        source = temporary(source, snapshot=snapshot, tables=tables, slot=slot, publication=publication)
    return Tail(source, until_current=until_current)


def temporary(url: str, *, snapshot: bool, **asked: object) -> Source:
    """The source that `url` names, with a slot that goes with the connection and what was `asked` of it, None aside."""
    if "temporary" not in source_fields(url):
        raise ConfigError(
            "tail reads a database's log, and this URL is of something else",
            hint="tailrace consume reads topics; in Python, tr.tail takes a tr.source.Kafka",
        )
    given = {name: value for name, value in asked.items() if value is not None}
    return source_from_url(url, temporary=True, snapshot="initial" if snapshot else "never", **given)


class Tail:
    """The open tail: an iterator, an async iterator and a context manager of either kind. Not for several threads."""

    def __init__(self, source: Source, *, until_current: bool = False, limits: Limits | None = None) -> None:
        self._hand = _Hand()
        name = f"tail_{os.getpid()}_{secrets.token_hex(4)}"
        pipeline = Pipeline(
            Watched(source, self._hand.opened, self._hand.end),
            _Into(self._hand),
            name=name,
            checkpoint=Memory(),
            limits=limits or Limits(),
            state_dir=None,
        )
        arguments = (pipeline, self._hand, until_current)
        self._thread = threading.Thread(target=_run, args=arguments, name="tailrace-tail", daemon=True)
        self._changes: Iterator[Change] = iter(())
        self._finalizer = weakref.finalize(self, _close, pipeline, self._hand, self._thread)
        self._thread.start()

    def __iter__(self) -> Self:
        self._opened()
        return self

    def __next__(self) -> Change:
        while (change := next(self._changes, None)) is None:
            if not self._take():
                self._hand.wait()
        return change

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        while (change := next(self._changes, None)) is None:
            try:
                taken = self._take()
            except StopIteration:
                raise StopAsyncIteration from None
            # Between batches other tasks get their turn, even when the next one is there already.
            await (asyncio.sleep(0) if taken else asyncio.to_thread(self._hand.wait))
        return change

    def close(self) -> None:
        """End the pipeline, its connections and its slot; closing twice is harmless (I12)."""
        self._finalizer()

    async def aclose(self) -> None:
        """The same without blocking the loop."""
        await asyncio.to_thread(self._finalizer)

    def __enter__(self) -> Self:
        self._opened()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._opened)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _opened(self) -> None:
        """Wait until the source is open: what is committed from here on is seen."""
        while not self._hand.wait_open():
            pass

    def _take(self) -> bool:
        """Go on with the next batch, if there is one; raises the pipeline's error, or StopIteration at its end."""
        batch = self._hand.take()
        if batch is None:
            if self._finalizer.alive:
                return False
            raise StopIteration
        self._changes = iter(batch)
        return True


class _Hand:
    """One batch on its way from the pipeline's thread to the loop, or the pipeline's end."""

    def __init__(self) -> None:
        self._moved = threading.Condition()
        self._batch: Batch | None = None
        self._open = self._ended = self._closed = False
        self._error: BaseException | None = None

    def give(self, batch: Batch) -> None:
        """Called by the writer: returns when the loop has taken the batch, or wants no more."""
        with self._moved:
            self._batch = batch
            self._moved.notify_all()
            self._moved.wait_for(lambda: self._batch is None or self._closed)

    def take(self) -> Batch | None:
        """The next batch, or None when there is none yet; raises the pipeline's error, or StopIteration."""
        with self._moved:
            batch, self._batch = self._batch, None
            self._moved.notify_all()
            if batch is None and self._ended:
                if self._error is not None:
                    raise self._error
                raise StopIteration
        return batch

    def wait(self) -> None:
        """Until there is something to take, but not for long: the caller may have been told to stop."""
        with self._moved:
            self._moved.wait_for(lambda: self._batch is not None or self._ended, _WAIT_S)

    def wait_open(self) -> bool:
        """Until the source is open, but not for long; True when it came to that. Raises what it failed with."""
        with self._moved:
            self._moved.wait_for(lambda: self._open or self._ended, _WAIT_S)
            if not self._open and self._error is not None:
                raise self._error
            return self._open or self._ended

    def opened(self, _: Stream) -> None:
        """The source is open."""
        with self._moved:
            self._open = True
            self._moved.notify_all()

    def end(self, error: BaseException | None) -> None:
        """The pipeline ended, with the first error that is reported."""
        with self._moved:
            self._error = self._error or error
            self._ended = True
            self._moved.notify_all()

    def close(self) -> None:
        """The loop wants no more."""
        with self._moved:
            self._closed = True
            self._moved.notify_all()


@dataclass(frozen=True, slots=True)
class Watched:
    """A source that tells of each stream that it opens. With `failed` its first fault ends it and is not waited out."""

    inner: Source
    opened: Callable[[Stream], None] = field(repr=False)
    failed: Callable[[Retryable], None] | None = field(default=None, repr=False)

    @property
    def kind(self) -> str:
        """That of the source itself."""
        return self.inner.kind

    def check(self) -> list[Finding]:
        """See `Source.check`."""
        return self.inner.check()

    def open(
        self,
        name: str,
        positions: Positions,
        limits: Limits,
        *,
        until_current: bool = False,
        stop: threading.Event | None = None,
    ) -> Stream:
        """See `Source.open`."""
        try:
            stream = self.inner.open(name, positions, limits, until_current=until_current, stop=stop)
        except Retryable as error:
            if self.failed is None:
                raise
            self.failed(error)
            raise Fatal("the tail could not be opened") from error
        self.opened(stream)
        return stream

    def drop(self, name: str) -> list[str]:
        """See `Source.drop`."""
        return self.inner.drop(name)


@dataclass(frozen=True, slots=True)
class _Into:
    """The loop as a sink, and as its writer."""

    hand: _Hand
    kind: ClassVar[str] = "tail"
    transactional: ClassVar[bool] = False
    table_like: ClassVar[bool] = False
    truncate: ClassVar[bool] = True

    def check(self) -> list[Finding]:
        return []

    def open(self, name: str, limits: Limits) -> _Into:
        return self

    def write(self, batch: Batch) -> None:
        if len(batch):
            self.hand.give(batch)

    def close(self) -> None:
        """Nothing is held."""


def _run(pipeline: Pipeline, hand: _Hand, until_current: bool) -> None:
    try:
        pipeline.run(until_current=until_current)
    except BaseException as error:  # noqa: BLE001 - raised again by the loop
        hand.end(error)
    else:
        hand.end(None)


def _close(pipeline: Pipeline, hand: _Hand, thread: threading.Thread) -> None:
    hand.close()
    pipeline.stop()
    if thread is not threading.current_thread():
        thread.join(_CLOSE_TIMEOUT_S)
