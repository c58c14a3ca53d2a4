"""The Kafka source and dead letters over TLS and SASL: who may read, and what is said to who may not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import pytest
from confluent_kafka.admin import AclOperation, ResourceType

from servers import kafka as server
from tailrace.cli import main
from tailrace.dead_letters import Kafka as Letters
from tailrace.dialect.kafka.address import Mechanism, Security
from tailrace.error import Fatal
from tailrace.model import Severity
from tailrace.pipeline import Pipeline
from tailrace.source.kafka import Kafka
from tailrace.testing.fake import AtomicSink, Target
from tests.fault.row import fault, stops
from tests.server.kafka.filling import fill, produce
from tests.waiting import until


def _allow(broker: server.Broker, kind: ResourceType, name: str, *rights: AclOperation) -> None:
    broker.allow("guest", kind, name, *rights, prefixed=True)


@fault("a right is missing", "source", stops(1, "… authorization failed", "goes on once an ACL allows it"))
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"])
def test_a_user_reads_over_tls_and_sasl_where_an_acl_allows_it(
    secure_kafka: server.Broker, tmp_path: Path, mechanism: Mechanism
) -> None:
    assert secure_kafka.secure is not None
    topic = f"read{mechanism.lower()}"
    secure_kafka.create_topic(topic)
    fill(secure_kafka, topic, range(3))
    produce(secure_kafka, topic, [(None, b"{")])
    security = Security(
        tls=True,
        ca=secure_kafka.secure.authority,
        mechanism=mechanism,
        username="guest",
        password=server.PASSWORD,
    )
    token = {"enable.sasl.oauthbearer.unsecure.jwt": "true", "sasl.oauthbearer.config": "principal=guest"}
    options = token if mechanism == "OAUTHBEARER" else {}
    url = f"kafka://{secure_kafka.secure.sasl_tls}/{topic}"
    source = Kafka(f"{url}?group={topic}", security=security, options=options)
    letters = Letters(f"{url}_dead", security=security, options=options)
    target = Target()

    def run() -> None:
        made = Pipeline(source, AtomicSink(target), name="p", state_dir=tmp_path, dead_letters=letters)
        made.run(until_current=True, retry=False)

    for name in (f"{topic}_dead", f"{topic}_dead.retry"):
        secure_kafka.create_topic(name, cleanup_policy="compact")
    _allow(
        secure_kafka, ResourceType.TOPIC, f"{topic}_dead", AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE
    )
    with pytest.raises(Fatal, match=topic) as denied:
        run()
    assert server.PASSWORD not in str(denied.value)
    _allow(secure_kafka, ResourceType.TOPIC, topic, AclOperation.DESCRIBE)
    until(lambda: "it may not be read" in [found.message for found in source.check()], "for what check says")
    _allow(secure_kafka, ResourceType.TOPIC, topic, AclOperation.READ)
    with pytest.raises(Fatal, match=r"[Gg]roup.* authorization failed") as denied:
        run()
    assert "READ on the group" in str(denied.value.hint)
    _allow(secure_kafka, ResourceType.GROUP, topic, AclOperation.READ)
    until(lambda: all(found.severity is Severity.OK for found in source.check()), "for the broker to hear of the ACL")
    run()
    assert target.keys == ["0", "1", "2"]


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_group_that_no_acl_lets_us_join_stops_the_pipeline(
    secure_kafka: server.Broker, tmp_path: Path, protocol: Literal["classic", "consumer"]
) -> None:
    assert secure_kafka.secure is not None
    topic = secure_kafka.create_topic(f"joined_{protocol}")
    _allow(secure_kafka, ResourceType.TOPIC, topic, AclOperation.READ, AclOperation.DESCRIBE)
    source = Kafka(
        f"kafka://guest:{server.PASSWORD}@{secure_kafka.secure.sasl}/{topic}",
        group=topic,
        group_protocol=protocol,
        security=Security(mechanism="SCRAM-SHA-512"),
    )

    with pytest.raises(Fatal, match=r"[Gg]roup authorization failed") as denied:
        Pipeline(source, AtomicSink(Target()), name="p", state_dir=tmp_path).run(until_current=True)
    assert "READ on the group" in str(denied.value.hint)


def test_consume_logs_in_as_the_query_of_its_url_says(
    secure_kafka: server.Broker, capfd: pytest.CaptureFixture[str]
) -> None:
    assert secure_kafka.secure is not None
    topic = secure_kafka.create_topic("consumed")
    fill(secure_kafka, topic, range(3))
    _allow(secure_kafka, ResourceType.TOPIC, topic, AclOperation.READ, AclOperation.DESCRIBE)
    _allow(secure_kafka, ResourceType.GROUP, "tailrace.consume_", AclOperation.READ, AclOperation.DELETE)
    login = f"security.protocol=SASL_SSL&sasl.mechanism=SCRAM-SHA-512&ssl.ca.location={secure_kafka.secure.authority}"
    url = f"kafka://guest:{server.PASSWORD}@{secure_kafka.secure.sasl_tls}/{topic}?{login}"

    def printed() -> list[object]:
        code = main(["consume", url, "--until-current", "--format", "json"])
        out, err = capfd.readouterr()
        assert server.PASSWORD not in err
        return [json.loads(line)["after"]["id"] for line in out.splitlines()] if code == 0 else []

    until(lambda: printed() == [0, 1, 2], "for the broker to hear of the ACL")
    for number, words in ((1, "no mechanism"), (0, "no protocol")):
        assert main(["consume", url.partition("?")[0] + ("" if number else "?sasl.mechanism=PLAIN")]) == 2
        assert words in capfd.readouterr().err


@fault("a password is wrong", "source", stops(1, "connecting to Kafka: …"))
def test_a_wrong_password_stops_the_pipeline_and_is_not_shown(secure_kafka: server.Broker, tmp_path: Path) -> None:
    assert secure_kafka.secure is not None
    source = Kafka(
        f"kafka://guest:wr0ng@{secure_kafka.secure.sasl}/orders", security=Security(mechanism="SCRAM-SHA-512")
    )
    pipeline = Pipeline(source, AtomicSink(Target()), name="p", state_dir=tmp_path)
    with pytest.raises(Fatal, match="connecting to Kafka") as refused:
        pipeline.run(until_current=True, retry=False)
    assert "wr0ng" not in str(refused.value) + repr(source)
