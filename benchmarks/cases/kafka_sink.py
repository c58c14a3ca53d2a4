"""Stream → a real broker, JSON, lz4, idempotent, against the client's plain produce rate; Debezium in Connect too.

Broker, PostgreSQL and both sides share the machine.
"""

from __future__ import annotations

from benchmarks import topics
from benchmarks.bench import Bench
from benchmarks.result import Row, Run, compared, interleaved
from servers import kafka

NAMES = ("kafka_sink", "kafka_sink_transactions")
_REFERENCE = "confluent-kafka, produce alone"


def measure(bench: Bench) -> list[Row]:
    """The pairs, and the rival if asked for."""
    with kafka.start(java_options=()) as broker:

        def ours(*, transactions: bool = False) -> Run:
            return bench.stream(
                "kafka", address=broker.address, topic=_topic(bench, broker), transactions=transactions, rows=bench.rows
            )[0]

        def theirs() -> Run:
            return bench.run("kafka_produce", address=broker.address, topic=_topic(bench, broker), count=bench.rows)[0]

        def both() -> Run:
            return ours(transactions=True)

        ours()  # the broker's JVM warms up
        runs = interleaved({"ours": ours, "both": both, "theirs": theirs}, bench.pairs)
        rows = [
            compared(NAMES[0], runs["ours"], reference=_REFERENCE, theirs=runs["theirs"]),
            compared(NAMES[1], runs["both"], reference=_REFERENCE, theirs=runs["theirs"]),
        ]
        if bench.rivals:
            rival = topics.debezium(bench, broker)
            rows.append(compared("debezium_kafka_sink", [rival], reference=_REFERENCE, theirs=runs["theirs"][:1]))
    return rows


def _topic(bench: Bench, broker: kafka.Broker) -> str:
    prefix = bench.slot()
    broker.create_topic(f"{prefix}.public.orders", topics.PARTITIONS)
    return prefix
