"""`tailrace tail`: changes on stdout through a temporary slot. Never saves a position, leaves nothing on the server."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

from tailrace.checkpoint.memory import Memory
from tailrace.cli.line import Pretty, as_json
from tailrace.cli.option import TailOptions
from tailrace.cli.run import Signals
from tailrace.config import source_from_url
from tailrace.contract import Writer
from tailrace.error import ConfigError, EndOfStream
from tailrace.format import Format
from tailrace.model import Batch, Change, Finding, Limits
from tailrace.pipeline import Pipeline
from tailrace.plugin import Group, find
from tailrace.supervisor import Supervisor

__all__ = ["tail"]


def tail(url: str, options: TailOptions) -> int:
    """Print changes until stopped, `count` is reached or nobody reads any more."""
    if options.count is not None and options.count < 1:
        raise ConfigError(f"-n {options.count}: give a number above 0")
    asked = {"tables": options.table, "publication": options.publication}
    named = {name: value for name, value in asked.items() if value is not None}
    source = source_from_url(url, temporary=True, snapshot="initial" if options.snapshot else "never", **named)
    pipeline = Pipeline(
        source,
        _Printer(options.format, options.count),
        name=f"tail_{os.getpid()}_{secrets.token_hex(4)}",
        checkpoint=Memory(),
        state_dir=None,
    )
    supervisor = Supervisor([pipeline])
    with Signals(supervisor.stop) as signals:
        supervisor.start(until_current=options.until_current, retry=False)  # the slot went with the connection
        code = supervisor.wait()
    for error in supervisor.outcomes.values():
        if error is not None:
            raise error
    return code or signals.exit_code


@dataclass(frozen=True, slots=True)
class _Printer:
    """A sink that prints at most `count` changes."""

    output: Literal["pretty", "json", "debezium"]
    count: int | None = None
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
        if self.output == "debezium":
            inner = find(Group.SINK, "stdout")(format=Format(topic_prefix="tail")).open(name, limits)
        else:
            inner = _Lines(Pretty() if self.output == "pretty" else as_json)
        return inner if self.count is None else _Counted(inner, self.count)


@dataclass(slots=True)
class _Counted:
    """Ends the stream after so many changes."""

    inner: Writer
    left: int

    def write(self, batch: Batch) -> None:
        """See `Writer.write`."""
        self.inner.write(batch if len(batch) <= self.left else batch.only(range(self.left)))
        self.left -= len(batch)
        if self.left <= 0:
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
            while lines:
                lines = lines[os.write(1, lines) :]
        except BrokenPipeError:
            raise EndOfStream from None

    def close(self) -> None:
        """Nothing is held."""
