"""Protobuf topics through the Kafka source: a real registry with references, nested messages, a changed schema."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient

import tailrace as tr
from servers import registry as servers_registry
from servers.kafka import Broker
from tailrace.error import Fatal
from tailrace.model import Change
from tests.cli.conftest import Cli
from tests.cli.conftest import cli as cli
from tests.server.kafka.filling import produce

KEY = 'syntax = "proto3"; package shop.public.orders; message Key { int32 id = 1; }'
COMMON = 'syntax = "proto3"; package shop.common; message Price { string currency = 1; int64 cents = 2; }'
EVENTS = """syntax = "proto3";
package shop.public.orders;
import "common.proto";
import "google/protobuf/timestamp.proto";
message Unused { bool x = 1; }
message Events {
  message Envelope {
    Row before = 1;
    Row after = 2;
    Source source = 3;
    string op = 4;
  }
  message Row {
    int32 id = 1;
    optional string note = 2;
    common.Price price = 3;
    google.protobuf.Timestamp at = 4;%s
  }
  message Source { string connector = 1; string schema = 2; string table = 3; int64 txId = 4; int64 ts_ms = 5; }
}
"""
TIMESTAMP = """syntax = "proto3";
package google.protobuf;
option csharp_namespace = "Google.Protobuf.WellKnownTypes";
option cc_enable_arenas = true;
option go_package = "google.golang.org/protobuf/types/known/timestamppb";
option java_package = "com.google.protobuf";
option java_outer_classname = "TimestampProto";
option java_multiple_files = true;
message Timestamp { int64 seconds = 1; int32 nanos = 2; }
"""
KNOWN = "google/protobuf/timestamp.proto"
ENVELOPE = bytes((4, 2, 0))
"""Indexes: the second message of the file, the first in that."""
AT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


def varint(number: int) -> bytes:
    return bytes((number,)) if number < 128 else bytes((number & 127 | 128,)) + varint(number >> 7)


def field(number: int, value: int | str | bytes) -> bytes:
    """A field by protobuf's own rules."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def row(id: int, note: str | None = None, *, gift: bool | None = None) -> bytes:
    at = field(1, int(AT.timestamp())) + field(2, 678_000_000)
    parts = [field(1, id), field(3, field(1, "EUR") + field(2, 1250)), field(4, at)]
    parts += [field(2, note)] if note is not None else []
    return b"".join([*parts, *([field(5, int(gift))] if gift is not None else [])])


def event(op: str, *, before: bytes | None = None, after: bytes | None = None) -> bytes:
    images = b"".join(field(at, image) for at, image in ((1, before), (2, after)) if image is not None)
    source = field(1, "postgresql") + field(2, "public") + field(3, "orders") + field(4, 755)
    return images + field(3, source + field(5, 1_767_225_600_123)) + field(4, op)


def framed(schema_id: int, indexes: bytes, message: bytes) -> bytes:
    return b"\0" + schema_id.to_bytes(4) + indexes + message


class Registered:
    """Schemas under subjects of the test's own."""

    def __init__(self, url: str) -> None:
        self.client, self.prefix = SchemaRegistryClient({"url": url}), f"p{uuid.uuid4().hex}"

    def id(self, subject: str, text: str, *, imports: Mapping[str, str] | None = None) -> int:
        """The id of a text; `imports` are the subjects of the files that it imports, by their names."""
        named = (imports or {}).items()
        references = [SchemaReference(name, f"{self.prefix}-{of}", 1) for name, of in named]
        return self.client.register_schema(f"{self.prefix}-{subject}", Schema(text, "PROTOBUF", references))


@pytest.fixture(params=["true", "false"], ids=lambda skip: f"skip.known.types={skip}")
def events(request: pytest.FixtureRequest, kafka: Broker, registry: servers_registry.Server, topic: str) -> str:
    """A topic with an order's insert, its update under a newer schema, its delete and the tombstone; its URL. Files of
    Google's own that they import are registered too unless known types are skipped."""
    known = Registered(registry.url)
    known.id("common", COMMON)
    imports = {"common.proto": "common"}
    if request.param == "false":
        known.id("timestamp", TIMESTAMP)
        imports[KNOWN] = "timestamp"
    key = framed(known.id("key", KEY), b"\0", field(1, 7))
    first = known.id("value", EVENTS % "", imports=imports)
    second = known.id("value", EVENTS % " optional bool gift = 5;", imports=imports)
    assert first != second
    kafka.create_topic(topic)
    records: list[tuple[bytes | None, bytes | None]] = [
        (key, framed(first, ENVELOPE, event("c", after=row(7, "a")))),
        (key, framed(second, ENVELOPE, event("u", before=row(7, "a"), after=row(7, gift=True)))),
        (key, framed(second, ENVELOPE, event("d", before=row(7, gift=False)))),
        (key, None),
    ]
    produce(kafka, topic, records)
    return f"kafka://{kafka.address}/{topic}?group={topic}&schema_registry_url={registry.url}"


def read(url: str, folder: Path) -> list[Change[Any]]:
    app, seen = tr.App(url, name="p"), []

    @app.on("*")
    def note(change: tr.Change) -> None:
        seen.append(change)

    app.pipeline(state_dir=folder).run(until_current=True, retry=False)
    return seen


def test_events_are_read_by_the_schema_that_each_was_written_with(events: str, tmp_path: Path) -> None:
    [create, update, delete] = read(events, tmp_path)
    was = {"id": 7, "note": "a", "price": {"currency": "EUR", "cents": 1250}, "at": AT.replace(tzinfo=None)}
    assert (create.op, str(create.table), create.table.key, dict(create.after or {})) == (
        "c", "public.orders", ("id",), was,
    )  # fmt: skip
    assert (create.transaction, create.committed_at) == (755, datetime(2026, 1, 1, 0, 0, 0, 123000, tzinfo=UTC))
    assert (update.op, dict(update.before or {})) == ("u", {**was, "gift": None})
    assert dict(update.after or {}) == {**was, "note": None, "gift": True}
    assert (delete.op, dict(delete.key or {})) == ("d", {"id": 7})
    assert dict(delete.before or {}) == {**was, "note": None, "gift": False}
    assert [column.type for column in delete.table.columns] == ["int4", "text", "json", "timestamp", "bool"]


def test_consume_prints_them(cli: Cli, events: str) -> None:
    url, query = events.split("?")
    ended = cli.run("consume", f"{url}?{query.split('&')[1]}", "--until-current", "--format", "json")
    assert (ended.code, ended.err) == (0, "")
    assert [json.loads(line)["op"] for line in ended.out.splitlines()] == ["c", "u", "d"]


def test_a_schema_that_is_not_read_stops_behind_what_was_before(
    kafka: Broker, registry: servers_registry.Server, topic: str, tmp_path: Path
) -> None:
    known = Registered(registry.url)
    good = known.id("good", KEY)
    bad = known.id("bad", 'syntax = "proto2";\nmessage M {\n  optional group G = 1 { optional int32 secret = 2; }\n}')
    kafka.create_topic(topic)
    produce(kafka, topic, [(None, framed(good, b"\0", field(1, 1))), (None, framed(bad, b"\0", b"\x0b\x10\x05\x0c"))])
    seen: list[Change[Any]] = []
    with pytest.raises(Fatal, match=rf"topic {topic}, partition 0, offset 1: .*schema {bad}.*line 3: a group"):
        seen += read(f"kafka://{kafka.address}/{topic}?group={topic}&schema_registry_url={registry.url}", tmp_path)
