"""Drives the decoder of `tailrace._native` and shows what it made in the oracle's own words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tailrace._native import Batch, Change, Chunk, Column, PgOutput, Relation, Row, Table
from tests.wire import oracle

_UNIX = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Limits:
    """How the decoder is run: none of it may change what comes out."""

    segment_bytes: int = 1 << 20
    transaction_bytes_max: int = 8 << 20
    chunk_messages: int = 100


@dataclass
class Decoded:
    """All that came out: `ends` holds where each batch ended and how many rows there were by then."""

    rows: list[oracle.Row] = field(default_factory=list)
    ends: list[tuple[str, int]] = field(default_factory=list)
    received: int = 0


def decode(messages: Sequence[bytes], limits: Limits, spill_dir: Path) -> Decoded:
    """Feed chunks, take after each one."""
    decoder = _decoder(limits, spill_dir)
    decoded = Decoded()
    for batch in _batches(decoder, messages, limits):
        decoded.rows.extend(rows_of(batch))
        decoded.ends.append((batch.positions[0].text, len(decoded.rows)))
    decoded.received = decoder.received_lsn
    return decoded


def batches(messages: Sequence[bytes], limits: Limits, spill_dir: Path) -> list[Batch]:
    """As `decode`, as they come."""
    return list(_batches(_decoder(limits, spill_dir), messages, limits))


def _decoder(limits: Limits, spill_dir: Path) -> PgOutput:
    return PgOutput(
        "postgres/1/db/slot",
        database="db",
        timeline=1,
        start_after=None,
        streaming=True,
        segment_bytes=limits.segment_bytes,
        transaction_bytes_max=limits.transaction_bytes_max,
        spill_bytes_max=1 << 30,
        spill_dir=spill_dir,
    )


def _batches(decoder: PgOutput, messages: Sequence[bytes], limits: Limits) -> Iterator[Batch]:
    for start in range(0, len(messages), limits.chunk_messages):
        relation = decoder.feed(Chunk.of(messages[start : start + limits.chunk_messages]))
        while relation is not None:
            decoder.describe(relation.oid, table_of(relation))
            relation = decoder.feed(None)
        batch = decoder.take()
        if batch is not None:
            yield batch


def table_of(relation: Relation) -> Table:
    """A table of texts, its replica identity as key."""
    columns = [Column(name, "text") for name, _, _, _ in relation.columns]
    key = [name for name, _, _, is_key in relation.columns if is_key]
    return Table(relation.schema, relation.name, columns, key=key)


def rows_of(batch: Batch) -> list[oracle.Row]:
    """The changes of a batch as the oracle has them."""
    return [_row(change) for segment in batch.segments() for change in segment]


def _row(change: Change) -> oracle.Row:
    message, table = change.message, None if change.op == "m" else change.table
    return oracle.Row(
        op=change.op,
        table=None if table is None else str(table),
        columns=() if table is None else tuple(column.name for column in table.columns),
        before=_image(change.before),
        after=_image(change.after),
        position=change.position.text,
        xid=change.transaction or 0,
        at_us=(change.committed_at - _UNIX) // timedelta(microseconds=1),
        origin=change.origin,
        message=None if message is None else (message.prefix, message.content, message.transactional),
    )


def _image(row: Row | None) -> oracle.Image | None:
    if row is None:
        return None
    try:
        cells = row.texts().items()
    except UnicodeDecodeError:  # Python has no text for it; the fast encoders refuse it
        return oracle.NOT_UTF8
    return {name: cell if cell is None or isinstance(cell, str) else oracle.UNCHANGED for name, cell in cells}
