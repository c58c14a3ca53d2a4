"""CloudEvents in both forms, through a real broker, are read by the SDK of the CloudEvents project."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event
from cloudevents.core.exceptions import CloudEventValidationError

from servers import kafka as server
from tailrace._native import BatchBuilder
from tailrace.format import Format
from tailrace.model import Column, Limits, Table
from tailrace.sink.kafka import Kafka
from tests.server.sink.kafka.topics import read

AT_US = 1_767_225_600_123_456
ORDERS = Table(
    "public",
    "orders",
    [Column("id", "int8", nullable=False), Column("amount", "numeric(12,2)"), Column("at", "timestamp")],
    key=["id"],
)


Message = tuple[dict[str, bytes], bytes | None, bytes]
IMAGE = {"id": 1, "amount": "1.10", "at": "2026-03-01T01:02:03.5Z"}
DATA = [{"before": None, "after": IMAGE}, {"before": IMAGE, "after": None}]


def written(broker: server.Broker, topic: str, profile: str) -> list[Message]:
    """A row that was made and deleted, as a consumer of the topic sees them."""
    builder = BatchBuilder("postgres/0/test/kafka", database="shop")
    builder.begin(xid=7, lsn=1 << 24, committed_at_us=AT_US)
    row = {"id": "1", "amount": "1.10", "at": "2026-03-01 01:02:03.5"}
    builder.add("c", ORDERS, after=row)
    builder.add("d", ORDERS, before=row)
    builder.commit()
    form = Format(topic_prefix=topic, profile=profile)
    writer = Kafka(f"kafka://{broker.address}", form, create_topics=True).open("p", Limits())
    writer.write(builder.take())
    writer.close()
    *events, tombstone = read(broker, f"{topic}.public.orders")
    assert (tombstone.key, tombstone.value) == (b'{"id":1}', None)
    return [(dict(got.headers), got.key, got.value or b"") for got in events]


def test_the_sdk_reads_the_binary_form(kafka: server.Broker, topic: str) -> None:
    events = [from_kafka_event(KafkaMessage(*message)) for message in written(kafka, topic, "cloudevents_binary")]
    assert [event.get_data() for event in events] == DATA
    for event, op in zip(events, "cd", strict=True):
        assert event.get_source() == f"/debezium/postgresql/{topic}"
        assert event.get_type() == "io.debezium.connector.postgresql.DataChangeEvent"
        assert event.get_time() == datetime(2026, 1, 1, microsecond=123_000, tzinfo=UTC)
        assert event.get_datacontenttype() == "application/json"
        assert event.get_extension("iodebeziumop") == op
        assert event.get_extension("iodebeziumtxid") == "7"


def test_the_sdk_reads_the_structured_form_but_for_debeziums_own_name_of_an_attribute(
    kafka: server.Broker, topic: str
) -> None:
    for (headers, key, value), op, data in zip(written(kafka, topic, "cloudevents"), "cd", DATA, strict=True):
        structured = {**headers, "content-type": b"application/cloudevents+json"}
        with pytest.raises(CloudEventValidationError, match="iodebeziumtxId") as refused:
            from_kafka_event(KafkaMessage(structured, key, value))
        assert list(refused.value.errors) == ["iodebeziumtxId"]
        event = from_kafka_event(KafkaMessage(structured, key, value.replace(b"iodebeziumtxId", b"iodebeziumtx")))
        assert (event.get_extension("iodebeziumop"), event.get_data()) == (op, data)
