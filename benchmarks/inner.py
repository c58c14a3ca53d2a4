"""Decoding and encoding alone, on messages held in memory: no socket, no sink. Never measures a server."""

from __future__ import annotations

import io
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType

import msgspec
import psycopg
import pyarrow
import pyarrow.csv

from benchmarks.meter import Meter, Numbers
from tailrace._native import Chunk, PgOutput, Relation
from tailrace.format import Format
from tailrace.model import Batch, Column, Table

COLUMNS = (
    *(("id", "int8"), ("customer_id", "int4"), ("product_id", "int4"), ("quantity", "int2")),
    *(("amount", "numeric(12,2)"), ("status", "varchar"), ("note", "text"), ("paid", "bool")),
    *(("created_at", "timestamptz"), ("due", "date"), ("token", "uuid"), ("attributes", "jsonb")),
)
ORDERS = Table(
    "public",
    "orders",
    [Column(name, type_, nullable=name in ("note", "due")) for name, type_ in COLUMNS],
    key=["id"],
)
ROUNDS = 5


def decode_pgoutput(*, url: str, slot: str, rows: int) -> Numbers:
    """pgoutput messages in memory → batches; processor time is the decoder's alone."""
    chunks = list(_chunks(url, slot, rows))
    events = 0
    with Meter() as meter:
        for _ in range(ROUNDS):
            events += sum(len(batch) for batch in _decode(chunks))
    return meter.numbers(events)


def encode_json(*, url: str, slot: str, rows: int, options: Mapping[str, str] = MappingProxyType({})) -> Numbers:
    """Batches in memory → Debezium JSON; beside it msgspec, encoding the same finished events."""
    batches = _decode(list(_chunks(url, slot, rows)))
    profile = Format(topic_prefix="shop", **options).profile("bench")
    events = nbytes = 0
    with Meter() as meter:
        for _ in range(ROUNDS):
            for batch in batches:
                events += len(batch)
                nbytes += sum(encoded.nbytes for encoded in batch.json(profile))
    lines = [bytes(memoryview(encoded)).splitlines() for encoded in batches[0].json(profile)]
    values = [msgspec.json.decode(line) for segment in lines for line in segment]
    encoder = msgspec.json.Encoder()
    with Meter() as beside:
        for _ in range(ROUNDS):
            for value in values:
                encoder.encode(value)
    reference = len(values) * ROUNDS / beside.seconds
    return meter.numbers(events, reference_rate=reference, bytes_a_second=nbytes / meter.seconds)


def encode_arrow(*, url: str, slot: str, rows: int) -> Numbers:
    """Batches in memory → Arrow record batches; beside it pyarrow's CSV reader on the same rows, one thread."""
    batches = _decode(list(_chunks(url, slot, rows)))
    events = 0
    with Meter() as meter:
        for _ in range(ROUNDS):
            for batch in batches:
                events += sum(
                    len(records)
                    for table in batch.tables
                    for records in pyarrow.RecordBatchReader.from_stream(batch.arrow(table))
                )
    return meter.numbers(events, reference_rate=_csv_rate(url, rows))


def _csv_rate(url: str, rows: int) -> float:
    text = io.BytesIO()
    query = f"COPY (SELECT * FROM orders WHERE id <= {rows}) TO STDOUT (FORMAT csv, HEADER)"
    with psycopg.connect(url) as connection, connection.cursor().copy(query.encode()) as copy:
        for block in copy:
            text.write(block)
    options = pyarrow.csv.ReadOptions(use_threads=False)
    with Meter() as meter:
        for _ in range(ROUNDS):
            text.seek(0)
            pyarrow.csv.read_csv(text, read_options=options)
    return rows * ROUNDS / meter.seconds


def _chunks(url: str, slot: str, rows: int) -> Iterator[Chunk]:
    """What the server would send for the first `rows` rows, as libpq would hand it out, in chunks of 1,000 messages."""
    sql = "SELECT lsn - '0/0', data FROM pg_logical_slot_peek_binary_changes(%s, NULL, %s, %s, %s, %s, %s)"
    options = ["proto_version", "4", "publication_names", "bench"]
    with psycopg.connect(url) as connection, connection.cursor(binary=True) as cursor:
        messages = [
            b"w" + struct.pack(">qqq", int(lsn), int(lsn), 0) + data
            for lsn, data in cursor.execute(sql, [slot, rows, *options])
        ]
    for first in range(0, len(messages), 1000):
        yield Chunk.of(messages[first : first + 1000])


def _decode(chunks: list[Chunk]) -> list[Batch]:
    decoder = PgOutput(
        "postgres/0/bench/bench",
        database="bench",
        timeline=1,
        start_after=None,
        streaming=False,
        segment_bytes=1 << 20,
        transaction_bytes_max=32 << 20,
        spill_bytes_max=1 << 30,
        spill_dir=tempfile.gettempdir(),
    )
    batches = []
    for chunk in chunks:
        waiting: Chunk | None = chunk
        while (relation := decoder.feed(waiting)) is not None:
            _describe(decoder, relation)
            waiting = None
        if (batch := decoder.take()) is not None:
            batches.append(batch)
    return batches


def _describe(decoder: PgOutput, relation: Relation) -> None:
    assert [column[0] for column in relation.columns] == [name for name, _ in COLUMNS]
    decoder.describe(relation.oid, ORDERS)


SIDES: dict[str, Callable[..., Numbers]] = {
    "decode_pgoutput": decode_pgoutput,
    "encode_json": encode_json,
    "encode_json_with_schemas": partial(encode_json, options={"schemas_enable": "true"}),
    "encode_json_flat": partial(encode_json, options={"profile": "flat"}),
    "encode_arrow": encode_arrow,
}
