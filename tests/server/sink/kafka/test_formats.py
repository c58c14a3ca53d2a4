"""Framed formats through a real broker and a real registry, read by Confluent's own deserializer for Avro, by Google's
library for Protobuf and by Tailrace's reader."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf.json_format import MessageToDict

from servers import kafka as server
from servers import registry as servers_registry
from servers.process import free_port
from tailrace._native import BatchBuilder, EventReader
from tailrace.error import Retryable
from tailrace.format import Format
from tailrace.model import Batch, Column, Limits, Table
from tailrace.registry import Registry
from tailrace.registry.framed import tell
from tailrace.sink.kafka import Kafka, Topic
from tests.server.google import message_of
from tests.server.sink.kafka.topics import Got, read

ORDERS = Table("public", "orders", [Column("id", "int8", nullable=False), Column("note", "text")], key=["id"])


def batch() -> Batch:
    """A row that is made, changed and deleted."""
    builder = BatchBuilder("postgres/0/test/kafka", database="shop")
    builder.begin(xid=1, lsn=1 << 24, committed_at_us=1_767_225_600_123_456)
    builder.add("c", ORDERS, after={"id": "1", "note": "a"})
    builder.add("u", ORDERS, before={"id": "1", "note": "a"}, after={"id": "1", "note": None})
    builder.add("d", ORDERS, before={"id": "1", "note": None})
    builder.commit()
    return builder.take()


def sink(broker: server.Broker, url: str, prefix: str, word: str = "avro") -> Kafka:
    rules = [Topic("*.orders", f"{prefix}-renamed")]
    form = Format(topic_prefix=prefix, key_converter=word, value_converter=word, schema_registry_url=url)
    return Kafka(f"kafka://{broker.address}", format=form, create_topics=True, topics=rules)


def write(into: Kafka) -> None:
    writer = into.open("p", Limits())
    try:
        writer.write(batch())
    finally:
        writer.close()


def test_avro_is_read_by_confluents_deserializer_and_by_our_own_reader(
    kafka: server.Broker, registry: servers_registry.Server, topic: str
) -> None:
    write(sink(kafka, registry.url, topic))
    records = read(kafka, f"{topic}-renamed")
    client = SchemaRegistryClient({"url": registry.url})
    assert {name for name in client.get_subjects() if topic in name} == {
        f"{topic}-renamed-key",
        f"{topic}-renamed-value",
    }
    deserialize, context = AvroDeserializer(client), SerializationContext(records[0].topic, MessageField.VALUE)
    values = [deserialize(record.value, context) for record in records]
    assert [value and (value["op"], value["before"], value["after"]) for value in values] == [
        ("c", None, {"id": 1, "note": "a"}),
        ("u", {"id": 1, "note": "a"}, {"id": 1, "note": None}),
        ("d", {"id": 1, "note": None}, None),
        None,
    ]
    assert_read(records, registry.url)


def assert_read(records: Sequence[Got], url: str) -> None:
    """Our reader finds the changes of `batch` in them."""
    reader, ours = EventReader("kafka/cluster/topic/0", topic=records[0].topic), Registry(url).open()
    given = [(record.key, record.value, record.timestamp_ms, at) for at, record in enumerate(records)]
    tell(reader, given, client=ours)
    reader.feed(given)
    ours.close()
    assert [(change.op, change.table.name, change.key) for change in reader.take() or ()] == [
        ("c", "orders", {"id": 1}),
        ("u", "orders", {"id": 1}),
        ("d", "orders", {"id": 1}),
    ]


def test_json_schema_is_framed_json_under_the_ids_of_the_registry(
    kafka: server.Broker, registry: servers_registry.Server, topic: str
) -> None:
    write(sink(kafka, registry.url, topic, "json_schema"))
    records = read(kafka, f"{topic}-renamed")
    client = SchemaRegistryClient({"url": registry.url})
    latest = client.get_latest_version(f"{topic}-renamed-value")
    assert latest.schema.schema_type == "JSON"
    values = [json.loads(record.value[5:]) for record in records if record.value is not None]
    assert [(value["op"], value["after"]) for value in values] == [
        ("c", {"id": 1, "note": "a"}),
        ("u", {"id": 1, "note": None}),
        ("d", None),
    ]
    assert all(record.value is None or record.value[:5] == b"\0" + latest.schema_id.to_bytes(4) for record in records)
    assert_read(records, registry.url)


def test_protobuf_is_read_by_googles_library_under_the_ids_of_the_registry(
    kafka: server.Broker, registry: servers_registry.Server, topic: str
) -> None:
    write(sink(kafka, registry.url, topic, "protobuf"))
    records, client = read(kafka, f"{topic}-renamed"), SchemaRegistryClient({"url": registry.url})
    latest = client.get_latest_version(f"{topic}-renamed-value")
    assert latest.schema.schema_type == "PROTOBUF"
    made = message_of(latest.schema.schema_str or "", "Envelope")
    values = []
    for record in records:
        if record.value is not None:
            assert record.value[:6] == b"\0" + latest.schema_id.to_bytes(4) + b"\0"
            values.append(MessageToDict(made.FromString(record.value[6:])))
    assert [(value["op"], value.get("before"), value.get("after")) for value in values] == [
        ("c", None, {"id": "1", "note": "a"}),
        ("u", {"id": "1", "note": "a"}, {"id": "1"}),
        ("d", {"id": "1"}, None),
    ]
    assert [record.value is None for record in records] == [False, False, False, True]
    assert_read(records, registry.url)


def test_nothing_is_written_while_the_registry_is_down(kafka: server.Broker, topic: str) -> None:
    with pytest.raises(Retryable, match=r"schema registry .* does not answer"):
        write(sink(kafka, f"http://127.0.0.1:{free_port()}", topic))
    assert read(kafka, f"{topic}-renamed") == []
