"""A right that is taken from the user while the sink writes: it stops and says of which topic, and goes on behind what
was acknowledged once the right is back."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka.admin import AclOperation, ResourceType

from servers import kafka as server
from tailrace.format import Format
from tailrace.model import Column, Severity, Table
from tailrace.sink.kafka import Kafka, Security, Topic
from tests.cli.conftest import Cli
from tests.fault.row import fault, stops
from tests.server.sink.kafka.config import toml
from tests.server.sink.kafka.test_fault import KEYS, Load, judge
from tests.server.sink.kafka.topics import read
from tests.waiting import until

END = stops(
    1,
    "topic …: …Topic authorization failed…",
    "goes on once it is back, nothing lost; with transactions every change once",
)
PATIENCE_S = 180.0


@pytest.fixture
def load(database: str) -> Iterator[Load]:
    """Over the table `steps` of the source."""
    made = Load(database)
    yield made
    made.stop()


@fault("a right is taken under load", "sink", END)
@pytest.mark.parametrize("transactions", [False, True])
@pytest.mark.parametrize("seen", [True, False], ids=["seen", "unseen"])
def test_a_right_that_is_taken_under_load_stops_the_sink_and_costs_nothing(
    start_kafka: Callable[..., server.Broker], load: Load, database: str, tmp_path: Path, transactions: bool, seen: bool
) -> None:
    """Whether the user still sees the topic that it may not write to, or does not any more."""
    broker, cli = start_kafka(secure=True), Cli(tmp_path, os.environ)
    (tmp_path / "shop.toml").write_text(_config(database, broker, transactions=transactions))
    name = broker.create_topic("t.public.steps", 3)
    _allow_all_but_the_topic(broker, sees=name if seen else "")
    broker.allow("guest", ResourceType.TOPIC, name, AclOperation.WRITE)
    process = cli.start("run", "shop.toml")
    try:
        until(lambda: _came(process, broker) >= KEYS, "for the snapshot", timeout_s=PATIENCE_S)
        load.start()
        until(lambda: _came(process, broker) >= 3 * KEYS, "for changes to flow", timeout_s=PATIENCE_S)
        broker.forbid("guest", ResourceType.TOPIC, name, AclOperation.WRITE)
        written = load.rounds
        _, said = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert (process.returncode, "Traceback" in said) == (END.code, False), said
    _names(said, name)
    until(lambda: load.rounds > written + 1, "for what comes while nobody reads it", timeout_s=PATIENCE_S)
    load.stop()
    refused = cli.run("run", "shop.toml", "--until-current")
    assert refused.code == END.code, refused.err
    _names(refused.err, name)
    assert all(record.row["step"] <= written + 1 for record in read(broker, name))
    broker.allow("guest", ResourceType.TOPIC, name, AclOperation.WRITE)
    again = cli.run("run", "shop.toml", "--until-current")
    assert again.code == 0, again.err
    judge(read(broker, name, settled=True), last=load.rounds, once=transactions)


def _of_guest(broker: server.Broker) -> Kafka:
    """A sink that is to make its topics, of a user who was granted nothing yet."""
    assert broker.secure is not None
    security = Security(
        tls=True, ca=broker.secure.authority, mechanism="SCRAM-SHA-512", username="guest", password=server.PASSWORD
    )
    return Kafka(f"kafka://{broker.secure.sasl_tls}", security=security, create_topics=True)


def test_check_says_whether_topics_may_be_made_and_makes_none(start_kafka: Callable[..., server.Broker]) -> None:
    broker = start_kafka(secure=True)
    sink = _of_guest(broker)
    prefixed = replace(sink, format=Format(topic_prefix="shop"))
    renamed = replace(prefixed, topics=[Topic("shop.*", name="cdc.{table}")])
    answered, refused = prefixed.check()
    assert (answered.severity, refused.severity) == (Severity.OK, Severity.WARNING)
    assert "may not create topics such as shop." in refused.message and "--operation Create --cluster" in str(
        refused.fix
    )
    assert len(replace(sink, create_topics=False).check()) == 1
    broker.allow("guest", ResourceType.TOPIC, "shop.", AclOperation.CREATE, prefixed=True)
    assert [found.severity for found in prefixed.check()] == [Severity.OK]
    for cdc in (renamed, replace(sink, topics=[Topic("*", name="cdc.{table}")])):
        assert "may not create topics such as cdc." in cdc.check()[1].message
    broker.allow("guest", ResourceType.BROKER, "kafka-cluster", AclOperation.CREATE)
    assert [found.severity for found in renamed.check()] == [Severity.OK]
    assert not [name for name in broker.admin().list_topics(timeout=60).topics if "check" in name]


def test_check_asks_for_the_topics_of_the_pipeline_and_for_no_other(start_kafka: Callable[..., server.Broker]) -> None:
    """Without a prefix it asked for a topic of another name, and warned of a right that nobody needs."""
    broker = start_kafka(secure=True)
    sink = _of_guest(broker)
    assert [found.severity for found in sink.check()] == [Severity.OK]
    orders = Table("public", "orders", [Column("id", "int8", nullable=False)], key=["id"])
    broker.allow("guest", ResourceType.TOPIC, "shop.", AclOperation.DESCRIBE, prefixed=True)
    (refused,) = sink.check_tables("shop", [orders])
    assert (refused.severity, refused.subject) == (Severity.WARNING, "topic shop.public.orders")
    assert "may not create it" in refused.message and "--operation Create --topic shop.public.orders" in str(
        refused.fix
    )
    broker.allow("guest", ResourceType.TOPIC, "shop.", AclOperation.CREATE, prefixed=True)
    (made,) = sink.check_tables("shop", [orders])
    assert (made.severity, made.message) == (Severity.OK, "it is not there; it is made at the first record")
    assert not [name for name in broker.admin().list_topics(timeout=60).topics if name.startswith("shop")]


def _names(said: str, topic: str) -> None:
    """The last line says why it has ended, as it is declared, and of which topic."""
    told = json.loads(said.splitlines()[-1])["error"]
    assert END.said_in(told) and told.startswith(f"topic {topic}: "), said


def _came(process: subprocess.Popen[str], broker: server.Broker) -> int:
    assert process.poll() is None, process.communicate()[1]
    return len(read(broker, "t.public.steps"))


def _allow_all_but_the_topic(broker: server.Broker, *, sees: str) -> None:
    """What a producer needs beside it; with a right to write elsewhere it gets an id."""
    rights = (AclOperation.CREATE, AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE_CONFIGS)
    broker.allow("guest", ResourceType.TOPIC, "tailrace.shop.positions", *rights)
    broker.allow("guest", ResourceType.GROUP, "tailrace.shop", AclOperation.READ)
    broker.allow("guest", ResourceType.TRANSACTIONAL_ID, "tailrace.shop", AclOperation.WRITE, AclOperation.DESCRIBE)
    if sees:
        broker.allow("guest", ResourceType.TOPIC, sees, AclOperation.DESCRIBE)


def _config(database: str, broker: server.Broker, *, transactions: bool) -> str:
    assert broker.secure is not None
    security = f"""
format.topic_prefix = "t"
[pipeline.shop.sink.security]
tls = true
ca = "{broker.secure.authority}"
mechanism = "SCRAM-SHA-512"
username = "guest"
password = "{server.PASSWORD}"
"""
    text = toml(database, broker, table="steps", transactions=transactions, sink=security)
    return text.replace(broker.address, broker.secure.sasl_tls).replace("create_topics = true", "create_topics = false")
