"""What Tailrace and the real Debezium write is read back: the same operations on the same cells as the server sent.

With schemas the types come back too, so that cells are compared as text. Not everything survives an event: `kept` says
of each type and mode what is left of it. Without schemas a cell is what JSON shows, so that the images are compared
with the JSON itself, and the types with those of JSON.
"""

from __future__ import annotations

import base64
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any

import pytest

from servers import debezium, postgres
from tailrace._native import UNCHANGED, Batch, Change, Column, EventReader, Row, Table
from tailrace.format import Format
from tests.conformance import generated, sides
from tests.conformance.cases import Case
from tests.conformance.kept import is_lost, kept
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
_MODES: Sequence[Mapping[str, str]] = (
    {},
    {
        "time_precision_mode": "isostring",
        "decimal_handling_mode": "string",
        "binary_handling_mode": "hex",
        "interval_handling_mode": "string",
        "hstore_handling_mode": "map",
        "include_unknown_datatypes": "true",
    },
    {
        "time_precision_mode": "local",
        "decimal_handling_mode": "double",
        "binary_handling_mode": "base64",
        "include_unknown_datatypes": "true",
    },
    {
        "time_precision_mode": "connect",
        "interval_handling_mode": "string",
        "include_unknown_datatypes": "true",
    },
    {"time_precision_mode": "nanoseconds", "binary_handling_mode": "base64-url-safe", "hstore_handling_mode": "map"},
    {"time_precision_mode": "microseconds", "decimal_handling_mode": "string"},
    {"time_precision_mode": "adaptive_time_microseconds", "decimal_handling_mode": "double"},
)
"""Every value of every option that says how types are written, at least once."""
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


def read(topic: str, records: Sequence[Record], options: Mapping[str, str]) -> list[Change]:
    """The changes of one topic's records, which were written with `options`."""
    binary = options.get("binary_handling_mode", "bytes")
    reader = EventReader("kafka/cluster/topic/0", topic=topic, binary_handling_mode=binary)
    reader.feed([(key, value, 0, offset) for offset, (key, value) in enumerate(records)])
    return list(reader.take() or ())


def by_table(batches: Sequence[Batch]) -> dict[str, list[Change]]:
    """The changes of each table; those of messages under "message"."""
    found: dict[str, list[Change]] = defaultdict(list)
    for change in (change for batch in batches for change in batch):
        found["message" if change.op == "m" else change.table.name].append(change)
    return found


def expected(change: Change, options: Mapping[str, str]) -> list[tuple[str, Row | None, Row | None]]:
    """Operation and images as events have them."""
    before, after = change.before, change.after
    if change.op == "u" and before is not None and after is not None and change.key is not None:
        columns = [
            column for column in change.table.columns if column.name in change.table.key and column.name in before
        ]
        if any(_ours(column, before, options) != _ours(column, after, options) for column in columns):
            return [("d", before, None), ("c", None, after)]
    return [(change.op, before, after)]


def _ours(column: Column, row: Row, options: Mapping[str, str]) -> Any:
    """What is left of a cell that the server sent."""
    return _reduced(row, column.name, kept(column.type, column.native, options).ours)


def _reduced(row: Row, name: str, reduce: Callable[[str], Any]) -> Any:
    """A cell, or each element of its array, by `reduce`."""
    text, value = row.text(name), row[name]
    if isinstance(value, list):
        return _each(_texts(value), reduce)
    return reduce(text) if isinstance(text, str) else text


def _each(texts: Any, reduce: Callable[[str], Any]) -> Any:
    if isinstance(texts, list):
        return [_each(text, reduce) for text in texts]
    return None if texts is None else reduce(texts)


def _texts(value: Any) -> Any:
    """An array's elements as texts of the server."""
    match value:
        case list():
            return [_texts(item) for item in value]
        case None:
            return None
        case bool():
            return "t" if value else "f"
        case bytes():
            return f"\\x{value.hex()}"
        case float() if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        case float() if math.isnan(value):
            return "NaN"
        case dict():
            return json.dumps(value)
        case time() if value.tzinfo is None:
            return _short(value.isoformat())
        case datetime() if value.tzinfo is None:
            return _short(value.isoformat(" "))
    return str(value)


def _short(text: str) -> str:
    """A time as the server prints it: no zeros behind its fraction."""
    return text.rstrip("0") if "." in text else text


def assert_rows(change: Change, rows: tuple[Row | None, Row | None], table: Table, options: Mapping[str, str]) -> None:
    """An image as the server sent it, and as it was read back."""
    ours, theirs = rows
    assert (ours is None) == (theirs is None), change
    if ours is None or theirs is None:
        return
    known = {column.name: column for column in table.columns}
    for column in change.table.columns:
        if column.name not in ours or column.name not in known:
            continue
        left = kept(column.type, column.native, options)
        assert known[column.name].type == left.type, column
        if column.name not in theirs:
            assert column.name not in change.table.key, column
            continue
        found, wanted = _reduced(theirs, column.name, left.theirs), _ours(column, ours, options)
        gone = wanted is UNCHANGED and is_lost(column.type, options)
        assert found == (None if gone or (column.type == "varbit(1)" and not ours.text(column.name)) else wanted), (
            column
        )


