"""The real Debezium engine as an oracle: what it writes for the same statements that Tailrace sees. Never compares.

    with oracle.recording(start_debezium, database, decimal_handling_mode="string") as recording:
        recording.snapshot              # the rows that were there, as Kafka records
        ...                             # run the statements, with any other reader of the same database
        recording.finish()              # what Debezium wrote for them

Two readers of one database see the same LSNs, transaction ids and commit times, so nearly every byte must agree;
`masked` blanks the few that are a reader's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import psycopg

from servers import debezium
from servers.debezium import Record

TIMEOUT_S = 300.0
MARKER = "oraclemarker"
# Fields whose values differ by nature, each with the form that it must have: what has another form stays, and differs.
_VOLATILE = (
    # when a reader processed the event, at its end (a message: at its beginning)
    (re.compile(rb'"ts_ms":\d{13},"ts_us":\d{16},"ts_ns":\d{19}(\}\}?)$'), rb'"ts_ms":0,"ts_us":0,"ts_ns":0\g<1>'),
    (re.compile(rb'^(\{"schema":.*,"payload":)?\{"op":"m","ts_ms":\d{13},'), rb'\g<1>{"op":"m","ts_ms":0,'),
    # when a message without a transaction was met
    (
        re.compile(
            rb'(\{"op":"m","ts_ms":0,"source":\{.*?"ts_ms":)\d{13}(.*?"ts_us":)\d{16}(,"ts_ns":)\d{16}000(.*?"txId":null)'
        ),
        rb"\g<1>0\g<2>0\g<3>0\g<4>",
    ),
    # Debezium: the last commit that it saw, and the change; Tailrace: the change's own commit, and the change
    (re.compile(rb'"sequence":"\[(?:null|\\"\d+\\"),(\\"\d+\\"\]")'), rb'"sequence":"[\g<1>'),
)
# Each reader takes its snapshot at its own time and place.
_SNAPSHOT = re.compile(
    rb'("ts_ms":)\d{13}(,"snapshot":"(?:true|first|first_in_data_collection|last_in_data_collection|last)".*?'
    rb'"sequence":"\[)\\"\d+\\"(\]","ts_us":)\d{16}(,"ts_ns":)\d{16}000(.*?"txId":)\d+(,"lsn":)\d+'
)


@dataclass(slots=True)
class Recording:
    """A running engine that has delivered its snapshot and streams."""

    url: str
    engine: debezium.Engine
    snapshot: list[Record]

    def finish(self) -> list[Record]:
        """Everything that Debezium wrote for the statements since the last call, tombstones included."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"INSERT INTO {MARKER} SELECT max(id) + 1 FROM {MARKER}".encode())
        return self.engine.until(_is_marker, timeout_s=TIMEOUT_S)[:-1]


@contextmanager
def recording(
    start: Callable[..., AbstractContextManager[debezium.Engine]], url: str, **options: str
) -> Iterator[Recording]:
    """Start the engine on the database at `url` and let it take its snapshot; options with underscores for dots."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE IF NOT EXISTS {MARKER} (id int PRIMARY KEY)".encode())
        connection.execute(f"INSERT INTO {MARKER} VALUES (1)".encode())
    # How often it looks whether there is something to hand out: half a second by default, twice for each recording.
    options = {"poll_interval_ms": "10", **options}
    settings = debezium.properties(url, slot_name="oracle", publication_name="oracle", **options)
    with start(settings) as engine:
        records = engine.until(_is_last, timeout_s=TIMEOUT_S)
        yield Recording(url, engine, [record for record in records if not _is_marker(record)])


def masked(value: bytes) -> bytes:
    """An envelope without what is a reader's own: when it was processed, and when and where its snapshot was taken."""
    for form, replacement in _VOLATILE:
        value = form.sub(replacement, value)
    return _SNAPSHOT.sub(rb"\g<1>0\g<2>\g<3>0\g<4>0\g<5>0\g<6>0", value)


def _is_marker(record: Record) -> bool:
    return record.topic.endswith(MARKER)


def _is_last(record: Record) -> bool:
    """Of an envelope or of a CloudEvent: transforms copy the field under other names into records that come earlier."""
    value = record.value or b""
    return b'"snapshot":"last"' in value or b'"iodebeziumsnapshot":"last"' in value
