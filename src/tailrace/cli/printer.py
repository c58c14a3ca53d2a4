"""A sink that prints changes on stdout, for commands that show them. Keeps nothing, never retries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from select import PIPE_BUF
from typing import ClassVar, Literal, NoReturn

from tailrace import output
from tailrace._native import DebeziumJson
from tailrace.cli.line import Pretty, as_json
from tailrace.contract import Writer
from tailrace.error import EndOfStream
from tailrace.format import Format
from tailrace.model import Batch, Change, Finding, Limits, Position

__all__ = ["Printer"]


@dataclass(frozen=True, slots=True)
class Printer:
    """A sink that prints at most `count` changes."""

    form: Literal["pretty", "json", "debezium"]
    count: int | None = None
    partly: Callable[[Sequence[Position]], None] | None = None
    """Told how far a batch was printed when it was not printed whole."""
    kind: ClassVar[str] = "print"
    transactional: ClassVar[bool] = False
    table_like: ClassVar[bool] = False
    truncate: ClassVar[bool] = True

    def check(self) -> list[Finding]:
        """See `Sink.check`."""
        return []

    def open(self, name: str, limits: Limits) -> Writer:
        """See `Sink.open`."""
        output.require()
        return _Printing(self._texts(), self.count, self.partly)

    def _texts(self) -> _Texts:
        if self.form == "debezium":
            return partial(_by_record, Format(topic_prefix="tail").profile("tail"))
        return partial(_by_change, Pretty() if self.form == "pretty" else as_json)


_Texts = Callable[[Batch], Iterator[tuple[bytes, int]]]
"""Whole lines of a batch, so few that a pipe takes them at once, and how many of its changes are printed with them."""


def _by_change(line: Callable[[Change], bytes], batch: Batch) -> Iterator[tuple[bytes, int]]:
    held = b""
    for index, change in enumerate(batch):
        text = line(change)
        if held and len(held) + len(text) > PIPE_BUF:
            yield held, index
            held = b""
        held += text
    yield held, len(batch)


def _by_record(profile: DebeziumJson, batch: Batch) -> Iterator[tuple[bytes, int]]:
    for encoded in batch.json(profile):
        lines, begin, printed = bytes(memoryview(encoded)), 0, 0
        while begin < len(lines):
            end = lines.rfind(b"\n", begin, begin + PIPE_BUF) + 1 or lines.index(b"\n", begin + PIPE_BUF) + 1
            printed += lines.count(b"\n", begin, end)
            # What has records in the next lines, such as a tombstone, is not printed yet.
            yield lines[begin:end], encoded.change(printed) if end < len(lines) else encoded.change(printed - 1) + 1
            begin = end


@dataclass(slots=True)
class _Printing:
    """Prints as long as it is wanted. A line that was begun is finished, if there is somebody to take it."""

    texts: _Texts
    left: int | None
    partly: Callable[[Sequence[Position]], None] | None
    unwanted: bool = False

    def write(self, batch: Batch) -> None:
        """See `Writer.write`; `EndOfStream` in its middle once it was interrupted."""
        shown = batch if self.left is None or len(batch) <= self.left else batch.only(range(self.left))
        done = 0
        for text, printed in self.texts(shown):
            if self.unwanted or not self._print(text):
                self._end(shown, done)
            done = printed
        if self.left is not None:
            self.left -= len(shown)
            if not self.left:
                self._end(shown, len(shown))

    def interrupt(self) -> None:
        """See `Interruptible.interrupt`: nobody waits for what is still held."""
        self.unwanted = True

    def close(self) -> None:
        """Nothing is held."""

    def _print(self, text: bytes) -> bool:
        try:
            return output.write(memoryview(text), unwanted=lambda: self.unwanted)
        except BrokenPipeError:
            raise EndOfStream from None

    def _end(self, batch: Batch, printed: int) -> NoReturn:
        if self.partly is not None and printed:
            changes = islice(batch, printed)
            self.partly(list({change.position.lineage: change.position for change in changes}.values()))
        raise EndOfStream
