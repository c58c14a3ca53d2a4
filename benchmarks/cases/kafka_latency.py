"""Commit → Kafka → handler at 1,000 commits a second, against the client's own way through the broker.

What fills the topic, what reads it, what commits, PostgreSQL and the broker share the machine. The broker is warm: the
code of a JVM that has just started is not compiled yet, and what compiles it takes the processors from all the others.
"""

from __future__ import annotations

from benchmarks import orders, topics
from benchmarks.bench import Bench, note
from benchmarks.result import Row
from servers import kafka

NAMES = ("kafka_latency_p50_ms", "kafka_latency_p99_ms")
RATE = 1000
_WARM = 40_000
"""Records that the client alone sends through the broker before anything is measured."""
_REFERENCE = "confluent-kafka, produce to consume alone"


def measure(bench: Bench) -> list[Row]:
    """Ours, then the client alone, on topics of one broker."""
    load = orders.load(bench.server, "kafka_latency", 1000)
    count, warm_up = bench.commits, bench.commits // 5
    pace = {"count": count, "warm_up": warm_up, "rate": RATE}
    with kafka.start(java_options=()) as broker:
        slot, name, other, first = (bench.slot() for _ in range(4))
        for topic in (name, other, first):
            broker.create_topic(f"{topic}.public.orders", topics.PARTITIONS)
        bench.run("kafka_echo", address=broker.address, topic=first, count=_WARM, warm_up=0, rate=RATE)
        run, ours = bench.run("kafka_latency", url=load.url, slot=slot, address=broker.address, topic=name, **pace)
        _, theirs = bench.run("kafka_echo", address=broker.address, topic=other, **pace)
    orders.drop_slot(load, slot)
    reached = orders.rate(load, topics.FIRST + warm_up, count - warm_up)
    told = (
        f"{count - warm_up:,} commits at {reached:,.0f}/s of {RATE:,} asked, from the commit's time stamp; memory and"
        " CPU are the consumer's"
    )
    beside = note({"MB of memory in the process that fills the topic": ours["feeder_rss_mb"]})
    return [
        Row(
            name,
            ours[cut],
            "ms",
            reference=_REFERENCE,
            reference_value=theirs[cut],
            ratio=ours[cut] / theirs[cut],
            cpu_us_per_event=run.cpu_us,
            rss_mb=run.rss_mb,
            note=f"{told}; the broker is warm; {beside}",
        )
        for name, cut in zip(NAMES, ("p50", "p99"), strict=True)
    ]
