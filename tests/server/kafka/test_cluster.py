"""A cluster whose nodes are killed one after another, each while it leads partitions: until another is elected they
have no leader, and the load goes on. Nothing is lost, no change of a key overtaken, and exactly-once stays that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from servers.kafka import Cluster
from tailrace.format import Format
from tailrace.pipeline import Pipeline
from tailrace.sink.kafka import Kafka
from tailrace.source import Postgres
from tests import background
from tests.fault.row import fault, goes_on
from tests.server.sink.kafka.test_fault import KEYS, LIMITS, Load, judge
from tests.server.sink.kafka.topics import read
from tests.waiting import until

TOPIC = "t.public.steps"


def kill_leaders(cluster: Cluster, flows: Callable[[], int]) -> None:
    """Kill each node in turn while `flows`, which counts what has arrived, grows; go on once its replicas are whole."""
    for node in cluster.nodes:
        until(cluster.is_whole, "for all replicas to be in sync")
        before = flows()
        until(lambda before=before: flows() > before, "for changes to flow")
        assert cluster.leads(node, TOPIC)
        node.kill()
        until(lambda node=node: not cluster.leads(node, TOPIC), "for another leader")
        before = flows()
        until(lambda before=before: flows() > before, "for changes to flow without the node")
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
    judge(read(kafka_cluster, TOPIC), last=load.rounds, once=transactions)
