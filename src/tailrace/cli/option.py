"""Options that come in groups. Never imports what is heavy: every command's help needs this."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from tailrace.cli.report import Level, LogFormat, start_logs

__all__ = [
    "ConsumeOptions",
    "CutoverOptions",
    "ImportOptions",
    "Logs",
    "QuietLogs",
    "RunOptions",
    "TailOptions",
    "VerifyOptions",
]


@Parameter(name="*")
@dataclass(frozen=True)
class Logs:
    """How much is logged, and how."""

    log_level: Level = "info"
    """How much to log on stderr."""
    log_format: LogFormat | None = None
    """Default: text on a terminal, JSON lines otherwise."""

    def start(self) -> None:
        """Begin to log."""
        start_logs(self.log_level, self.log_format)


@Parameter(name="*")
@dataclass(frozen=True)
class QuietLogs(Logs):
    """The same of a command that is run to be read."""

    log_level: Level = "warning"
    """How much to log on stderr."""


@Parameter(name="*")
@dataclass(frozen=True)
class RunOptions:
    """How to run, and what to tell of it."""

    until_current: Annotated[bool, Parameter(negative="")] = False
    """Stop when the position that the source had at the start is durable in the sink."""
    http: str | None = None
    """Where to serve /healthz, /readyz and /metrics, such as 127.0.0.1:9187."""
    traces: Annotated[bool, Parameter(negative="")] = False
    """Send OpenTelemetry spans by OTLP over HTTP, as the OTEL_… environment variables say."""


@Parameter(name="*")
@dataclass(frozen=True)
class TailOptions:
    """What to print of a source, and how."""

    table: Annotated[list[str] | None, Parameter(negative="")] = None
    """A glob of schema.table; may be given several times."""
    format: Literal["pretty", "json", "debezium"] = "pretty"
    """debezium prints the lines of the stdout sink."""
    snapshot: Annotated[bool, Parameter(negative="")] = False
    """Print the rows that are there first."""
    count: Annotated[int | None, Parameter(name=["--count", "-n"])] = None
    """Stop after so many changes."""
    until_current: Annotated[bool, Parameter(negative="")] = False
    """Stop at what was committed at the start."""
    publication: str | None = None
    """Use this publication in place of one that is made and dropped."""


@Parameter(name="*")
@dataclass(frozen=True)
class ConsumeOptions:
    """What to print of topics, and how."""

    group: str | None = None
    """The consumer group; without it one of our own, which is deleted at the end."""
    begin: Annotated[Literal["earliest", "latest"], Parameter(name="--auto-offset-reset")] = "earliest"
    """Where to begin in what the group has never read."""
    format: Literal["pretty", "json", "debezium"] = "pretty"
    """debezium prints the lines of the stdout sink."""
    count: Annotated[int | None, Parameter(name=["--count", "-n"])] = None
    """Stop after so many changes."""
    until_current: Annotated[bool, Parameter(negative="")] = False
    """Stop at what the topics held at the start."""


@Parameter(name="*")
@dataclass(frozen=True)
class VerifyOptions:
    """What to compare, and what to do about differences."""

    table: Annotated[list[str] | None, Parameter(negative="")] = None
    """A glob of schema.table; may be given several times."""
    repair: Annotated[bool, Parameter(negative="")] = False
    """Have the pipeline write the rows that differ again."""
    rate: float | None = None
    """Rows a second to read at most, at either end."""
    json: Annotated[bool, Parameter(negative="")] = False
    """Print JSON in place of a table."""


@Parameter(name="*")
@dataclass(frozen=True)
class CutoverOptions:
    """How sequences are carried over, and how long to wait."""

    margin: int = 0
    """Steps to leave free behind what the source has given out."""
    wait: float = 60.0
    """Seconds to wait until nobody writes and the target has everything."""
    json: Annotated[bool, Parameter(negative="")] = False
    """Print JSON in place of a table."""


@Parameter(name="*")
@dataclass(frozen=True)
class ImportOptions:
    """What the connector's own file does not say."""

    name: str | None = None
    """The pipeline's name; the connector's without it."""
    sink: str | None = None
    """Where events go, by URL, such as file:orders.jsonl; without it where the connector sent them."""
    offsets: Path | None = None
    """Take the position over too: the connector's file of offsets, what GET /connectors/NAME/offsets gave, or a record
    of Kafka Connect's offsets topic. Stop the connector first."""
    from_slot: Annotated[bool, Parameter(negative="")] = False
    """Take the position over as the slot has it, when the offsets are lost: what was delivered since comes again."""
    worker: Path | None = None
    """The .properties of Kafka Connect's worker: its converters and bootstrap.servers hold for every connector."""
