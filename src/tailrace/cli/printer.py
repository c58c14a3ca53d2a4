"""A sink that prints changes on stdout, for commands that show them. Keeps nothing, never retries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from tailrace import output
from tailrace.cli.line import Pretty, as_json
from tailrace.contract import Writer
from tailrace.error import EndOfStream
from tailrace.format import Format
from tailrace.model import Batch, Change, Finding, Limits, Position
from tailrace.plugin import Group, find

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
        inner: Writer
        if self.form == "debezium":
            inner = find(Group.SINK, "stdout")(format=Format(topic_prefix="tail")).open(name, limits)
        else:
            output.require()
            inner = _Lines(Pretty() if self.form == "pretty" else as_json)
        return inner if self.count is None else _Counted(inner, self.count, self.partly)


@dataclass(slots=True)
class _Counted:
    """Ends the stream after so many changes."""

    inner: Writer
    left: int
    partly: Callable[[Sequence[Position]], None] | None

    def write(self, batch: Batch) -> None:
        """See `Writer.write`."""
        shown = batch if len(batch) <= self.left else batch.only(range(self.left))
        self.inner.write(shown)
        self.left -= len(batch)
        if self.left <= 0:
            if self.partly is not None:
                self.partly(list({change.position.lineage: change.position for change in shown}.values()))
            raise EndOfStream

    def close(self) -> None:
        """See `Writer.close`."""
        self.inner.close()


@dataclass(slots=True)
class _Lines:
    """One line a change on stdout, written at once."""

    line: Callable[[Change], bytes]

    def write(self, batch: Batch) -> None:
        """See `Writer.write`."""
        lines = b"".join(self.line(change) for change in batch)
        try:
            output.write(memoryview(lines))
        except BrokenPipeError:
            raise EndOfStream from None

    def close(self) -> None:
        """Nothing is held."""
