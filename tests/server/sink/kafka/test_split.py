"""Above the sink's limit, on the whole road, and killed on the way: a transaction of PostgreSQL, an error or split, and
many small ones that came together."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import closing
from pathlib import Path

import psycopg
from confluent_kafka import Consumer, KafkaException, TopicPartition

from servers import kafka as server
from tests.cli.conftest import Cli
from tests.server.sink.kafka.config import toml
from tests.server.sink.kafka.topics import end_of, read
from tests.waiting import until

ROWS = range(1000, 41000)
LIMIT = 64 << 10
SMALL = 20


def test_a_split_transaction_that_is_killed_between_its_parts_is_whole_in_the_end_and_all_others_come_once(
    kafka: server.Broker, topic: str, database: str, tmp_path: Path
) -> None:
    cli, config, name = Cli(tmp_path, os.environ), tmp_path / "shop.toml", f"{topic}.public.orders"
    config.write_text(_config(database, kafka, topic, split=False))
    with psycopg.connect(database, autocommit=True) as shop:
        shop.execute("CREATE TABLE orders (id int PRIMARY KEY, note text)")
        shop.execute("INSERT INTO orders VALUES (1, 'one')")
        first = cli.run("run", "shop.toml", "--until-current")
        assert first.code == 0, first.err
        shop.execute("INSERT INTO orders VALUES (2, 'before')")
        shop.execute(
            "INSERT INTO orders SELECT n, repeat('x', 200) FROM generate_series(%s::int, %s) n", [ROWS[0], ROWS[-1]]
        )
        shop.execute("INSERT INTO orders VALUES (3, 'behind')")
    refused = cli.run("run", "shop.toml", "--until-current")
    assert refused.code == 1, refused.err
    assert f"one of Kafka's may hold {LIMIT}" in refused.err and "split_transactions = true" in refused.err
    assert _keys(kafka, name) == [1, 2]
    config.write_text(_config(database, kafka, topic, split=True))
    with closing(Consumer({"bootstrap.servers": kafka.address, "group.id": topic})) as measure:
        place = TopicPartition(name, 0)

        def end() -> int:
            return end_of(measure, place)

        before = end()
        process = cli.start("run", "shop.toml")
        until(lambda: end() > before + 1_000, "for some of its parts")  # a part has some 110 rows
        process.kill()
    process.communicate(timeout=60)
    finished = cli.run("run", "shop.toml", "--until-current")
    assert finished.code == 0, finished.err
    came = _keys(kafka, name)
    parts = came[2 : -len(ROWS) - 1]  # a commit that was asked for before the kill may be carried out after it
    assert came == [1, 2, *parts, *ROWS, 3]  # the whole comes again, in its order, and nothing else does
    assert 0 < len(parts) < len(ROWS)
    assert parts == list(ROWS[: len(parts)])
    assert {key for key, count in Counter(came).items() if count > 1} == set(parts)


def test_small_transactions_that_come_together_above_the_limit_come_once_each_whatever_is_killed_between_them(
    kafka: server.Broker, topic: str, database: str, tmp_path: Path
) -> None:
    cli, config, name = Cli(tmp_path, os.environ), tmp_path / "shop.toml", f"{topic}.public.orders"
    config.write_text(_config(database, kafka, topic, split=False))
    with psycopg.connect(database, autocommit=True) as shop:
        shop.execute("CREATE TABLE orders (id int PRIMARY KEY, note text)")
        first = cli.run("run", "shop.toml", "--until-current")
        assert first.code == 0, first.err
        for begin in range(ROWS[0], ROWS[-1], SMALL):
            shop.execute(
                "INSERT INTO orders SELECT n, repeat('x', 200) FROM generate_series(%s::int, %s) n",
                [begin, begin + SMALL - 1],
            )
    with closing(Consumer({"bootstrap.servers": kafka.address, "group.id": topic})) as measure:
        place = TopicPartition(name, 0)

        def written(rows: int) -> bool:
            try:
                return int(measure.get_watermark_offsets(place, timeout=60)[1]) > rows
            except KafkaException:  # the topic has just been made: its leader does not lead yet
                return False

        process = cli.start("run", "shop.toml")
        until(lambda: name in measure.list_topics(timeout=30).topics and written(1_000), "for some of them")
        process.kill()
        process.communicate(timeout=60)
        assert not written(len(ROWS)), "it was killed too late"
    finished = cli.run("run", "shop.toml", "--until-current")
    assert finished.code == 0, finished.err
    assert _keys(kafka, name) == list(ROWS)


def _keys(broker: server.Broker, name: str) -> list[int]:
    return [record.row["id"] for record in read(broker, name, settled=True)]


def _config(database: str, broker: server.Broker, topic: str, *, split: bool) -> str:
    sink = f"""
positions_topic = "{topic}.positions"
transactional_id = "{topic}"
transaction_bytes_max = {LIMIT}
split_transactions = {str(split).lower()}
format.topic_prefix = "{topic}"
"""
    limits = "[pipeline.shop.limits]\nsegment_bytes = 16384\nbatch_bytes_max = 32768"
    return toml(database, broker, transactions=True, sink=sink, more=limits)
