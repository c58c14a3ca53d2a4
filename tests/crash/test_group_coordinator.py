"""Processes of one group under load, into one PostgreSQL, while the broker that coordinates the group is killed, and
the next one is stopped: members come and go all the while. The target ends as the ledger says (I16)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from servers import kafka
from servers.kafka import Broker, Cluster
from tests.crash.test_group import ACTS, SETTINGS, STOPPED, staged
from tests.fault.row import fault, goes_on
from tests.server.conftest import shown_with
from tests.waiting import until
from tests.wanting import or_skip

__all__ = ["shown_with"]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Three brokers that give members up soon."""
    with ExitStack() as stack:
        yield or_skip(lambda: stack.enter_context(kafka.start_cluster(settings=SETTINGS)))


def coordinator(cluster: Cluster, group: str) -> Broker:
    """The node to which the members of the group turn, once there is one."""
    admin, nodes = AdminClient({"bootstrap.servers": cluster.address}), {node.node: node for node in cluster.nodes}
    found: list[Broker] = []

    def answered() -> bool:
        with suppress(KafkaException):  # it moves
            told = admin.describe_consumer_groups([group], request_timeout=60)[group].result()
            found.append(nodes[told.coordinator.id])
        return bool(found)

    until(answered, "for the group's coordinator", timeout_s=180)
    return found[-1]


@fault(
    "the coordinator of the group is killed, and the next one is stopped, while members join and leave",
    "source, a group of up to three, into PostgreSQL",
    goes_on("every change once, those of a key in order"),
)
@pytest.mark.parametrize("protocol", ACTS)
def test_i16_a_group_whose_coordinators_are_killed_and_stopped_loses_and_doubles_nothing(
    cluster: Cluster, database: str, tmp_path: Path, protocol: str, seed: int
) -> None:
    with staged(
        cluster, database, tmp_path, topic=f"moved_{protocol}", protocol=protocol, seed=seed, together=3
    ) as scene:
        for _ in range(2):
            scene.members.join()
        scene.go_on(everywhere=True)
        for end in (Broker.kill, Broker.stop):
            until(cluster.is_whole, "for all replicas to be in sync", timeout_s=180)
            end(node := coordinator(cluster, f"moved_{protocol}"))
            scene.done.append(f"{end.__name__} node {node.node}")
            scene.members.join()  # which has to find the next one first
            scene.go_on(everywhere=True)
            node.start()
            leaving = scene.members.alive.pop(0)
            leaving.terminate()
            assert leaving.wait(180) in STOPPED, scene.members.said()
            scene.done.append("leave")
            scene.go_on(everywhere=True)
