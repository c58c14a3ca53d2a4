"""A change that its format cannot carry, in the middle of a transaction of many segments: those before it are on their
way when it is met."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from servers import kafka as server
from tailrace.error import Reject
from tailrace.format import Format
from tailrace.model import Batch, Limits
from tailrace.sink.kafka import Kafka
from tailrace.sink.kafka.transaction import TransactionalWriter
from tests.cli.conftest import Cli
from tests.conformance import protobuf
from tests.fault.row import fault, goes_on
from tests.server.sink.kafka.config import DEAD_LETTERS, toml
from tests.server.sink.kafka.topics import read
from tests.server.subject import Subjects
from tests.unit.sink.feed import LINEAGE, NOTES, Feed
from tests.waiting import until

KEYS = range(10, 40)
BAD = 25
OTHERS = [key for key in KEYS if key != BAD]


@fault(
    "a change has no form in the sink's format",
    "PostgreSQL to sink, with dead letters",
    goes_on("the change is parked, and all others of its transaction arrive in order; with transactions once"),
)
@pytest.mark.parametrize("transactions", [False, True])
def test_what_has_no_form_is_parked_and_the_rest_of_its_transaction_arrives(
    kafka: server.Broker,
    subjects: Callable[[str], Subjects],
    topic: str,
    database: str,
    tmp_path: Path,
    transactions: bool,
) -> None:
    mine, cli = subjects("protobuf"), Cli(tmp_path, os.environ)
    (tmp_path / "shop.toml").write_text(_config(database, kafka, topic, url=mine.url, transactions=transactions))

    def seen() -> list[tuple[int, int]]:
        """Key and version of each event, as they came."""
        rows = []
        for record in read(kafka, f"{topic}.public.lists"):
            assert record.value is not None
            event = protobuf.value(mine.schema(record.value).schema_str or "", record.value[5:])
            rows.append((event["after"]["id"], event["after"]["version"]))
        return rows

    with psycopg.connect(database, autocommit=True) as shop:
        shop.execute("CREATE TABLE lists (id int PRIMARY KEY, version int, note text, tags int[])")
        shop.execute("INSERT INTO lists VALUES (1, 1, '', '{1}')")
        process = cli.start("run", "shop.toml")
        until(lambda: (1, 1) in seen(), "for the snapshot")
        with shop.transaction():
            for key in KEYS:  # a segment has two or three of them
                tags = "{1,NULL}" if key == BAD else "{1,2}"
                shop.execute("INSERT INTO lists VALUES (%s, 1, repeat('x', 2000), %s)", [key, tags])
            shop.execute("UPDATE lists SET version = 2 WHERE id > 1")
        shop.execute("UPDATE lists SET version = 2 WHERE id = 1")
        until(lambda: (1, 2) in seen(), "for what comes behind it")
        process.terminate()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said
    letters = json.loads(cli.run("dead-letters", "list", "shop.toml", "shop", "--json").out)
    assert [letter["op"] for letter in letters] == ["c", "u"]
    assert 'column "tags" (int4[]): a null in an array' in letters[0]["reason"]
    wanted = [(1, 1), *((key, 1) for key in OTHERS), *((key, 2) for key in OTHERS), (1, 2)]
    came = seen()
    assert came == wanted if transactions else list(dict.fromkeys(came)) == wanted
    of = {key: [version for each, version in came if each == key] for key, _ in came}
    assert all((versions[0], versions[-1]) == (1, 2) for versions in of.values())


def _config(database: str, broker: server.Broker, topic: str, *, url: str, transactions: bool) -> str:
    sink = f'transactional_id = "{topic}"\npositions_topic = "{topic}.positions"'
    more = f"""
[pipeline.shop.limits]
segment_bytes = 4096
[pipeline.shop.format]
topic_prefix = "{topic}"
key_converter = "protobuf"
value_converter = "protobuf"
schema_registry_url = "{url}"
"""
    return toml(database, broker, table="lists", transactions=transactions, sink=sink, more=more + DEAD_LETTERS)


@pytest.mark.parametrize("transactions", [False, True])
def test_what_the_broker_says_of_the_segments_before_it_is_not_taken_for_the_next_batchs(
    kafka: server.Broker, topic: str, transactions: bool
) -> None:
    """A compacted topic takes no record without a key: it is refused once the change with no form was met."""
    kafka.create_topic(f"{topic}.public.notes", cleanup_policy="compact")
    sink = Kafka(
        f"kafka://{kafka.address}", format=Format(topic_prefix=topic, profile="flink"), create_topics=True,
        transactions=transactions, transactional_id=topic, positions_topic=f"{topic}.positions",
    )  # fmt: skip
    feed, writer = Feed(), sink.open("p", Limits())
    if isinstance(writer, TransactionalWriter):
        writer.claim(LINEAGE)
    segments = [
        feed.insert(1, 2),
        feed.commit(("c", {"line": "no key"}), table=NOTES),
        feed.commit(("u", {"id": "1", "note": "no old row, which Flink asks for"})),
        feed.insert(3),
    ]
    (batch,) = Batch.merge(segments)
    assert len(list(batch.segments())) == len(segments)
    with pytest.raises(Reject) as refused:
        writer.write(batch)
    assert list(refused.value.reasons) == [3]
    before = [record.row["id"] for record in read(kafka, f"{topic}.public.orders")]
    assert before == ([] if transactions else [1, 2])
    writer.write(feed.insert(4, 5))
    with pytest.raises(Reject) as refused:
        writer.write(batch.without([3]))
    assert list(refused.value.reasons) == [2]
    writer.write(batch.without([2, 3]))
    writer.close()
    came = [record.row["id"] for record in read(kafka, f"{topic}.public.orders", settled=True)]
    # Of a batch that is refused, what was sent comes again; of the next one nothing does.
    assert came == ([4, 5, 1, 2, 3] if transactions else [1, 2, 4, 5, *[1, 2, 3] * 3])
