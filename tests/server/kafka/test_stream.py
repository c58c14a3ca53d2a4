"""A stream of a Kafka source call by call: what comes at an awkward moment is neither skipped nor taken for more."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future

import pytest
from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AclOperation, AdminClient, ResourceType, TopicDescription

from servers.kafka import PASSWORD, Broker
from tailrace.error import Fatal, Retryable, TailraceError
from tailrace.model import Limits, Position
from tailrace.source.kafka import Kafka, Security
from tailrace.source.kafka.topic import Topics
from tailrace.source.kafka.watch import Watch
from tests.server.kafka.filling import event, fill, produce
from tests.server.kafka.stepping import Steps, stepping
from tests.waiting import until


def source(broker: Broker, topic: str, **options: object) -> Kafka:
    return Kafka(f"kafka://{broker.address}/{topic}?group={topic}", **options)  # type: ignore[arg-type]


def tend(steps: Steps, for_s: float) -> None:
    """The shelf is full for so long."""
    began = time.monotonic()
    until(lambda: steps.stream.tend() or time.monotonic() - began > for_s)


def until_paused(steps: Steps) -> None:
    """The shelf is full for so long that what comes is not fetched."""
    until(lambda: steps.stream.tend() or steps.stream._paused, "for a pause")


@pytest.mark.parametrize("until_current", [False, True])
def test_i6_what_comes_while_a_partition_waits_to_be_claimed_is_read_in_its_turn(
    kafka: Broker, topic: str, until_current: bool
) -> None:
    kafka.create_topic(topic)
    fill(kafka, topic, range(5))
    with stepping(source(kafka, topic), until_current=until_current) as steps:
        steps.until_offered()
        until_paused(steps)
        fill(kafka, topic, range(5, 8))
        tend(steps, 2)
        steps.begin()
        tend(steps, 1)
        steps.until_read(8)
        assert steps.ids == list(range(8))


def test_i6_a_claim_that_comes_at_once_is_read_from_where_it_says(
    kafka: Broker, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the client takes to learn whatever it asks of a partition that it was given."""
    partitions = 40
    kafka.create_topic(topic, partitions)
    for at in range(partitions):
        produce(kafka, topic, [(None, event("c", after={"id": at}))], partition=at)
    with stepping(source(kafka, topic)) as steps:
        stream = steps.stream
        known = stream._topics.ends([TopicPartition(topic, at) for at in range(partitions)], isolation="read_committed")
        steps.until_offered(partitions)
        with monkeypatch.context() as at_once:  # no question of ours gives the client time
            at_once.setattr(stream._topics, "ends", lambda places, *, isolation: known)
            at_once.setattr(stream.offsets, "committed", lambda places: {})
            steps.begin()
        steps.until_read(partitions)
        assert sorted(steps.ids) == list(range(partitions))


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_bounded_member_says_what_it_does_not_wait_for(
    kafka: Broker, topic: str, caplog: pytest.LogCaptureFixture, protocol: str
) -> None:
    kafka.create_topic(topic)
    fill(kafka, topic, range(3))
    with stepping(source(kafka, topic, group_protocol=protocol)) as holder:
        holder.until_offered()
        with stepping(source(kafka, topic, group_protocol=protocol), until_current=True) as bounded:
            until(lambda: holder.read() or bounded.read() or bounded.ended, "for the end")
    which = f"1 of 1 partition(s) ({topic}/0) are read by other members of the group {topic}"
    assert f"{which}, and not waited for" in [record.getMessage() for record in caplog.records]


