"""What Tailrace and the real Debezium write is read back: the same operations on the same cells as the server sent.

With schemas the types come back too, so that cells are compared as text. Not everything survives an event: `SAME` lists
each type of which Debezium keeps less than the server has, and what is left of it. Without schemas a cell is what JSON
shows, so that the images are compared with the JSON itself.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import time
from decimal import Decimal
from typing import Any

import pytest

from servers import debezium, postgres
from tailrace._native import UNCHANGED, Batch, Change, Column, DebeziumJson, EventReader, Row, Table
from tests.conformance import generated, sides
from tests.conformance.cases import Case
from tests.conformance.shapes import SHAPES
from tests.conformance.values import VALUES
from tests.conftest import fresh

CASES: list[Case] = [
    *VALUES,
    *(case for case in SHAPES if case.name != "toast_lost"),  # of these Debezium says nothing: see `differences`
    *generated.cases(seed=20261128),
    *generated.families(seed=20261128),
]
# In these modes nothing is lost that Debezium has a mode to keep.
_OPTIONS = {
    "converter_schemas_enable": "true",
    "interval_handling_mode": "string",
    "hstore_handling_mode": "map",
    "skipped_operations": "none",
}
Record = tuple[bytes | None, bytes | None]


@dataclass(frozen=True, slots=True)
class Read:
    """The changes of Tailrace's stream, and the records of a real Debezium, of the same statements."""

    batches: Sequence[Batch]
    records: Sequence[debezium.Record]


@pytest.fixture(scope="module")
def with_schemas(postgres18: postgres.Server, debezium_host: sides.Start) -> Iterator[Read]:
    with fresh(postgres18) as url:
        yield Read(*sides.watched(debezium_host, url, CASES, **_OPTIONS))


def read(topic: str, records: Sequence[Record]) -> list[Change]:
    """The changes of one topic's records."""
    reader = EventReader("kafka/cluster/topic/0", topic=topic)
    reader.feed([(key, value, 0, offset) for offset, (key, value) in enumerate(records)])
    return list(reader.take() or ())


def by_table(batches: Sequence[Batch]) -> dict[str, list[Change]]:
    """The changes of each table; those of messages under "message"."""
    found: dict[str, list[Change]] = defaultdict(list)
    for change in (change for batch in batches for change in batch):
        found["message" if change.op == "m" else change.table.name].append(change)
    return found


def expected(change: Change) -> list[tuple[str, Row | None, Row | None]]:
    """Operation and images as events have them."""
    before, after = change.before, change.after
    if change.op == "u" and before is not None and after is not None and change.key is not None:
        columns = [
            column for column in change.table.columns if column.name in change.table.key and column.name in before
        ]
        if any(_kept(column, before.text(column.name)) != _kept(column, after.text(column.name)) for column in columns):
            return [("d", before, None), ("c", None, after)]
    return [(change.op, before, after)]


def _numbers(text: str) -> Any:
    return Decimal(text) if text not in {"NaN", "Infinity", "-Infinity"} else None


def _money(text: str) -> Decimal:
    return Decimal(text.replace("$", "").replace(",", ""))


def _in_utc(text: str) -> int:
    """Microseconds of the day in UTC."""
    clock, sign, zone = text.partition("+") if "+" in text else text.partition("-")
    hours, minutes, seconds = clock.split(":")
    micros = (int(hours) * 60 + int(minutes)) * 60_000_000 + round(Decimal(seconds) * 1_000_000)
    parts = [int(part) for part in zone.split(":")] + [0]
    offset = (parts[0] * 60 + parts[1]) * 60_000_000 * (-1 if sign == "-" else 1)
    return (micros - offset) % 86_400_000_000


def _bits(text: str) -> int:
    return int({"t": "1", "f": "0"}.get(text, text) or "0", 2)


SAME: dict[str, Callable[[str], Any]] = {
    "numeric": _numbers,  # zeros at the end of one without a scale are cut off; no NaN, no infinity
    "money": _money,  # a plain decimal
    "timetz": _in_utc,  # moved to UTC
    "bit": _bits,  # one bit is a boolean
    "varbit": _bits,  # zeros in front are lost
}
_FAR = {"294276-12-31 00:00:00", "294247-01-10 04:00:55"}
"""Beyond 64 bits of microseconds: Debezium holds them there."""


