"""Brokers that are away: librdkafka waits for them without a word, and what they do not tell is no idleness."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from servers.kafka import Broker, Cluster
from tailrace.error import Retryable
from tailrace.health import Address, HealthServer
from tailrace.pipeline import State
from tailrace.source.kafka import Kafka, group, lag
from tailrace.testing.fake import AtomicSink, Target
from tests.fault.row import fault, waits
from tests.server.kafka.filling import Member, fill, running
from tests.server.kafka.stepping import Steps, stepping
from tests.unit.health.asking import verdict
from tests.waiting import until

WAIT_S = 120.0
STALLED_S = 20.0
REPLICAS = "offsets.topic.replication.factor"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Brokers that are silent are given up soon."""
    monkeypatch.setattr(lag, "_SILENT_S", 10.0)


def is_caught_up(member: Member, since: float) -> bool:
    """Whether all that was there at `since` is known to be durable, and nothing more is there."""
    status = member.pipeline.status()
    return status.reason == "caught up" and status.lag_s == status.lag_bytes == 0 and (status.caught_up_at or 0) > since


@fault("all brokers are away for long", "source", waits("no broker of … has answered for …", "nothing lost"))
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_member_whose_brokers_are_away_is_not_well_until_they_are_back(
    start_kafka: Callable[..., Broker], tmp_path: Path, protocol: str
) -> None:
    """Nor is one without a partition, which knows only from them that it is to have none."""
    broker = start_kafka()
    fill(broker, broker.create_topic("orders"), range(3))
    target = Target()
    made = Kafka(f"kafka://{broker.address}/orders?group=g", group_protocol=protocol)  # type: ignore[arg-type]
    members = [Member(made, AtomicSink(target), "p", tmp_path / str(at)) for at in range(2)]
    pipelines = [member.pipeline for member in members]
    with ExitStack() as stack:
        stack.enter_context(running(*members))
        servers = [
            stack.enter_context(closing(HealthServer(Address("127.0.0.1", 0), [each], stalled_s=STALLED_S)))
            for each in pipelines
        ]
        for member in members:
            until(lambda member=member: is_caught_up(member, 0), "for one to read and one to idle", timeout_s=WAIT_S)  # type: ignore[misc]
        assert sorted(dict(each.status().lags).get("orders/0", -1) for each in pipelines) == [-1, 0]
        broker.kill()
        for each in pipelines:
            until(lambda each=each: broker.address in each.status().reason, "for the reason", timeout_s=WAIT_S)  # type: ignore[misc]
            assert (each.status().lag_bytes, each.status().lag_s, each.status().lags) == (None, None, {})
        caught_up_at = [each.status().caught_up_at for each in pipelines]
        for each, server in zip(pipelines, servers, strict=True):
            until(lambda server=server: verdict(server)[0] == 503, "for 503", timeout_s=WAIT_S)  # type: ignore[misc]
            until(lambda each=each: each.status().state is State.RETRYING, "for a retry", timeout_s=WAIT_S)  # type: ignore[misc]
            assert broker.address in (each.status().error or "")
        # From two clocks, each time: equal but for parts of a second.
        assert [each.status().caught_up_at for each in pipelines] == pytest.approx(caught_up_at, rel=0, abs=0.5)
        broker.start()
        back = time.time()
        fill(broker, "orders", range(3, 6))
        for member, server in zip(members, servers, strict=True):
            until(lambda member=member: is_caught_up(member, back), "for the rest", timeout_s=WAIT_S)  # type: ignore[misc]
            until(lambda server=server: verdict(server)[0] == 200, "for 200")  # type: ignore[misc]
    assert sorted(int(key) for key in target.keys if key) == list(range(6))


@pytest.fixture
def leaderless(start_kafka: Callable[..., Broker], monkeypatch: pytest.MonkeyPatch) -> Broker:
    """A broker that has topics, and no group: there is no room for the replicas of what groups are kept in."""
    monkeypatch.setattr(group, "_SILENT_S", 20.0)
    broker = start_kafka(settings={REPLICAS: "3"})
    fill(broker, broker.create_topic("orders"), range(3))
    return broker


