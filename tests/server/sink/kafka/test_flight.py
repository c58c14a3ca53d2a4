"""Many requests of one partition are in flight when the connection to their broker is lost: it has written them, and
what it says of them does not come. Each record is there once, in order; without an idempotent producer it comes
twice."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from servers import kafka as server
from servers.proxy import Proxy, Way
from tailrace.format import Format
from tailrace.model import Limits
from tailrace.sink.kafka import Kafka
from tests.server.sink.kafka.topics import read
from tests.unit.sink.feed import Feed
from tests.waiting import until

TOPIC = "t.public.orders"
KEYS, STEPS, LOST = 20, 200, 100
MARK = f"lost {LOST}"
"""In each update of one step: more than one read of the proxy's could cut in two."""


def test_what_a_broker_has_written_and_could_not_acknowledge_comes_once_and_in_order(
    start_kafka: Callable[..., server.Broker],
) -> None:
    broker = start_kafka()
    with Proxy("127.0.0.1", broker.port) as proxy:
        broker.kill()
        broker.configure({"advertised.listeners": f"PLAINTEXT://127.0.0.1:{proxy.port}"})
        broker.start()
        broker.create_topic(TOPIC)
        log = broker.folder / "data" / f"{TOPIC}-0" / f"{0:020}.log"
        sink = Kafka(
            f"kafka://{broker.address}",
            format=Format(topic_prefix="t"),
            compression="none",
            options={"batch.size": "2000"},
        )
        writer, feed = sink.open("p", Limits()), Feed()
        notes = [f"lost {step}" for step in range(STEPS)]
        burst = feed.commit(*(("u", {"id": str(key), "note": note}) for note in notes for key in range(KEYS)))
        proxy.stall_at(MARK.encode(), Way.TO_CLIENT)
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(writer.write, burst)
            until(lambda: proxy.stalled and MARK.encode() in log.read_bytes(), "for it to be written")
            assert not running.done()
            proxy.cut()
            proxy.resume()
            running.result(120)
        writer.close()
        seen: dict[int, list[str]] = {key: [] for key in range(KEYS)}
        for record in read(broker, TOPIC):
            seen[record.row["id"]].append(record.row["note"])
    assert all(each == notes for each in seen.values())
