"""Kafka over TLS where a client's certificate says who it is: at the sink and the source, and what is said without."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AclOperation, ResourceType

from servers import kafka as server
from servers.certificate import Authority
from tailrace.dialect.kafka.address import Security
from tailrace.error import Fatal
from tailrace.format import Format
from tailrace.model import Limits
from tailrace.pipeline import Pipeline
from tailrace.sink.kafka import Kafka as KafkaSink
from tailrace.source.kafka import Kafka
from tailrace.testing.fake import AtomicSink, Target
from tests.server.kafka.filling import fill
from tests.server.kafka.test_registry import batch
from tests.server.sink.kafka.topics import read
from tests.waiting import until


def source_of(broker: server.Broker, topic: str, security: Security) -> Kafka:
    assert broker.secure is not None
    return Kafka(f"kafka://{broker.secure.mutual}/{topic}?group={topic}", security=security)


def sink_of(broker: server.Broker, topic: str, security: Security) -> KafkaSink:
    assert broker.secure is not None
    return KafkaSink(f"kafka://{broker.secure.mutual}", format=Format(topic_prefix=topic), security=security)


def is_fatal(producer: Producer, topic: str) -> bool:
    """Whether the client gives no record to the brokers any more; it was not asked yet why."""
    try:
        producer.produce(topic, b"of nobody's")
    except KafkaException as error:
        return bool(error.args[0].code() == KafkaError._FATAL)
    return False


def run(source: Kafka, folder: Path) -> list[str]:
    target = Target()
    Pipeline(source, AtomicSink(target), name="p", state_dir=folder).run(until_current=True, retry=False)
    return target.keys


def write(sink: KafkaSink) -> None:
    writer = sink.open("p", Limits())
    try:
        writer.write(batch())
    finally:
        writer.close()


def allow(broker: server.Broker, user: str, topics: list[str]) -> None:
    """`user` may write and read these, in the group that has his name."""
    for name in topics:
        broker.allow(user, ResourceType.TOPIC, name, AclOperation.WRITE, AclOperation.READ)
    broker.allow(user, ResourceType.GROUP, user, AclOperation.READ)


def test_a_certificate_says_who_writes_and_reads(secure_kafka: server.Broker, topic: str, tmp_path: Path) -> None:
    assert secure_kafka.secure is not None
    names = [secure_kafka.create_topic(f"{topic}.public.orders"), secure_kafka.create_topic(topic)]
    shown = secure_kafka.secure.signer.issue(topic)
    security = Security(tls=True, ca=secure_kafka.secure.authority, certificate=shown.certificate, key=shown.key)
    fill(secure_kafka, topic, range(3))
    sink, source = sink_of(secure_kafka, topic, security), source_of(secure_kafka, topic, security)
    for known in (False, True):  # the client is told at a record, or before and then only that it is beyond help
        with closing(sink.open("p", Limits())) as writer:
            if known:
                until(lambda producer=writer._sender.producer, name=names[0]: is_fatal(producer, name), "for its end")
            with pytest.raises(Fatal, match="authorization failed"):
                writer.write(batch())
    with pytest.raises(Fatal, match="may not be seen"):
        run(source, tmp_path)
    allow(secure_kafka, topic, names)

    def may() -> bool:
        return all(found.severity.name == "OK" for found in (*source.check(), *sink.check()))

    until(may, "for the broker to hear of the ACL")
    write(sink)
    assert [record.event["op"] for record in read(secure_kafka, names[0]) if record.value] == ["c", "u", "d"]
    assert run(source, tmp_path) == ["0", "1", "2"]


@pytest.mark.parametrize("end", ["sink", "source"])
@pytest.mark.parametrize("lack", ["none", "another authority's", "not the broker's authority"])
def test_who_shows_none_or_anothers_or_trusts_another_is_told_so_with_the_brokers_name(
    secure_kafka: server.Broker, topic: str, tmp_path: Path, end: str, lack: str
) -> None:
    assert secure_kafka.secure is not None
    own, other = secure_kafka.secure.signer, Authority(tmp_path / "other")
    signed = (other if lack == "another authority's" else own).issue(topic)
    ca = other.certificate if lack == "not the broker's authority" else secure_kafka.secure.authority
    security = (
        Security(tls=True, ca=ca)
        if lack == "none"
        else Security(tls=True, ca=ca, certificate=signed.certificate, key=signed.key)
    )
    go: Callable[[], object] = (
        (lambda: run(source_of(secure_kafka, topic, security), tmp_path))
        if end == "source"
        else (lambda: write(sink_of(secure_kafka, topic, security)))
    )
    with pytest.raises(Fatal, match="connecting to Kafka") as refused:
        go()
    assert f"ssl://{secure_kafka.secure.mutual}" in str(refused.value)
    # Releases of the JDK differ in how they tell a certificate that is missing (RFC 8446, 6.2).
    alerts = ["alert bad certificate", "alert certificate required"]
    said = ["broker certificate could not be verified"] if lack == "not the broker's authority" else alerts
    assert any(each in str(refused.value) for each in said), refused.value
    assert "certificates of the connection" in str(refused.value.hint)