@fault("the group has no coordinator", "source", waits("nobody has told for … who is in the group …", "nothing lost"))
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_group_without_a_coordinator_is_told_and_waited_for(
    leaderless: Broker, tmp_path: Path, protocol: str
) -> None:
    """It was caught up and well, for ever, and had read nothing."""
    target = Target()
    made = Kafka(f"kafka://{leaderless.address}/orders?group=g", group_protocol=protocol)  # type: ignore[arg-type]
    member = Member(made, AtomicSink(target), "p", tmp_path)
    told = "who is in the group g"
    with running(member):
        status = member.pipeline.status
        until(lambda: told in status().reason, "for the reason", timeout_s=WAIT_S)
        assert (status().lag_bytes, status().caught_up_at) == (None, None)
        until(lambda: told in (status().error or ""), "for a retry", timeout_s=WAIT_S)
        leaderless.stop()
        leaderless.configure({REPLICAS: "1"})
        leaderless.start()
        until(lambda: len(target.keys) >= 3, "for the group", timeout_s=WAIT_S)
    assert sorted(int(key) for key in target.keys if key) == list(range(3))


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_bounded_member_does_not_wait_for_ever_for_a_group_that_has_no_coordinator(
    leaderless: Broker, protocol: str
) -> None:
    made = Kafka(f"kafka://{leaderless.address}/orders?group=g", group_protocol=protocol)  # type: ignore[arg-type]
    with stepping(made, until_current=True) as steps, pytest.raises(Retryable, match="who is in the group g") as ended:
        until(lambda: steps.read() or steps.ended, "for an end", timeout_s=WAIT_S)
    assert "__consumer_offsets" in (ended.value.hint or "")


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_member_without_a_partition_is_caught_up_while_the_group_means_it_to_have_none(
    kafka: Broker, topic: str, protocol: str
) -> None:
    kafka.create_topic(topic)
    made = Kafka(f"kafka://{kafka.address}/{topic}", group=topic, group_protocol=protocol)  # type: ignore[arg-type]
    with stepping(made) as holder:
        holder.until_offered()
        holder.begin()
        with stepping(made) as surplus:
            assert surplus.stream.lag_bytes() is None
            until(lambda: holder.read() or surplus.read() or surplus.stream.lag_bytes() == 0, "for the group")
            assert surplus.offered == []
            holder.stream.close()
            surplus.until_offered()
            assert surplus.stream.lag_bytes() is None, "it is not claimed yet"
            surplus.begin()
            until(lambda: surplus.read() or surplus.stream.lag_bytes() == 0, "for the end")


@pytest.fixture
def steps(kafka_cluster: Cluster) -> Iterator[Steps]:
    """A member that has read all of three partitions, one led by each node."""
    kafka_cluster.create_topic("orders", 3)
    with stepping(Kafka(f"kafka://{kafka_cluster.address}/orders?group=g")) as made:
        made.until_offered(3)
        made.begin()
        until(lambda: made.read() or made.stream.lag_bytes() == 0, "for the ends", timeout_s=WAIT_S)
        yield made


def test_one_broker_that_is_away_is_no_failure_and_a_partition_that_nobody_leads_is_told(
    kafka_cluster: Cluster, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lag, "_SILENT_S", 30.0)
    first, second, _ = kafka_cluster.nodes
    first.kill()
    killed_at = time.monotonic()

    def measured() -> bool:
        steps.read()
        return steps.stream.lag_bytes() == 0 and (steps.stream.measured_at() or 0) > killed_at

    until(measured, "for the new leaders to tell where their partitions end", timeout_s=WAIT_S)
    second.kill()  # two of three controllers are gone: nobody is made a leader
    until(lambda: steps.read() or steps.stream.unheard(), "for a leader to be missed", timeout_s=WAIT_S)
    assert steps.stream.lag_bytes() is None
    assert "has told for" in (steps.stream.unheard() or "")
    answers = {steps.stream._lag._answered_at}

    def answered() -> bool:
        """The broker that is left has answered for longer than all of them may be silent."""
        steps.read()
        answers.add(steps.stream._lag._answered_at)
        return max(answers) - min(answers) > 30

    until(answered, "for the one that is left to answer on", timeout_s=WAIT_S)
    for node in (first, second):
        node.launch()
    # The group may have given the member up meanwhile, and gives it partitions anew.
    until(lambda: steps.read() or steps.begin() or steps.stream.lag_bytes() == 0, "for the leaders", timeout_s=WAIT_S)
    assert steps.stream.unheard() is None
