"""What arrives in topics: names, numbers, headers, times; and what cannot arrive, and why."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AclOperation, ResourceType
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from servers import kafka as server
from servers import registry as servers_registry
from tailrace._native import BatchBuilder
from tailrace.error import ConfigError, Fatal, Reject, Retryable
from tailrace.format import Format, Transform
from tailrace.model import Batch, Column, Limits, Severity, Table
from tailrace.sink.kafka import Kafka, Security, Topic
from tests.fault.row import fault, goes_on, stops
from tests.server.sink.kafka.topics import read
from tests.waiting import until

ORDERS = Table("public", "orders", [Column("id", "int8", nullable=False), Column("note", "text")], key=["id"])
LOG = Table("public", "log", [Column("note", "text")])
AT_US = 1_767_225_600_123_456


def batch(*rows: tuple[str, str], table: Table = ORDERS) -> Batch:
    """One transaction of inserts, or of deletes of what has no note."""
    builder = BatchBuilder("postgres/0/test/kafka")
    builder.begin(xid=1, lsn=1 << 24, committed_at_us=AT_US)
    for key, note in rows:
        cells = {"id": key, "note": note} if table.key else {"note": note}
        if note:
            builder.add("c", table, after=cells)
        else:
            builder.add("d", table, before={"id": key})
    builder.commit()
    return builder.take()


def write(sink: Kafka, *batches: Batch) -> None:
    writer = sink.open("p", Limits())
    try:
        for each in batches:
            writer.write(each)
    finally:
        writer.close()


def taken(sink: Kafka, each: Batch) -> bool:
    """Whether it was written; what may be tried again, as a pipeline would, is not."""
    try:
        write(sink, each)
    except Retryable:
        return False
    return True


def kafka_sink(broker: server.Broker, topic: str, **options: object) -> Kafka:
    return Kafka(f"kafka://{broker.address}", format=Format(topic_prefix=topic), create_topics=True, **options)  # type: ignore[arg-type]


def test_topics_are_named_and_made_as_they_are_configured(kafka: server.Broker, topic: str) -> None:
    rules = [
        Topic(f"{topic}.public.ord*", f"{topic}-{{schema}}-{{table}}", partitions=5, config={"retention.ms": "99"})
    ]
    write(kafka_sink(kafka, topic, topics=rules, partitions=2, cleanup_policy="compact"), batch(("1", "a")))
    write(kafka_sink(kafka, topic, topics=rules, partitions=2), batch(("1", "a"), table=LOG))
    described = {name: len(found.partitions) for name, found in kafka.admin().list_topics(timeout=30).topics.items()}
    assert described[f"{topic}-public-orders"] == 5
    assert described[f"{topic}.public.log"] == 2
    options = kafka.topic_config(f"{topic}-public-orders")
    assert (options["cleanup.policy"], options["retention.ms"]) == ("compact", "99")


def test_topics_have_as_many_replicas_as_are_asked_for(kafka_cluster: server.Cluster) -> None:
    """And not as many as the brokers would give them, which are three here; that of positions too."""
    sink = Kafka(
        f"kafka://{kafka_cluster.address}",
        format=Format(topic_prefix="t"),
        create_topics=True,
        topics=[Topic("*.orders", partitions=4, replication=3, cleanup_policy="compact,delete")],
        partitions=2,
        replication=2,
        cleanup_policy="delete",
        transactions=True,
    )
    for each in (batch(("1", "a")), batch(("1", "a"), table=LOG)):
        until(partial(taken, sink, each), "for brokers to lead what was just made")
    names, admin = {"t.public.orders", "t.public.log", "tailrace.p.positions"}, kafka_cluster.nodes[0].admin()
    until(lambda: names <= admin.list_topics(timeout=30).topics.keys(), "for the broker that is asked to know of them")
    found = admin.list_topics(timeout=30).topics
    made = {
        name: ([len(part.replicas) for part in found[name].partitions.values()], config["cleanup.policy"])
        for name in names
        if (config := kafka_cluster.nodes[0].topic_config(name))
    }
    assert made == {
        "t.public.orders": ([3, 3, 3, 3], "compact,delete"),
        "t.public.log": ([2, 2], "delete"),
        "tailrace.p.positions": ([2], "compact"),
    }


def test_a_delete_is_followed_by_a_tombstone(kafka: server.Broker, topic: str) -> None:
    write(kafka_sink(kafka, topic), batch(("1", "a"), ("1", "")))
    created, deleted, tombstone = read(kafka, f"{topic}.public.orders")
    assert json.loads(created.value or b"")["op"] == "c"
    assert json.loads(deleted.value or b"")["op"] == "d"
    assert (tombstone.key, tombstone.value) == (b'{"id":1}', None)


def test_a_record_goes_to_the_partition_that_a_transform_chose(kafka: server.Broker, topic: str) -> None:
    routed = Transform("partition_routing", partition_payload_fields="change.id", partition_topic_num=3)
    sink = replace(
        kafka_sink(kafka, topic, partitions=3),
        format=Format(topic_prefix=topic, transform=[routed], schemas_enable=True),
    )
    write(sink, batch(*((str(key), "a") for key in range(9))))
    records = read(kafka, f"{topic}.public.orders")
    assert len(records) == 9
    assert all(json.loads(record.key or b"")["payload"]["id"] % 3 == record.partition for record in records)


def test_records_bear_the_time_of_sending_or_of_the_commit(kafka: server.Broker, topic: str) -> None:
    write(kafka_sink(kafka, topic), batch(("1", "a")))
    write(kafka_sink(kafka, topic, timestamp="commit"), batch(("2", "a")))
    sent, committed = read(kafka, f"{topic}.public.orders")
    assert committed.timestamp_ms == AT_US // 1000
    assert sent.timestamp_ms > committed.timestamp_ms


def test_avro_goes_through_with_the_ids_of_a_registry(
    kafka: server.Broker, registry: servers_registry.Server, topic: str
) -> None:
    options = {"key_converter": "avro", "value_converter": "avro", "schema_registry_url": registry.url}
    sink = Kafka(f"kafka://{kafka.address}", format=Format(topic_prefix=topic, **options), create_topics=True)
    write(sink, batch(("1", "a"), ("1", "")))
    created, deleted, tombstone = read(kafka, f"{topic}.public.orders")
    client = SchemaRegistryClient({"url": registry.url})
    decode = AvroDeserializer(client)
    context = SerializationContext(f"{topic}.public.orders", MessageField.VALUE)
    assert decode(created.value, context)["after"] == {"id": 1, "note": "a"}
    assert decode(deleted.value, context)["op"] == "d"
    assert decode(created.key, context) == {"id": 1}
    assert (tombstone.key, tombstone.value) == (created.key, None)


@pytest.mark.parametrize(
    ("options", "bits"),
    [({}, 3), *(({"compression": name}, at) for at, name in enumerate(["none", "gzip", "snappy", "lz4", "zstd"]))],
)
def test_every_compression_is_read_back(kafka: server.Broker, topic: str, options: dict[str, Any], bits: int) -> None:
    write(kafka_sink(kafka, topic, **options), batch(*((str(key), "x" * 100) for key in range(500))))
    assert [record.row["id"] for record in read(kafka, f"{topic}.public.orders")] == list(range(500))
    log = (kafka.folder / "data" / f"{topic}.public.orders-0" / f"{0:020d}.log").read_bytes()
    assert log[22] & 7 == bits  # of the attributes of the first batch


@pytest.mark.parametrize("options", [{}, {"timestamp": "commit"}, {"transactions": True}], ids=str)
def test_heartbeats_of_an_idle_source_arrive(kafka: server.Broker, topic: str, options: dict[str, Any]) -> None:
    sink = replace(kafka_sink(kafka, topic, **options), format=Format(topic_prefix=topic, heartbeat_interval_ms="1"))
    writer, last = sink.open(topic, Limits()), batch(("1", "a"))
    if options.get("transactions"):
        writer.claim(last.positions[0].lineage)  # type: ignore[union-attr]
    writer.write(last)
    beats = f"__debezium-heartbeat.{topic}"
    before = len(read(kafka, beats))

    def beaten() -> bool:
        writer.write(Batch.progress(last.positions[0]))
        return len(read(kafka, beats)) > before

    until(beaten, "for a heartbeat without a change")
    writer.close()
    assert abs(read(kafka, beats)[-1].timestamp_ms / 1000 - time.time()) < 3600  # of now, not of a commit


@fault(
    "a message is larger than its topic takes",
    "sink, without claim_check",
    goes_on("the change goes to the dead letters: “a message of … bytes, and topic … takes …”; exit code 5 without"),
)
def test_what_is_larger_than_its_topic_takes_is_refused_and_nothing_else(kafka: server.Broker, topic: str) -> None:
    kafka.create_topic(f"{topic}.public.orders", max_message_bytes="4000")
    large = batch(("1", "a"), ("2", "x" * 5000), ("3", "c"))
    with pytest.raises(Reject) as refused:
        write(kafka_sink(kafka, topic), large)
    assert list(refused.value.reasons) == [1]
    assert f"topic {topic}.public.orders takes 4000" in refused.value.reasons[1]
    write(kafka_sink(kafka, topic), large.without([1]))
    assert [record.row["id"] for record in read(kafka, f"{topic}.public.orders")][-2:] == [1, 3]


def test_what_a_topic_takes_is_written_however_large(kafka: server.Broker, topic: str) -> None:
    kafka.create_topic(f"{topic}.public.orders", max_message_bytes="5000000")
    write(kafka_sink(kafka, topic), batch(("1", "x" * 2_000_000), ("2", "b")))
    assert [record.row["id"] for record in read(kafka, f"{topic}.public.orders")] == [1, 2]


def test_what_never_fits_into_the_queue_is_refused(kafka: server.Broker, topic: str) -> None:
    kafka.create_topic(f"{topic}.public.orders", max_message_bytes="5000000")
    sink = kafka_sink(kafka, topic, delivery_timeout_s=5.0, options={"queue.buffering.max.kbytes": "1000"})
    with pytest.raises(Reject) as refused:
        write(sink, batch(("1", "a"), ("2", "x" * 2_000_000)))
    assert list(refused.value.reasons) == [1]
    assert "the client takes 1024000" in refused.value.reasons[1]


def test_small_messages_are_never_sent_in_batches_that_their_topic_refuses(kafka: server.Broker, topic: str) -> None:
    kafka.create_topic(f"{topic}.public.orders", max_message_bytes="2000")
    rows = [(str(key), f"{key:0900}") for key in range(300)]
    write(kafka_sink(kafka, topic, compression="none"), batch(*rows), batch(("300", "last")))
    assert [record.row["id"] for record in read(kafka, f"{topic}.public.orders")] == list(range(301))


@fault(
    "a message is larger than its topic takes",
    "sink, with claim_check",
    goes_on("the value lies in the folder, and the message says where"),
)
def test_a_claim_check_stands_for_what_is_too_large(kafka: server.Broker, topic: str, tmp_path: Path) -> None:
    kafka.create_topic(f"{topic}.public.orders", max_message_bytes="4000")
    write(kafka_sink(kafka, topic, claim_check=tmp_path / "claims"), batch(("1", "a"), ("2", "x" * 5000)))
    _, claimed = read(kafka, f"{topic}.public.orders")
    check = json.loads(claimed.value or b"")
    content = Path(check["claim_check"].removeprefix("file://")).read_bytes()
    assert (claimed.key, len(content)) == (b'{"id":2}', check["bytes"])
    assert json.loads(content)["after"] == {"id": 2, "note": "x" * 5000}
    assert claimed.headers == [("tailrace.claim_check", check["claim_check"].encode())]


@pytest.mark.parametrize("transactions", [False, True])
def test_records_that_the_broker_itself_refuses_are_named_one_by_one(
    kafka: server.Broker, topic: str, transactions: bool
) -> None:
    # A compacted topic takes no record without a key.
    sink = kafka_sink(kafka, topic, cleanup_policy="compact", transactions=transactions, positions_topic=f"{topic}.at")
    with pytest.raises(Reject) as refused:
        write(sink, batch(("", "a"), table=LOG))
    assert list(refused.value.reasons) == [0]
    assert f"{topic}.public.log" in refused.value.reasons[0]
    assert read(kafka, f"{topic}.public.log") == []


def test_a_topic_that_is_not_there_and_not_made_stops_the_pipeline(start_kafka: Callable[..., server.Broker]) -> None:
    broker = start_kafka(settings={"auto.create.topics.enable": "false"})
    sink = Kafka(f"kafka://{broker.address}?topic.metadata.propagation.max.ms=500", format=Format(topic_prefix="t"))
    with pytest.raises(Fatal, match=r"topic t\.public\.orders: .*nknown topic") as unknown:
        write(sink, batch(("1", "a")))
    assert "create_topics" in str(unknown.value)
    (missing,) = [found for found in sink.check_tables("p", [ORDERS]) if found.subject == "topic t.public.orders"]
    assert (missing.severity, missing.fix) == (Severity.WARNING, "create_topics = true in the sink")


def test_check_looks_at_the_topics_that_will_be_written(kafka: server.Broker, topic: str) -> None:
    kafka.create_topic(f"{topic}_public_all", 2)
    kafka.create_topic(f"{topic}_transaction")
    router = Transform(
        "by_logical_table_router", topic_regex=f"{topic}_(.*)_(orders|log)", topic_replacement=f"{topic}_$1_all"
    )
    delimited = Format(topic_prefix=topic, topic_delimiter="_", transform=[router], schemas_enable=True)
    sink = replace(kafka_sink(kafka, topic), format=delimited)
    told = [(found.subject, found.message) for found in sink.check_tables("p", [ORDERS, LOG])]
    assert told == [(f"topic {topic}_public_all", "it can be written, 2 partition(s)")]
    metadata = replace(sink, format=Format(topic_prefix=topic, topic_delimiter="_", provide_transaction_metadata=True))
    assert [found.subject for found in metadata.check_tables("p", [ORDERS])] == [
        f"topic {topic}_transaction",
        f"topic {topic}_public_orders",
    ]
    by_row = Transform("content_based_router", topic_expression="value['after']['note']", language="python")
    routed = replace(sink, format=Format(topic_prefix=topic, transform=[by_row], schemas_enable=True))
    assert [found.subject for found in routed.check_tables("p", [ORDERS])] == ["topics"]


@fault("a right is missing", "sink", stops(1, "topic …: Topic authorization failed", "goes on once an ACL allows it"))
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"])
def test_a_user_writes_over_tls_and_sasl_where_an_acl_allows_it(secure_kafka: server.Broker, mechanism: str) -> None:
    assert secure_kafka.secure is not None
    prefix = f"acl{mechanism.lower()}"
    security = Security(
        tls=True,
        ca=secure_kafka.secure.authority,
        mechanism=mechanism,
        username="guest",
        password=server.PASSWORD,  # type: ignore[arg-type]
    )
    token = {"enable.sasl.oauthbearer.unsecure.jwt": "true", "sasl.oauthbearer.config": "principal=guest"}
    sink = Kafka(
        f"kafka://{secure_kafka.secure.sasl_tls}",
        format=Format(topic_prefix=prefix),
        security=security,
        options=token if mechanism == "OAUTHBEARER" else {},
    )
    name = secure_kafka.create_topic(f"{prefix}.public.orders")
    # Whoever may write somewhere gets a producer's id.
    secure_kafka.allow("guest", ResourceType.TOPIC, "elsewhere", AclOperation.WRITE)
    with pytest.raises(Fatal, match=rf"topic {prefix}\.public\.orders: Topic authorization failed") as denied:
        write(sink, batch(("1", "a")))
    assert "ACL" in str(denied.value)
    secure_kafka.allow("guest", ResourceType.TOPIC, name, AclOperation.DESCRIBE)
    (finding,) = sink.check_tables("p", [ORDERS])
    assert (finding.severity, finding.message) == (Severity.ERROR, "this user may not write to it")
    secure_kafka.allow("guest", ResourceType.TOPIC, name, AclOperation.WRITE)
    assert [found.severity for found in sink.check_tables("p", [ORDERS])] == [Severity.OK]
    write(sink, batch(("1", "a")))
    assert [record.row["id"] for record in read(secure_kafka, name)] == [1]


@fault("a password is wrong", "sink", stops(1, "connecting to Kafka: …"))
def test_a_wrong_password_stops_the_pipeline_and_is_not_shown(secure_kafka: server.Broker) -> None:
    assert secure_kafka.secure is not None
    sink = Kafka(f"kafka://guest:wr0ng@{secure_kafka.secure.sasl}", security=Security(mechanism="SCRAM-SHA-512"))
    with pytest.raises(Fatal, match="connecting to Kafka") as refused:
        sink.open("p", Limits())
    assert "wr0ng" not in str(refused.value) + repr(sink)
    (finding,) = sink.check()
    assert finding.severity is Severity.ERROR


def test_a_broker_that_is_not_there_may_come_back() -> None:
    with pytest.raises(Retryable, match="no Kafka broker answered"):
        Kafka("kafka://127.0.0.1:1").open("p", Limits())


@pytest.mark.parametrize("url", ["kafka://", "kafka://broker", "http://broker:9092", "kafka://broker:9092/orders"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        Kafka(url)


def test_an_option_that_a_promise_hangs_on_is_refused_and_an_unknown_one_named() -> None:
    with pytest.raises(ConfigError, match="acks"):
        Kafka("kafka://broker:9092?acks=1")
    with pytest.raises(ConfigError, match=r"linger\.mss"):
        Kafka("kafka://broker:9092", options={"linger.mss": "1"}).open("p", Limits())


@pytest.mark.parametrize("url", ["kafka://broker:9092", "kafka://broker:9092?batch.size=1MB"])
def test_a_size_that_is_no_number_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"batch\.size"):
        Kafka(url, options={} if "?" in url else {"batch.size": "1MB"})
