"""Topics that are framed for a schema registry, through the Kafka source: equal changes, and what cannot be read."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import tailrace as tr
from servers import registry as servers_registry
from servers.kafka import Broker
from servers.process import free_port
from tailrace._native import BatchBuilder
from tailrace.contract import Transform
from tailrace.dead_letters.journal import read_all
from tailrace.dead_letters.letter import Letter
from tailrace.dead_letters.request import Action, submit
from tailrace.error import ConfigError, Fatal, Retryable
from tailrace.format import Format
from tailrace.model import Batch, Column, Limits, Table
from tailrace.sink.kafka import Kafka as KafkaSink
from tailrace.source.kafka import Kafka, SchemaRegistry
from tailrace.transform import map_changes
from tests.server.kafka.filling import event, fill, produce

ORDERS = Table(
    "public",
    "orders",
    [
        Column("id", "int8", nullable=False),
        Column("amount", "numeric(9,2)"),
        Column("at", "timestamptz"),
        Column("token", "uuid"),
        Column("raw", "bytea"),
        Column("note", "text"),
    ],
    key=["id"],
)
TEXTS = {
    "id": "1",
    "amount": "12.50",
    "at": "2026-01-02 03:04:05.678+00",
    "token": "6f1c1f0e-0000-4000-8000-000000000001",
    "raw": "\\x00ff",
    "note": "a",
}
ROW = {
    "id": 1,
    "amount": Decimal("12.50"),
    "at": datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC),
    "token": UUID(TEXTS["token"]),
    "raw": b"\x00\xff",
    "note": "a",
}
Seen = list[tuple[str, Any, Any, Any]]


def batch() -> Batch:
    """A row that is made, changed and deleted."""
    builder = BatchBuilder("postgres/0/test/kafka", database="shop")
    builder.begin(xid=1, lsn=1 << 24, committed_at_us=1_767_225_600_123_456)
    builder.add("c", ORDERS, after=TEXTS)
    builder.add("u", ORDERS, before=TEXTS, after={**TEXTS, "note": None})
    builder.add("d", ORDERS, before={**TEXTS, "note": None})
    builder.commit()
    return builder.take()


def write(broker: Broker, topic: str, **options: Any) -> str:
    """Have the sink write them in a format; returns the topic."""
    form = Format(topic_prefix=topic, **options)
    writer = KafkaSink(f"kafka://{broker.address}", format=form, create_topics=True).open("p", Limits())
    try:
        writer.write(batch())
    finally:
        writer.close()
    return f"{topic}.public.orders"


def framed_as(form: str, registry: servers_registry.Server) -> dict[str, str]:
    return {"key_converter": form, "value_converter": form, "schema_registry_url": registry.url}


def read(
    source: str | Kafka,
    folder: Path,
    seen: Seen,
    *,
    dead_letters: tr.DeadLetterFile | None = None,
    transforms: Sequence[Transform] = (),
) -> None:
    """Add what the source brings."""
    app = tr.App(source, name="p", dead_letters=dead_letters)

    @app.on("public.*")
    def note(change: tr.Change) -> None:
        rows = (change.key, change.before, change.after)
        seen.append((change.op, *(row and dict(row) for row in rows)))  # type: ignore[arg-type]

    pipeline = app.pipeline(state_dir=folder)
    pipeline.transforms = transforms
    pipeline.run(until_current=True, retry=False)


@pytest.mark.parametrize("form", ["avro", "json_schema"])
def test_framed_and_plain_json_of_the_same_changes_are_read_as_equal(
    kafka: Broker, registry: servers_registry.Server, topic: str, tmp_path: Path, form: str
) -> None:
    json = write(kafka, f"{topic}.json", schemas_enable=True)
    framed = write(kafka, f"{topic}.{form}", **framed_as(form, registry))
    url = f"kafka://{kafka.address}/"
    plain: Seen = []
    read(f"{url}{json}?group={json}", tmp_path / "json", plain)
    by_url: Seen = []
    read(f"{url}{framed}?group={framed}&schema_registry_url={registry.url}", tmp_path / "framed", by_url)
    by_table: Seen = []
    source = Kafka(url, topics=[framed], group=f"{topic}.table", registry=SchemaRegistry(registry.url))
    read(source, tmp_path / "table", by_table)
    assert by_url == [
        ("c", {"id": 1}, None, ROW),
        ("u", {"id": 1}, ROW, {**ROW, "note": None}),
        ("d", {"id": 1}, {**ROW, "note": None}, None),
    ]
    assert by_table == by_url == plain


def test_nothing_is_lost_while_the_registry_is_down(
    kafka: Broker, registry: servers_registry.Server, topic: str, tmp_path: Path
) -> None:
    framed = write(kafka, topic, **framed_as("avro", registry))
    url = f"kafka://{kafka.address}/{framed}?group={topic}&schema_registry_url="
    seen: Seen = []
    with pytest.raises(Retryable, match=r"schema registry .* does not answer"):
        read(f"{url}http://127.0.0.1:{free_port()}", tmp_path, seen)
    assert seen == []
    read(url + registry.url, tmp_path, seen)
    assert [line[0] for line in seen] == ["c", "u", "d"]


@pytest.mark.parametrize("known", [True, False], ids=["an id that it does not know", "no registry"])
def test_a_schema_that_nobody_knows_stops_behind_what_was_before(
    kafka: Broker, registry: servers_registry.Server, topic: str, tmp_path: Path, known: bool
) -> None:
    kafka.create_topic(topic)
    fill(kafka, topic, range(3))
    produce(kafka, topic, [(None, b"\x00\x7f\xff\xff\xff" + event("c", after={"id": 3, "secret": "value"}))])
    fill(kafka, topic, range(4, 6))
    source = Kafka(
        f"kafka://{kafka.address}/{topic}", group=topic, registry=SchemaRegistry(registry.url) if known else None
    )
    seen: Seen = []
    with pytest.raises(Fatal, match=f"topic {topic}, partition 0, offset 3: .*2147483647") as caught:
        read(source, tmp_path, seen)
    assert [line[1] for line in seen] == [{"id": 0}, {"id": 1}, {"id": 2}]
    assert "secret" not in str(caught.value)
    assert "schema_registry_url" in str(caught.value.hint)


def test_records_of_an_unknown_schema_are_parked_and_read_again_once_a_registry_knows_it(
    kafka: Broker, registry: servers_registry.Server, topic: str, tmp_path: Path
) -> None:
    framed = write(kafka, topic, **framed_as("avro", registry))
    produce(kafka, framed, [(None, b"\x00\x7f\xff\xff\xff of a schema that there is nowhere")])
    letters, seen = tmp_path / "dead.jsonl", list[tuple[str, Any, Any, Any]]()

    def run(url: str | None) -> None:
        found = None if url is None else SchemaRegistry(url)
        made = Kafka(f"kafka://{kafka.address}/{framed}", group=topic, registry=found)
        read(made, tmp_path, seen, dead_letters=tr.DeadLetterFile(letters), transforms=[shout])

    def replay(url: str) -> list[Letter]:
        submit(letters, Action.REPLAY, None)
        run(url)
        return read_all(letters)

    run(None)
    assert (len(read_all(letters)), seen) == (5, [])  # with a tombstone
    left = replay(f"http://127.0.0.1:{free_port()}")
    assert (len(left), seen) == (5, [])
    assert all("does not answer" in letter.reason for letter in left)
    left = replay(registry.url)
    assert [line[0] for line in seen] == ["c", "u", "d"]
    assert seen[0][3] == ROW | {"note": "A"}
    assert [int(letter.position) for letter in left] == [4]
    assert "2147483647" in left[0].reason
    run(registry.url)
    assert len(seen) == 3


def test_a_record_that_was_parked_without_its_topic_stays(kafka: Broker, topic: str, tmp_path: Path) -> None:
    builder = BatchBuilder("kafka/c/t/0", connector="kafka")
    builder.begin(xid=0, committed_at_us=0, at="0" * 20)
    builder.message("tailrace.unreadable", b'{"key": null, "value": "ew==", "timestamp_ms": 0}', transactional=True)
    builder.commit()
    letters = tr.DeadLetterFile(tmp_path / "dead.jsonl")
    with contextlib.closing(letters.open("p", Limits())) as opened:
        opened.park(builder.take(), {0: "why"}, transform="source")
    kafka.create_topic(topic)
    fill(kafka, topic, [0])
    submit(letters.path, Action.REPLAY, None)
    seen: Seen = []
    read(Kafka(f"kafka://{kafka.address}/{topic}", group=topic), tmp_path, seen, dead_letters=letters)
    [letter] = read_all(letters.path)
    assert "write it anew, and drop this one" in letter.reason
    assert len(seen) == 1


def shout(batch: Batch) -> Batch:
    """A transform that shows that it has seen what came again."""

    def louder(change: tr.Change) -> tr.Change:
        after: Any = change.after
        return (
            change if after is None or after["note"] is None else change.replace(after={"note": after["note"].upper()})
        )

    return map_changes(louder)(batch)


def test_a_registry_is_named_once() -> None:
    with pytest.raises(ConfigError, match="stands in the URL and in registry"):
        Kafka("kafka://b:9092/a?schema_registry_url=http://r", registry=SchemaRegistry("http://r"))
    assert Kafka("kafka://b:9092/a?schema_registry_url=http://r").settings() == Kafka("kafka://b:9092/a").settings()
