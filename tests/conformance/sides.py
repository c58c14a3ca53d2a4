"""Tailrace and the real Debezium on the same database and the same statements. Never says what should be equal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import psycopg

from servers import debezium
from servers.debezium import Record
from tailrace._native import Batch, DebeziumJson
from tailrace.checkpoint.memory import Memory
from tailrace.contract import Stream
from tailrace.error import Reject
from tailrace.format import Format
from tailrace.model import Limits
from tailrace.source.postgres import Postgres
from tests.conformance import oracle
from tests.conformance.cases import EXTENSIONS, TYPES, Case, Statements
from tests.conformance.imported import imported

Start = Callable[..., AbstractContextManager[debezium.Engine]]
PREFIX = "shop"


@dataclass(frozen=True, slots=True)
class Event:
    """A record as Kafka would get it, from either side, its value without what differs by nature."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """What both sides wrote, in order: for rows that were there, and for the statements."""

    tailrace: Sequence[Event]
    debezium: Sequence[Event]

    def of(self, table: str) -> Run:
        """The events of one table's topic; "message" for the topic of messages."""
        name = table if table == "message" else f"public.{table}"
        topics = {f"shop.{name}"} if name.isascii() else {"shop.public.We_ird_.N_me"}
        return Run(
            [event for event in self.tailrace if event.topic in topics],
            [event for event in self.debezium if event.topic in topics],
        )

    def but_for(self, topic: str) -> Run:
        """The events of all topics but one."""
        return Run(
            [event for event in self.tailrace if event.topic != topic],
            [event for event in self.debezium if event.topic != topic],
        )

    def under(self, prefix: str) -> Run:
        """The events of the topics that begin so."""
        return Run(
            [event for event in self.tailrace if event.topic.startswith(prefix)],
            [event for event in self.debezium if event.topic.startswith(prefix)],
        )


def run(
    start: Start,
    url: str,
    cases: Sequence[Case],
    format: Format,
    *,
    source: Mapping[str, Any] = MappingProxyType({}),
    **options: str,
) -> Run:
    """What both sides write of `watched` cases."""
    return _compared(*watched(start, url, cases, source=source, **options), format)


def run_imported(
    start: Start, url: str, cases: Sequence[Case], *, shown: Mapping[str, str] = MappingProxyType({}), **options: str
) -> Run:
    """The same where the engine's options are all that is told: ours are what `import-debezium` makes of them.

    `shown` are options of the engine's alone: how its records are printed.
    """
    options = {"extended_headers_enabled": "false", "converter_schemas_enable": "false", **options}
    properties = debezium.properties(url, slot_name="tailrace", publication_name="tailrace", **options)
    source, format = imported(properties)
    return _compared(*watched(start, url, cases, source=source, **options, **shown), format)


def _compared(batches: Sequence[Batch], records: Sequence[Record], format: Format) -> Run:
    profile = format.profile(PREFIX)
    ours = [event for batch in batches for event in _told(batch, profile) if not event.topic.endswith(oracle.MARKER)]
    return Run(ours, [_event(record) for record in records])


def _told(batch: Batch, profile: DebeziumJson) -> Iterator[Event]:
    """A batch's events; of a change that is refused why, under its own table: the others are compared all the same."""
    try:
        yield from list(encoded(batch, profile))
    except Reject as reject:
        changes = list(batch)
        for index, reason in sorted(reject.reasons.items()):
            table = changes[index].table
            yield Event(f"{PREFIX}.{table.schema}.{table.name}", None, f"refused: {reason}".encode(), ())
        yield from _told(batch.without(sorted(reject.reasons)), profile)


def watched(
    start: Start,
    url: str,
    cases: Sequence[Case],
    *,
    source: Postgres | Mapping[str, Any] = MappingProxyType({}),
    **options: str,
) -> tuple[Sequence[Batch], Sequence[Record]]:
    """Create the cases' tables, start both sides, run the statements, and collect until both have seen the end.

    `source` is Tailrace's side, or what is set in it; `options` are the engine's.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        for [name] in connection.execute(b"SELECT name FROM pg_available_extensions").fetchall():
            if name in EXTENSIONS:  # the build with xml lacks vector
                connection.execute(f"CREATE EXTENSION {name}".encode())
        for statement in TYPES:
            connection.execute(statement.encode())
        for case in cases:
            for statement in case.before():
                connection.execute(statement.encode())
        with (
            oracle.recording(start, url, **options) as recording,
            closing(_open(url, source)) as stream,
        ):
            batches, streamed = list(_snapshot(stream)), list[Record]()
            for case in cases:
                for step in case.after():
                    if isinstance(case, Statements) and case.apart:
                        streamed += recording.finish()
                        batches += _until_end(stream)
                    _execute(connection, step)
            streamed += recording.finish()
            batches += _until_end(stream)
    return batches, [*recording.snapshot, *streamed]


def encoded(batch: Batch, profile: DebeziumJson) -> Iterator[Event]:
    """A batch's events."""
    for part in batch.json(profile):
        for index in range(len(part)):
            value = part.value(index)
            yield Event(
                part.topic(index),
                part.key(index),
                value and oracle.masked(value),
                tuple(part.headers(index)),
                part.partition(index),
            )


def _event(record: Record) -> Event:
    value = record.value and oracle.masked(record.value)
    return Event(record.topic, record.key, value, record.headers, record.partition)


def _open(url: str, source: Postgres | Mapping[str, Any]) -> Stream:
    if not isinstance(source, Postgres):
        settings = {"tables": ["public.*"], "slot": "tailrace", "publication": "tailrace", **source}
        source = Postgres(url, **settings)
    return source.open("conformance", Memory().open("conformance"), Limits())


def _snapshot(stream: Stream) -> Iterator[Batch]:
    """Everything up to the progress that says that the snapshot is complete."""
    for batch in _read(stream):
        yield batch
        if not len(batch) and batch.snapshot is None:
            return


def _until_end(stream: Stream) -> Iterator[Batch]:
    for batch in _read(stream):
        yield batch
        if any(table.name == oracle.MARKER for table in batch.tables):
            return


def _read(stream: Stream) -> Iterator[Batch]:
    deadline = time.monotonic() + oracle.TIMEOUT_S
    while time.monotonic() < deadline:
        batch = stream.read(0.2)
        if isinstance(batch, Batch):
            yield batch
    raise TimeoutError("Tailrace gave no further batch in time")


def _execute(connection: psycopg.Connection, step: str | tuple[str, ...]) -> None:
    if isinstance(step, str):
        connection.execute(step.encode())
        return
    with connection.transaction():
        for statement in step:
            connection.execute(statement.encode())
