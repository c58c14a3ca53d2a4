"""Many requests of one partition in flight when they fail: each record comes once, in order. A load that has one at a
time would pass without an idempotent producer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from confluent_kafka import Consumer, TopicPartition

from servers import kafka as server
from tailrace.format import Format
from tailrace.model import Limits
from tailrace.sink.kafka import Kafka
from tests.server.sink.kafka.topics import read
from tests.unit.sink.feed import Feed
from tests.waiting import until

TOPIC = "t.public.orders"
KEYS, STEPS, KILLS = 20, 3000, 3


def test_a_broker_that_is_killed_in_the_midst_of_a_burst_has_each_update_once_and_in_order(
    start_kafka: Callable[..., server.Broker],
) -> None:
    broker = start_kafka()
    broker.create_topic(TOPIC)
    sink = Kafka(f"kafka://{broker.address}", format=Format(topic_prefix="t"), options={"batch.size": "2000"})
    writer, feed = sink.open("p", Limits()), Feed()
    bursts = [
        feed.commit(*(("u", {"id": str(key), "note": str(step)}) for step in range(STEPS) for key in range(KEYS)))
        for _ in range(KILLS)
    ]
    with ThreadPoolExecutor(1) as pool:
        for burst in bursts:
            before = end(broker)
            running = pool.submit(writer.write, burst)
            until(lambda before=before: end(broker) > before + 500, "for the burst to have begun")
            broker.kill()
            assert not running.done()
            broker.start()
            running.result(120)
    writer.close()
    notes: dict[int, list[int]] = {key: [] for key in range(KEYS)}
    for record in read(broker, TOPIC):
        notes[record.row["id"]].append(int(record.row["note"]))
    assert all(seen == [*range(STEPS)] * KILLS for seen in notes.values())


def end(broker: server.Broker) -> int:
    """How many records have arrived."""
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "ends"})
    _, high = consumer.get_watermark_offsets(TopicPartition(TOPIC, 0), timeout=30)
    consumer.close()
    return int(high)