def assert_back(changes: Sequence[Change], records: Sequence[Record], topic: str, options: Mapping[str, str]) -> None:
    """The records of a topic are read back as the changes that they were made of."""
    ours = [(change, *parts) for change in changes for parts in expected(change, options)]
    theirs = read(topic, records, options)
    assert [op for _, op, _, _ in ours] == [change.op for change in theirs]
    for (change, _, before, after), back in zip(ours, theirs, strict=True):
        if change.op == "m":
            assert back.message is not None
            assert change.message is not None
            assert (back.message.prefix, back.message.transactional) == (
                change.message.prefix,
                change.message.transactional,
            )
            assert back.message.content == change.message.content
            continue
        assert back.table.name == change.table.name
        assert back.table.schema == change.table.schema
        assert back.table.key == change.table.key or change.op == "t"
        assert_rows(change, (before, back.before), back.table, options)
        assert_rows(change, (after, back.after), back.table, options)
        if change.op != "r":
            assert (back.committed_at, back.transaction) == (change.committed_at, change.transaction)


def topic_of(name: str) -> str:
    """Where the changes of a table are, "message" those of messages."""
    if name == "message":
        return "shop.message"
    return f"shop.public.{name}" if name.isascii() else "shop.public.We_ird_.N_me"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.strip('"'))
def test_debeziums_events_with_schemas_are_the_servers_cells(case: Case, with_schemas: Read) -> None:
    name = case.name.strip('"')
    topic = topic_of(name)
    records = [(record.key, record.value) for record in with_schemas.records if record.topic == topic]
    assert_back(by_table(with_schemas.batches)[name], records, topic, _OPTIONS)


def written(batches: Sequence[Batch], format: Format) -> dict[str, list[Record]]:
    """What is written of each topic."""
    profile, records = format.profile("shop"), defaultdict[str, list[Record]](list)
    for batch in batches:
        for event in sides.encoded(batch, profile):
            records[event.topic].append((event.key, event.value))
    return records


@pytest.mark.parametrize("options", _MODES, ids=lambda options: options.get("time_precision_mode", "defaults"))
def test_tailraces_events_with_schemas_are_the_servers_cells(options: Mapping[str, str], with_schemas: Read) -> None:
    records = written(with_schemas.batches, Format(schemas_enable=True, skipped_operations="none", **options))
    for name, changes in by_table(with_schemas.batches).items():
        assert_back(changes, records[topic_of(name)], topic_of(name), options)


_SHOWN = {bool: "bool", int: "int8", float: "float8", str: "text", list: "json", dict: "json"}


def assert_shown(row: Row | None, shown: dict[str, Any] | None, types: Mapping[str, str]) -> None:
    """An image has the values that JSON shows, and no other types."""
    assert (row is None) == (shown is None)
    for name, value in (row or {}).items():
        assert shown is not None
        if shown[name] is not None and shown[name] not in ("NaN", "Infinity", "-Infinity"):
            assert types[name] in (_SHOWN[type(shown[name])], "json"), name
        if value is UNCHANGED:
            assert "unavailable" in json.dumps(shown[name]) or shown[name]
        elif isinstance(value, float) and not math.isfinite(value):
            assert str(shown[name]).replace("inity", "").lower() == str(value)
        else:
            assert value == shown[name], name


@pytest.mark.parametrize("options", _MODES, ids=lambda options: options.get("time_precision_mode", "defaults"))
def test_tailraces_events_without_schemas_show_the_same_values(options: Mapping[str, str], with_schemas: Read) -> None:
    records = written(with_schemas.batches, Format(skipped_operations="none", **options))
    count = 0
    for topic, events in records.items():
        changes = iter(read(topic, events, options))
        for key, value in events:
            if value is None:
                continue
            payload, change = json.loads(value), next(changes)
            count += 1
            assert change.op == payload["op"]
            if change.op == "m":
                assert change.message is not None
                assert change.message.prefix == payload["message"]["prefix"]
                content = payload["message"]["content"]
                decode = bytes.fromhex if options.get("binary_handling_mode") == "hex" else base64.urlsafe_b64decode
                assert change.message.content == decode(content.replace("+", "-").replace("/", "_"))
                continue
            source = payload["source"]
            assert (change.table.schema, change.table.name) == (source["schema"], source["table"])
            assert change.transaction == (source["txId"] or None)
            types = {column.name: column.type for column in change.table.columns}
            assert_shown(change.before, payload["before"], types)
            assert_shown(change.after, payload["after"], types)
            if key is not None:
                assert change.key is not None
                assert dict(change.key) == json.loads(key)
        assert next(changes, None) is None, topic
    assert count > 1000