def test_a_bounded_member_that_has_waited_in_vain_says_for_what_and_where_to_look(
    kafka: Broker, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The other one holds a partition that is to be ours, and does not come back to let go of it."""
    kafka.create_topic(topic, 2)
    with stepping(source(kafka, topic)) as holder:
        holder.until_offered(2)
        with stepping(source(kafka, topic), until_current=True) as bounded:
            bounded.stream._sharing._patience_s = 0.0
            until(lambda: bounded.read() or bounded.ended, "for the end")
    [told] = [record.getMessage() for record in caplog.records if "dealt out" in record.getMessage()]
    assert told.startswith(f"the group {topic} has not dealt out its partitions within 0 s: 2 of 2 partition(s)")
    assert f"({topic}/0, {topic}/1) were not read here" in told
    assert f"kafka-consumer-groups --describe --members --verbose --group {topic}" in told
    assert "run again" in told


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_bounded_member_that_joins_others_waits_for_its_share(kafka: Broker, topic: str, protocol: str) -> None:
    """It is given no partition at first, and its own once the others have let go of them."""
    partitions = 4
    kafka.create_topic(topic, partitions)
    for at in range(partitions):
        produce(kafka, topic, [(None, event("c", after={"id": at}))], partition=at)
    with stepping(source(kafka, topic, group_protocol=protocol)) as holder:
        holder.until_offered(partitions)
        with stepping(source(kafka, topic, group_protocol=protocol), until_current=True) as bounded:
            until(lambda: holder.read() or bounded.read() or bounded.begin() or bounded.ended, "for the end")
    assert len(bounded.ids) == partitions // 2


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_share_that_is_on_its_way_to_a_bounded_member_is_not_taken_for_anothers(
    kafka: Broker, topic: str, protocol: str
) -> None:
    """The group knows what it has dealt out before the member hears of it."""
    kafka.create_topic(topic, 2)
    for at in range(2):
        produce(kafka, topic, [(None, event("c", after={"id": at}))], partition=at)
    with stepping(source(kafka, topic, group_protocol=protocol)) as holder:
        holder.until_offered(2)
        with stepping(source(kafka, topic, group_protocol=protocol), until_current=True) as bounded:
            # The holder lets go of nothing before it hears of that; until then the other is given nothing.
            until(
                lambda: (
                    bounded.read()
                    or bounded.stream._lag.joined
                    or (protocol == "consumer" and len(shares(kafka, topic)) == 2)
                ),
                "for the other",
            )
            until(lambda: holder.read() or shares(kafka, topic) == [1, 1], "for the group to deal out its share")
            assert not bounded.stream._sharing.complete(bounded.stream._parts.keys())
            until(lambda: holder.read() or bounded.read() or bounded.begin() or bounded.ended, "for the end")
    assert len(bounded.ids) == 1


def test_i6_nothing_behind_an_error_of_a_partition_is_handed_on(kafka: Broker, topic: str) -> None:
    """What the client cannot read (a wrong checksum, say) it reports, and goes on behind it, within one list."""
    kafka.create_topic(topic)
    with stepping(source(kafka, topic)) as steps:
        steps.until_offered()
        steps.begin()
        until(lambda: steps.read() or steps.stream._parts[topic, 0].reader is not None, "for the partition")
        error = KafkaError(KafkaError._BAD_MSG)
        steps.stream._held = [
            Message(
                topic=topic,
                partition=0,
                offset=at,
                value=event("c", after={"id": at}),
                error=error if at == 1 else None,
            )
            for at in range(3)
        ]
        steps.read()
        assert steps.ids == [0]
        with pytest.raises(TailraceError, match=f"topic {topic}, partition 0"):
            steps.read()
        assert steps.ids == [0]


def test_a_topic_that_is_not_there_yet_is_not_waited_for_once_a_stop_is_asked_for(kafka: Broker, topic: str) -> None:
    admin, stop = AdminClient({"bootstrap.servers": kafka.address}), threading.Event()
    stop.set()
    with pytest.raises(Retryable, match="stopped before Kafka was open"):
        Topics(admin, [topic], stop).matching()
    with pytest.raises(Fatal, match="does not exist in the cluster"):
        Topics(admin, [topic]).matching()


def test_a_partition_that_brokers_do_not_know_yet_is_not_asked_for_again_once_a_stop_is_asked_for(
    kafka: Broker, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, asked = threading.Event(), list[int]()
    kafka.create_topic(topic)
    topics = Topics(AdminClient({"bootstrap.servers": kafka.address}), [topic], stop)
    ask = topics._ends

    def counted(places: Sequence[TopicPartition], *, isolation: str) -> dict[tuple[str, int], tuple[int, int]]:
        asked.append(len(places))
        if len(asked) == 2:
            stop.set()
        return ask(places, isolation=isolation)

    monkeypatch.setattr(topics, "_ends", counted)
    with pytest.raises(KafkaException, match="No leaders found"):
        topics.ends([TopicPartition(topic, 5)], isolation="read_committed")
    assert asked == [1, 1]


def test_a_topic_without_an_id_is_not_read_under_another_name(kafka: Broker, topic: str) -> None:
    kafka.create_topic(topic)
    with stepping(Kafka(f"kafka://{kafka.address}", [f"{topic}*"], group=topic)) as steps:
        unheard = [TopicPartition(f"{topic}.unheard", 0)]  # given to us before the broker that we ask knows of it
        steps.stream._on_assign(steps.stream._consumer, unheard)
        with pytest.raises(Retryable, match=f"the id of topic {topic}.unheard is not known yet"):
            until(steps.read, "for the fault")
        assert steps.offered == []


def test_what_is_confirmed_late_does_not_take_the_group_back(kafka: Broker, topic: str) -> None:
    kafka.create_topic(topic)
    fill(kafka, topic, range(10))
    other = Consumer({"bootstrap.servers": kafka.address, "group.id": topic})
    other.commit(offsets=[TopicPartition(topic, 0, 8)], asynchronous=False)  # by whoever had it in between
    other.close()
    with stepping(source(kafka, topic)) as steps:
        steps.until_offered()
        steps.stream.confirm([Position(steps.offered[0], f"{4:020d}")])  # written when it was ours before
        tend(steps, 2)  # longer than it takes until offsets are committed
        assert committed(kafka, topic) == 8
        steps.begin()
        steps.until_read(2)
        assert steps.ids == [8, 9]
        tend(steps, 2)
        assert committed(kafka, topic) == 8
        steps.stream.confirm(steps.positions)
        until(lambda: steps.read() or committed(kafka, topic) == 10, "for what was confirmed since")


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
@pytest.mark.parametrize(("policy", "expected"), [("earliest", [0, 1, 7, 8, 9]), ("latest", [0, 1, 10])])
def test_a_reader_that_is_overtaken_goes_on_where_it_was_told(
    kafka: Broker, topic: str, caplog: pytest.LogCaptureFixture, protocol: str, policy: str, expected: list[int]
) -> None:
    kafka.create_topic(topic)
    fill(kafka, topic, range(2))
    with stepping(source(kafka, topic, out_of_range=policy, group_protocol=protocol)) as steps:
        steps.until_offered()
        steps.begin()
        steps.until_read(2)
        until_paused(steps)
        fill(kafka, topic, range(2, 10))
        delete_records(kafka, topic, 7)
        until(lambda: steps.read() or "offset 2 comes next and is gone" in caplog.text, "for the warning")
        if policy == "latest":
            fill(kafka, topic, [10])
        steps.until_read(len(expected))
    assert steps.ids == expected


def test_i6_an_error_of_one_partition_is_not_taken_for_one_that_was_never_read(secure_kafka: Broker) -> None:
    assert secure_kafka.secure is not None
    name = secure_kafka.create_topic("denied")
    secure_kafka.allow("stranger", ResourceType.GROUP, name, AclOperation.READ)
    secure_kafka.allow("stranger", ResourceType.TOPIC, name, AclOperation.READ)
    login = Security(mechanism="PLAIN", username="stranger", password=PASSWORD)
    made = Kafka(f"kafka://{secure_kafka.secure.sasl}/{name}", group=name, security=login, auto_offset_reset="latest")
    with stepping(made) as steps:
        steps.until_offered()
        secure_kafka.forbid("stranger", ResourceType.TOPIC, name, AclOperation.READ)
        with pytest.raises(Fatal, match=r"the offset of topic denied, partition 0: .*authorization") as caught:
            steps.begin()
    assert "READ and DESCRIBE on the topic" in str(caught.value.hint)


@pytest.mark.parametrize("full", [False, True], ids=["reading", "shelf full"])
def test_a_missing_right_that_is_told_before_the_claim_is_not_forgotten(secure_kafka: Broker, full: bool) -> None:
    """DESCRIBE is enough to be given a partition, and to ask where it ends: the first fetch is what is refused."""
    assert secure_kafka.secure is not None
    name = secure_kafka.create_topic(f"described{full}".lower())
    fill(secure_kafka, name, [1])
    secure_kafka.allow("stranger", ResourceType.GROUP, name, AclOperation.READ)
    secure_kafka.allow("stranger", ResourceType.TOPIC, name, AclOperation.DESCRIBE)
    login = Security(mechanism="PLAIN", username="stranger", password=PASSWORD)
    made = Kafka(f"kafka://{secure_kafka.secure.sasl}/{name}", group=name, security=login)
    with stepping(made) as steps, pytest.raises(Fatal, match=f"topic {name}, partition 0: .*authorization") as caught:
        steps.until_offered()
        if full:
            tend(steps, 2)
        else:
            for _ in range(20):  # the answer to a first fetch comes in some of these
                steps.read()
        steps.begin()
        until(steps.read, "for the refusal")
    assert "READ and DESCRIBE on the topic" in str(caught.value.hint)


def test_what_is_not_read_yet_is_not_taken_for_caught_up(kafka: Broker, topic: str) -> None:
    kafka.create_topic(topic)
    fill(kafka, topic, range(50))
    with stepping(source(kafka, topic)) as steps:
        steps.until_offered()
        tend(steps, 0.5)
        assert steps.stream.lag_bytes() is None
        steps.begin()
        until(lambda: steps.stream.tend() or steps.stream.lag_bytes() is not None, "for a first measure")
        assert steps.stream.lag_bytes() == 50
        assert steps.stream.lags() == {f"{topic}/0": 50}
        steps.until_read(50)
        until(lambda: steps.read() or steps.stream.lag_bytes() == 0, "for the end")


def test_one_refusal_of_one_broker_does_not_stop_the_source(kafka: Broker, topic: str) -> None:
    kafka.create_topic(topic)
    fill(kafka, topic, [1])
    with stepping(source(kafka, topic)) as steps:
        steps.stream._told(KafkaError(KafkaError._SSL))  # as the client does for a broker whose TLS fails
        steps.until_offered()
        steps.begin()
        steps.until_read(1)
    assert steps.ids == [1]


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_kafkas_own_topics_match_no_glob(kafka: Broker, topic: str, protocol: str) -> None:
    kafka.create_topic(topic)
    fill(kafka, topic, [1])
    with stepping(Kafka(f"kafka://{kafka.address}", ["_[_]*", topic], group=topic, group_protocol=protocol)) as steps:
        steps.until_offered()
        steps.begin()
        until(lambda: steps.read() or 1 in steps.ids, "for the topic")
        given = {place.topic for place in steps.stream._consumer.assignment()}
        assert topic in given
        assert protocol == "consumer" or not [name for name in given if name.startswith("__")]
        assert not [name for name, _ in steps.stream._parts if name.startswith("__")]


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_glob_that_nothing_matches_waits_for_topics(kafka: Broker, topic: str, protocol: str) -> None:
    kafka.create_topic(topic)
    fill(kafka, topic, [1])
    globs = [topic, f"{topic}.later.*", f"{topic}.never.*"]
    options = {"topic.metadata.refresh.interval.ms": "500"}
    with stepping(
        Kafka(f"kafka://{kafka.address}", globs, group=topic, group_protocol=protocol, options=options)
    ) as steps:
        steps.until_offered()
        steps.begin()
        steps.until_read(1)
        fill(kafka, kafka.create_topic(f"{topic}.later.one"), [2])
        steps.until_offered(2)
        steps.begin()
        steps.until_read(2)
    assert steps.ids == [1, 2]


def test_one_answer_alone_does_not_say_that_a_topic_is_gone(kafka: Broker, topic: str) -> None:
    topics = Topics(kafka.admin(), [topic])
    watch, asked, ask = Watch(topics), [], topics.ask

    def counted(names: Sequence[str]) -> dict[str, Future[TopicDescription]]:
        asked.append(names)
        return ask(names)

    topics.ask = counted  # type: ignore[method-assign]
    with pytest.raises(Fatal, match="was deleted"):
        until(lambda: watch.look({topic: "id"}), "for two answers")
    assert len(asked) == 2


def test_a_partition_that_comes_does_not_wait_for_the_backlog_of_others(kafka: Broker, topic: str) -> None:
    kafka.create_topic(topic)
    later = kafka.create_topic(f"{topic}.later")
    fill(kafka, topic, range(20_000))
    with stepping(source(kafka, topic)) as steps:
        steps.until_offered()
        steps.begin()
        steps.until_read(1)
        steps.stream._ids |= steps.stream._topics.ids([later])
        steps.stream._topics = Topics(kafka.admin(), [topic, later])
        steps.stream._on_assign(steps.stream._consumer, [TopicPartition(later, 0)])
        steps.read()
        assert len(steps.offered) == 2
        assert len(steps.ids) < 20_000


def test_i8_a_batch_is_no_larger_than_the_limits_say(kafka: Broker, topic: str) -> None:
    kafka.create_topic(topic)
    fill(kafka, topic, range(3_000))
    limits = Limits(batch_bytes_max=20_000)
    with stepping(source(kafka, topic), limits=limits) as steps:
        steps.until_offered()
        steps.begin()
        held: list[int] = []
        until(lambda: steps.read() or held.append(len(steps.stream._held)) or len(steps.ids) == 3_000, "for changes")
        assert steps.ids == list(range(3_000))
        most = 20_000 / len(event("c", after={"id": 0, "n": 0})) + 1
        assert max(steps.sizes) <= most
        assert max(held) <= most, "more than the next batch waits in memory"


def test_i3_a_claim_of_an_earlier_time_does_not_begin_a_partition(kafka: Broker, topic: str) -> None:
    """Another member may have gone on from there before the partition came back."""
    kafka.create_topic(topic)
    fill(kafka, topic, range(10))
    with stepping(source(kafka, topic)) as steps:
        stream = steps.stream
        steps.until_offered()
        place, lineage = [TopicPartition(topic, 0)], steps.offered[0]
        stream._on_lost(stream._consumer, place)
        stream._on_assign(stream._consumer, place)
        until(lambda: steps.read() or len(steps.offered) == 2, "for the partition again")
        stream.begin({lineage: Position(lineage, f"{3:020d}")})
        stream.begin({lineage: Position(lineage, f"{7:020d}")})
        steps.until_read(2)
        assert steps.ids == [8, 9]


def test_i1_a_partition_that_goes_while_the_shelf_is_full_is_read_when_it_comes_back(kafka: Broker, topic: str) -> None:
    kafka.create_topic(topic, 2)
    for at in range(2):
        produce(kafka, topic, [(None, event("c", after={"id": at}))], partition=at)
    with stepping(source(kafka, topic)) as steps:
        stream = steps.stream
        steps.until_offered(2)
        steps.begin()
        steps.until_read(2)
        until_paused(steps)
        place = TopicPartition(topic, 0)
        position = next(position for position in steps.positions if position.lineage.endswith("/0"))
        stream._on_lost(stream._consumer, [place])
        stream._on_assign(stream._consumer, [place])
        for at in range(2):
            produce(kafka, topic, [(None, event("c", after={"id": 2 + at}))], partition=at)
        until(lambda: steps.read() or len(steps.offered) == 3, "for the partition again")
        stream.begin({position.lineage: position})
        steps.until_read(4)
        assert sorted(steps.ids) == [0, 1, 2, 3]


def test_one_answer_of_a_broker_without_the_topic_does_not_end_the_reading(kafka: Broker, topic: str) -> None:
    kafka.create_topic(topic)
    fill(kafka, topic, [1])
    with stepping(source(kafka, topic)) as steps:
        steps.until_offered()
        steps.begin()
        steps.until_read(1)
        # as the client tells of a subscribed topic that is not in what a broker answered
        steps.stream._heard(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART), (topic, None), None)
        fill(kafka, topic, [2])
        steps.until_read(2)
        admin = kafka.admin()
        for future in admin.delete_topics([topic]).values():
            future.result(30)
        with pytest.raises(Fatal, match=r"was deleted|does not exist any more"):
            until(steps.read, "for the loss to be seen")


def test_i16_a_record_that_comes_twice_at_once_is_read_once(kafka: Broker, topic: str) -> None:
    """As a client may bring it that began to fetch anew: how far a partition is read is known only afterwards."""
    kafka.create_topic(topic)
    fill(kafka, topic, range(3))
    with stepping(source(kafka, topic)) as steps:
        steps.until_offered()
        steps.begin()
        stream, came = steps.stream, list[Message]()

        def all_came() -> bool:
            stream._look()
            came.extend(message for message in stream._fetch(0.1) if message.error() is None)
            return len(came) >= 3

        until(all_came, "for the records")
        stream._held = [*came, *came]
        steps.until_read(3)
        assert steps.ids == [0, 1, 2]


def shares(broker: Broker, group: str) -> list[int]:
    """How many partitions each member has, as the group knows it; none while it is sharing them out."""
    admin = broker.admin()
    found = admin.describe_consumer_groups([group])[group].result(30)
    return [len(member.assignment.topic_partitions) if member.assignment else 0 for member in found.members]


def committed(broker: Broker, topic: str) -> int:
    """The offset that the group has committed of the topic's only partition."""
    admin = broker.admin()
    asked = ConsumerGroupTopicPartitions(topic, [TopicPartition(topic, 0)])
    [place] = admin.list_consumer_group_offsets([asked])[topic].result(30).topic_partitions
    return int(place.offset)


def delete_records(broker: Broker, topic: str, before: int) -> None:
    """As retention does it."""
    admin = broker.admin()
    for future in admin.delete_records([TopicPartition(topic, 0, before)]).values():
        future.result(30)