def _kept(column: Column, text: Any) -> Any:
    """What an event keeps of a cell."""
    convert = SAME.get(column.type.partition("(")[0])
    return text if convert is None or not isinstance(text, str) else convert(text)


def assert_same(column: Column, ours: Any, theirs: Any) -> None:
    """The cell of a column, as the server sent it and as it was read back."""
    if column.type.endswith("[]"):
        return  # compared by their values
    if ours not in _FAR:
        kept = _kept(column, ours)
        assert kept == _kept(column, theirs) or (ours == "" and theirs is None), column


def _listed(value: Any) -> Any:
    """An array's elements without what an event does not keep."""
    if isinstance(value, list):
        return [_listed(item) for item in value]
    if isinstance(value, float) and math.isnan(value):
        return "nan"
    if isinstance(value, time) and value.tzinfo is not None:
        return _in_utc(value.isoformat())
    return value


def assert_rows(change: Change, ours: Row | None, theirs: Row | None, table: Table) -> None:
    assert (ours is None) == (theirs is None), change
    if ours is None or theirs is None:
        return
    known = {column.name for column in table.columns}
    for column in change.table.columns:
        if column.name not in ours or column.name not in known:
            continue
        if column.name not in theirs:
            assert column.name not in change.table.key, column
            continue
        assert_same(column, ours.text(column.name), theirs.text(column.name))
        if column.type.endswith("[]") and column.type != "hstore[]":  # Debezium has JSON in place of an hstore there
            assert _listed(theirs[column.name]) == _listed(ours[column.name]), column


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.strip('"'))
def test_debeziums_events_with_schemas_are_the_servers_cells(case: Case, with_schemas: Read) -> None:
    name = case.name.strip('"')
    ours = [(change, *parts) for change in by_table(with_schemas.batches)[name] for parts in expected(change)]
    topic = f"shop.public.{name}" if name.isascii() else "shop.public.We_ird_.N_me"
    topic = "shop.message" if name == "message" else topic
    theirs = read(topic, [(record.key, record.value) for record in with_schemas.records if record.topic == topic])
    assert [op for _, op, _, _ in ours] == [change.op for change in theirs]
    for (change, _, before, after), back in zip(ours, theirs, strict=True):
        if change.op == "m":
            assert back.message is not None
            assert change.message is not None
            assert (back.message.prefix, back.message.content) == (change.message.prefix, change.message.content)
            assert back.message.transactional == change.message.transactional
            continue
        assert back.table.name == change.table.name
        assert back.table.schema == change.table.schema
        assert back.table.key == change.table.key or change.op == "t"
        assert_rows(change, before, back.before, back.table)
        assert_rows(change, after, back.after, back.table)
        if change.op != "r":
            assert (back.committed_at, back.transaction) == (change.committed_at, change.transaction)


def assert_shown(row: Row | None, shown: dict[str, Any] | None) -> None:
    """An image has the values that JSON shows."""
    assert (row is None) == (shown is None)
    for name, value in (row or {}).items():
        assert shown is not None
        if value is UNCHANGED:
            assert "unavailable" in json.dumps(shown[name]) or shown[name]
        elif isinstance(value, float) and not math.isfinite(value):
            assert str(shown[name]).replace("inity", "").lower() == str(value)
        else:
            assert value == shown[name], name


def test_tailraces_events_without_schemas_show_the_same_values(with_schemas: Read) -> None:
    profile = DebeziumJson({"topic_prefix": "shop", "skipped_operations": "none"})
    records: dict[str, list[Record]] = defaultdict(list)
    for batch in with_schemas.batches:
        for event in sides.encoded(batch, profile):
            records[event.topic].append((event.key, event.value))
    count = 0
    for topic, events in records.items():
        changes = iter(read(topic, events))
        for key, value in events:
            if value is None:
                continue
            payload, change = json.loads(value), next(changes)
            count += 1
            assert change.op == payload["op"]
            if change.op == "m":
                assert change.message is not None
                assert change.message.prefix == payload["message"]["prefix"]
                continue
            source = payload["source"]
            assert (change.table.schema, change.table.name) == (source["schema"], source["table"])
            assert change.transaction == (source["txId"] or None)
            assert_shown(change.before, payload["before"])
            assert_shown(change.after, payload["after"])
            if key is not None:
                assert change.key is not None
                assert dict(change.key) == json.loads(key)
        assert next(changes, None) is None, topic
    assert count > 1000
