"""A change above the broker's own limit, on the whole road from PostgreSQL: it is parked and its key behind it, all
others go on, and a replay delivers once the broker takes more."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from servers import kafka as server
from tests.cli.conftest import Cli
from tests.fault.row import fault, goes_on
from tests.server.sink.kafka.config import DEAD_LETTERS, toml
from tests.server.sink.kafka.topics import read
from tests.waiting import until

TOPIC = "t.public.orders"


@fault(
    "a change is larger than the broker takes",
    "PostgreSQL to sink, with dead letters",
    goes_on("the change is parked, and later ones of its key behind it; a replay delivers them in order once it fits"),
)
@pytest.mark.parametrize("transactions", [False, True])
@pytest.mark.parametrize("stopped", [False, True])
def test_what_the_broker_refuses_is_parked_with_its_key_and_arrives_when_the_broker_takes_more(
    start_kafka: Callable[..., server.Broker], database: str, tmp_path: Path, transactions: bool, stopped: bool
) -> None:
    broker = start_kafka(settings={"message.max.bytes": "20000"})
    cli = Cli(tmp_path, os.environ)
    (tmp_path / "shop.toml").write_text(_config(database, broker, transactions=transactions))
    with psycopg.connect(database, autocommit=True) as shop:
        shop.execute("CREATE TABLE orders (id int PRIMARY KEY, note text)")
        shop.execute("INSERT INTO orders VALUES (1, 'one'), (2, 'two'), (3, 'three')")
        process = cli.start("run", "shop.toml")
        until(lambda: len(_seen(broker)) == 3, "for the snapshot")
        with shop.transaction():
            shop.execute("UPDATE orders SET note = 'before' WHERE id = 1")
            # Not to be compressed, and above what any topic takes that says nothing of its own.
            shop.execute(
                "UPDATE orders SET note = (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 1000) n)"
                " WHERE id = 2"
            )
            shop.execute("UPDATE orders SET note = 'beside' WHERE id = 3")
        shop.execute("UPDATE orders SET note = 'small again' WHERE id = 2")
        shop.execute("DELETE FROM orders WHERE id = 2")
        shop.execute("INSERT INTO orders VALUES (2, 'anew')")
        shop.execute("UPDATE orders SET note = 'after' WHERE id = 3")
        until(lambda: (3, "after") in _seen(broker), "for what comes behind it")
        assert _of(broker, 2) == ["two"]
        assert [_of(broker, key)[1:] for key in (1, 3)] == [["before"], ["beside", "after"]]
        refused = cli.run("dead-letters", "replay", "shop.toml", "shop")
        assert (refused.code, "replayed 0, still parked 4" in refused.out) == (5, True), refused.out + refused.err
        letters = json.loads(cli.run("dead-letters", "list", "shop.toml", "shop", "--json").out)
        assert [letter["op"] for letter in letters] == ["u", "u", "d", "c"]
        assert f"topic {TOPIC} takes 20000" in letters[0]["reason"]
        if stopped:
            process.terminate()
            process.communicate(timeout=60)
        _raise_limit(broker, 1_000_000)
        replayed = cli.run("dead-letters", "replay", "shop.toml", "shop")
        assert (replayed.code, replayed.out) == (0, "replayed 4, still parked 0\n"), replayed.err
        until(lambda: "anew" in _of(broker, 2), "for what was replayed")
        notes = _of(broker, 2)
        assert [note and len(note) for note in notes] == [3, 32_000, len("small again"), None, len("anew")]
        shop.execute("UPDATE orders SET note = 'free' WHERE id = 2")
        if stopped:
            process = cli.start("run", "shop.toml")
        until(lambda: (2, "free") in _seen(broker), "for its key to be free again")
        assert _of(broker, 2) == [*notes, "free"]
        assert _of(broker, 1) == ["one", "before"] and _of(broker, 3) == ["three", "beside", "after"]
        process.terminate()
        _, said = process.communicate(timeout=60)
        assert process.returncode == 143, said


def _config(database: str, broker: server.Broker, *, transactions: bool) -> str:
    prefix = 'format.topic_prefix = "t"'
    return toml(database, broker, transactions=transactions, sink=prefix, more=DEAD_LETTERS)


def _seen(broker: server.Broker) -> list[tuple[int, str | None]]:
    """Key and note of each event, in order of its key; a delete has no note, and tombstones are left out."""
    return [(record.row["id"], record.row["note"]) for record in read(broker, TOPIC) if record.value is not None]


def _of(broker: server.Broker, key: int) -> list[str | None]:
    return [note for each, note in _seen(broker) if each == key]


def _raise_limit(broker: server.Broker, nbytes: int) -> None:
    """For all topics that say nothing of their own; as an operator would, without a restart."""
    admin = broker.admin()
    entry = ConfigEntry("message.max.bytes", str(nbytes), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.BROKER, "1", incremental_configs=[entry])
    admin.incremental_alter_configs([resource])[resource].result(30)
    until(lambda: broker.topic_config(TOPIC)["max.message.bytes"] == str(nbytes), "for the broker to take more")
