"""`App("kafka://…")`: the same functions as on a database, retried, parked and replayed."""

from __future__ import annotations

import dataclasses
import json
import os
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

import tailrace as tr
from servers.kafka import Broker
from tailrace import Pipeline
from tailrace.error import ConfigError, Refused
from tailrace.format import Format
from tailrace.model import Limits
from tailrace.sink.kafka import Kafka
from tests.cli.conftest import Cli
from tests.server.kafka.filling import event, fill, produce

QUICK = Limits(backoff_s_max=0.01)


@dataclasses.dataclass
class Order:
    id: int
    token: UUID
    amount: Decimal
    at: datetime


def url(broker: Broker, topic: str) -> str:
    return f"kafka://{broker.address}/{topic}?group={topic}"


def noting(app: tr.App) -> list[tuple[str, int, Order | None, Order | None]]:
    """Register functions for each op; what they are given is added to the list."""
    seen: list[tuple[str, int, Order | None, Order | None]] = []

    @app.on("public.orders", op="cr")
    def add(change: tr.Change[Order]) -> None:
        assert change.key is not None
        seen.append(("add", change.key["id"], None, change.after))

    @app.on("public.orders", op="u")
    async def update(change: tr.Change[Order]) -> None:
        assert change.key is not None
        seen.append(("update", change.key["id"], change.before, change.after))

    @app.on("public.orders", op="d")
    def remove(changes: list[tr.Change[Order]]) -> None:
        seen.extend(("remove", change.key["id"], change.before, None) for change in changes if change.key)

    return seen


def test_the_same_functions_get_the_same_rows_from_the_database_and_from_the_topic(
    kafka: Broker, topic: str, database: str, tmp_path: Path
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE orders (id int PRIMARY KEY, token uuid, amount numeric(9,2), at timestamptz, note text)"
        )
        connection.execute("ALTER TABLE orders REPLICA IDENTITY FULL")
        row = "'6f1c1f0e-0000-4000-8000-000000000001', 1.50, '2026-01-02 03:04:05.678+00', 'a note'"
        connection.execute(f"INSERT INTO orders VALUES (1, {row}), (2, {row})".encode())
        direct = tr.App(database, name="direct")
        form = Format(topic_prefix=topic, schemas_enable=True)
        source = tr.source.Postgres(database, tables=["public.orders"])
        sink = Kafka(f"kafka://{kafka.address}", format=form, create_topics=True)
        through = tr.App(url(kafka, f"{topic}.public.orders"), name="through")
        found, wanted = noting(through), noting(direct)
        for statement in ("SELECT 1", "UPDATE orders SET amount = 2 WHERE id = 1", "DELETE FROM orders WHERE id = 2"):
            connection.execute(statement.encode())
            direct.pipeline(state_dir=tmp_path).run(until_current=True)
            Pipeline(source, sink, name="fill", state_dir=tmp_path).run(until_current=True)
            through.pipeline(state_dir=tmp_path).run(until_current=True)
    assert [line[:2] for line in wanted] == [("add", 1), ("add", 2), ("update", 1), ("remove", 2)]
    assert wanted[0][3] == Order(
        1, UUID("6f1c1f0e-0000-4000-8000-000000000001"), Decimal("1.50"), datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
    )
    assert found == wanted


def test_what_fails_is_tried_again_then_parked_and_replayed(kafka: Broker, topic: str, tmp_path: Path) -> None:
    cli = Cli(tmp_path, os.environ)
    kafka.create_topic(topic)
    fill(kafka, topic, range(4))
    produce(kafka, topic, [(json.dumps({"id": 2}).encode(), event("u", after={"id": 2, "n": 20}))])
    letters = tmp_path / "dead.jsonl"
    app = tr.App(url(kafka, topic), name="search", dead_letters=tr.DeadLetterFile(letters), limits=QUICK)
    done: list[tuple[int, int]] = []
    tries: dict[int, int] = {}
    broken = {2}

    @app.on("public.orders", retries=3)
    def note(change: tr.Change) -> None:
        after: Any = change.after
        tries[after["id"]] = tries.get(after["id"], 0) + 1
        if after["id"] in broken or (after["id"] == 1 and tries[1] < 3):
            raise OSError("not now")
        done.append((after["id"], after["n"]))

    app.pipeline(state_dir=tmp_path).run(until_current=True)
    assert done == [(0, 0), (1, 1), (3, 3)]
    assert (tries[1], tries[2]) == (3, 4)
    listed = cli.run("dead-letters", "list", str(letters), "--json")
    assert [letter["op"] for letter in json.loads(listed.out)] == ["c", "u"]  # the second is behind the first
    broken.clear()
    assert cli.run("dead-letters", "replay", str(letters)).code == 75  # asked for: the App does it when it runs
    app.pipeline(state_dir=tmp_path).run(until_current=True)
    assert done[3:] == [(2, 2), (2, 20)]


def test_without_dead_letters_it_stops_there_and_goes_on_there(kafka: Broker, topic: str, tmp_path: Path) -> None:
    kafka.create_topic(topic)
    fill(kafka, topic, range(3))
    done: list[int] = []

    def app(*, broken: bool) -> tr.App:
        made = tr.App(url(kafka, topic), name="search", limits=QUICK)

        @made.on("public.orders", retries=0)
        def note(change: tr.Change) -> None:
            assert change.key is not None
            if broken and change.key["id"] == 1:
                raise tr.Reject("not this one")
            done.append(change.key["id"])

        return made

    with pytest.raises(Refused):
        app(broken=True).pipeline(state_dir=tmp_path).run(until_current=True)
    app(broken=False).pipeline(state_dir=tmp_path).run(until_current=True)
    assert done[-2:] == [1, 2]  # at least once: what was done before the stop may come again
    assert done.count(1) == 1


def test_tables_are_not_asked_of_a_topic() -> None:
    app = tr.App("kafka://broker:9092/shop.public.orders", name="search", tables=["public.orders"])
    noting(app)
    with pytest.raises(ConfigError, match="names tables, and its source has none"):
        app.pipeline()
