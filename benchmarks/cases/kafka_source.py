"""Topics that we filled → Python handlers, JSON, PostgreSQL, against the client's plain consume rate on the same topic.

Broker, PostgreSQL and all sides share the machine. Joining the group is in the time of each side.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks import topics
from benchmarks.bench import Bench
from benchmarks.cases.to_postgres import Target
from benchmarks.result import Row, Run, compared, interleaved
from servers import kafka, postgres

NAMES = ("kafka_source_handlers", "kafka_source_json", "kafka_to_postgres")
_REFERENCE = "confluent-kafka, consume alone"
_EQUAL = "SELECT count(*), sum(id), sum(quantity), sum(amount) FROM orders"


def measure(bench: Bench) -> list[Row]:
    """Each side in each round; a replica wants events with schemas, so its topic is another one."""
    with kafka.start(java_options=()) as broker, postgres.start(18) as server:
        plain, typed = (_filled(bench, broker, schemas=schemas) for schemas in (False, True))
        target = Target(server, server.create_database("copy"))

        def side(name: str, topic: str, **arguments: object) -> Callable[[], Run]:
            return lambda: bench.run(name, address=broker.address, topic=topic, group=bench.slot(), **arguments)[0]

        def replica() -> Run:
            target.execute("DROP TABLE IF EXISTS orders")
            target.execute("DROP SCHEMA IF EXISTS tailrace CASCADE")
            run = side("kafka_replica", typed, target=target.url)()
            with_source = Target(bench.server, bench.load.url)
            assert target.execute(_EQUAL) == with_source.execute(_EQUAL), "the copy is not equal to its source"
            return run

        runs = interleaved(
            {
                "handlers": side("kafka_handlers", plain),
                "json": side("kafka_json", plain),
                "plain": side("kafka_consume", plain, count=bench.rows),
                "replica": replica,
                "typed": side("kafka_consume", typed, count=bench.rows),
            },
            bench.pairs,
        )
    rows = [
        compared(
            NAMES[0], runs["handlers"], reference=_REFERENCE, theirs=runs["plain"], note="mappings, one field read"
        ),
        compared(NAMES[1], runs["json"], reference=_REFERENCE, theirs=runs["plain"], note="decoded and encoded again"),
    ]
    note = "events with schemas; the reference only counts the same records"
    return [*rows, compared(NAMES[2], runs["replica"], reference=_REFERENCE, theirs=runs["typed"], note=note)]


def _filled(bench: Bench, broker: kafka.Broker, *, schemas: bool) -> str:
    """What a topic with every row of the load begins with."""
    topic = bench.slot()
    broker.create_topic(f"{topic}.public.orders", topics.PARTITIONS)
    where = {"address": broker.address, "topic": topic, "rows": bench.rows}
    bench.stream("kafka", None, transactions=False, schemas=schemas, **where)
    return topic
