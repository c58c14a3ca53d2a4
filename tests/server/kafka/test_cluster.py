"""A cluster whose nodes are killed one after another, each while it leads partitions: until another is elected they
have no leader, and the load goes on. Nothing is lost, no change of a key overtaken, and every one comes once."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from servers.kafka import Cluster
from tailrace.error import Retryable
from tailrace.format import Format
from tailrace.model import Limits
from tailrace.pipeline import Pipeline
from tailrace.sink.kafka import Kafka
from tailrace.source import Kafka as Group
from tailrace.source import Postgres
from tailrace.source.kafka.fault import error_of, explain
from tailrace.source.kafka.topic import Topics
from tailrace.testing.fake import AtomicSink, Target
from tests import background
from tests.fault.row import fault, goes_on
from tests.server.kafka.filling import Member, event, produce, running
from tests.server.kafka.test_group import PROTOCOLS, QUICK
from tests.server.sink.kafka.test_fault import KEYS, LIMITS, Load, judge
from tests.server.sink.kafka.topics import read
from tests.waiting import until

TOPIC = "t.public.steps"
SMALL = Limits(batch_bytes_max=8 << 10, shelf_bytes_max=32 << 10, backoff_s_max=0.5)


class Steps:
    """Writes updates of rows in turn, each a step further; `rounds` were acknowledged."""

    def __init__(self, cluster: Cluster) -> None:
        self.rounds = 0
        self._cluster = cluster

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """In the background."""
        stopped = threading.Event()

        def work() -> None:
            while not stopped.wait(0.02):
                rows = ({"id": key, "step": self.rounds} for key in range(KEYS))
                keyed = ((json.dumps({"id": row["id"]}).encode(), event("u", after=row)) for row in rows)
                produce(self._cluster, TOPIC, keyed)
                self.rounds += 1

        with background.beside(work, stopped.set):
            yield


def kill_leaders(cluster: Cluster, flows: Callable[[], int]) -> None:
    """Kill each node in turn while `flows`, which counts what has arrived, grows; go on once its replicas are whole."""
    for node in cluster.nodes:
        until(cluster.is_whole, "for all replicas to be in sync", timeout_s=180)
        # One that was too slow to say that it lives has lost what it led.
        until(
            lambda node=node: cluster.leads(node, TOPIC) or cluster.elect(TOPIC), "for the node to lead", timeout_s=180
        )
        before = flows()
        until(lambda before=before: flows() > before, "for changes to flow", timeout_s=180)
        node.kill()
        until(lambda node=node: not cluster.leads(node, TOPIC), "for another leader", timeout_s=180)
        before = flows()
        until(lambda before=before: flows() > before, "for changes to flow without the node", timeout_s=180)
        node.start()


@fault(
    "the leader of partitions is killed, each of three nodes in turn",
    "sink",
    goes_on("nothing lost, no event of a key overtaken; with transactions every change once"),
)
@pytest.mark.parametrize("transactions", [False, True])
def test_leaders_that_are_killed_under_load_cost_the_sink_nothing(
    kafka_cluster: Cluster, database: str, tmp_path: Path, transactions: bool
) -> None:
    load = Load(database)
    kafka_cluster.create_topic(TOPIC, 3)
    sink = Kafka(f"kafka://{kafka_cluster.address}", format=Format(topic_prefix="t"), transactions=transactions)
    source = Postgres(database, ["public.steps"])
    pipeline = Pipeline(source, sink, name="steps", state_dir=None if transactions else tmp_path, limits=LIMITS)
    with background.running(pipeline):
        until(lambda: pipeline.status().changes >= KEYS, "for the snapshot")
        load.start()
        kill_leaders(kafka_cluster, lambda: pipeline.status().changes)
        load.stop()
    pipeline.run(until_current=True)
    judge(read(kafka_cluster, TOPIC, settled=True), last=load.rounds, once=transactions)


@fault(
    "the leader of partitions is killed, each of three nodes in turn",
    "source",
    goes_on("every change once, those of a key in order"),
)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_leaders_that_are_killed_while_they_are_read_cost_the_source_nothing(
    kafka_cluster: Cluster, tmp_path: Path, protocol: str
) -> None:
    kafka_cluster.create_topic(TOPIC, 3)
    target = Target()
    source = Group(
        f"kafka://{kafka_cluster.address}/{TOPIC}?group=g",
        group_protocol=protocol,  # type: ignore[arg-type]
        options=QUICK if protocol == "classic" else {},
    )
    member = Member(source, AtomicSink(target), "p", tmp_path, SMALL)
    steps = Steps(kafka_cluster)
    with running(member):
        with steps.flowing():
            kill_leaders(kafka_cluster, lambda: len(target.records) if member.alive else pytest.fail(str(member.error)))
        # A producer may write one twice when a leader goes: https://github.com/confluentinc/librdkafka/issues/4953
        written = read(kafka_cluster, TOPIC, settled=True)
        until(lambda: len(target.records) >= len(written), "for the rest", timeout_s=180)
        assert member.alive
    there: dict[int, list[int]] = defaultdict(list)
    for each in written:
        there[each.row["id"]].append(each.row["step"])
    assert {key: list(dict.fromkeys(came)) for key, came in there.items()} == {
        key: list(range(steps.rounds)) for key in range(KEYS)
    }
    seen: dict[int, list[int]] = defaultdict(list)
    for record in target.records:
        assert record.cells is not None
        seen[int(record.cells["id"])].append(int(record.cells["step"]))
    assert seen == there


def test_where_a_partition_without_a_leader_ends_is_an_error_and_no_number(kafka_cluster: Cluster) -> None:
    kafka_cluster.create_topic(TOPIC, 3)
    places = [TopicPartition(TOPIC, number) for number in range(3)]
    for number in range(3):  # acknowledged: its leader knows of it
        produce(kafka_cluster, TOPIC, [(None, b"{}")], partition=number)
    topics = Topics(AdminClient({"bootstrap.servers": kafka_cluster.address}), [TOPIC])
    assert set(topics.ends(places, isolation="read_committed").values()) == {(0, 1)}
    for node in kafka_cluster.nodes:
        os.kill(node.pid, signal.SIGSTOP)
        stopped = psutil.Process(node.pid)
        until(lambda stopped=stopped: stopped.status() == psutil.STATUS_STOPPED, "for it to stop")  # type: ignore[misc]
    with pytest.raises(KafkaException) as raised:
        topics.ends(places, isolation="read_committed")
    for node in kafka_cluster.nodes:
        os.kill(node.pid, signal.SIGCONT)
    assert isinstance(explain(error_of(raised.value), "beginning"), Retryable)
