"""What the command line tells at log level debug, librdkafka's own lines included, from PostgreSQL to Kafka and on to
DuckDB: of rows that are refused, too large, tried again or not understood; never a value of theirs, nor a password."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from confluent_kafka.admin import AclOperation, ResourceType, ScramCredentialInfo, ScramMechanism
from confluent_kafka.admin import UserScramCredentialUpsertion as Login

from servers import kafka as server
from servers.postgres import Server
from tests.server.kafka.filling import produce
from tests.server.sink.kafka.topics import read
from tests.waiting import until

CANARY = "canary-7341"
PASSWORDS = {"postgres": "heron-5170", "kafka": "plover-6623"}
TOPIC = "told.public.orders"
PATIENCE_S = 180.0
DEAD_LETTERS = """
[pipeline.{name}.dead_letters]
kind = "file"
path = "{name}.dead.jsonl"
"""


@dataclass
class Told:
    """Runs `tailrace run` in `folder`, and keeps what each run has told."""

    folder: Path
    runs: list[Path] = field(default_factory=list)

    @contextmanager
    def running(self, config: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        path = self.folder / f"{len(self.runs)}.toml"
        path.write_text(config)
        self.runs.append(path.with_suffix(".err"))
        command = [sys.executable, "-m", "tailrace", "run", path.name, "--log-level", "debug", *arguments]
        with self.runs[-1].open("wb") as err:
            process = subprocess.Popen(command, cwd=self.folder, env=os.environ, stdout=err, stderr=err)
        try:
            yield process
        finally:
            process.kill()
            process.wait(PATIENCE_S)

    def ended(self, config: str) -> int:
        """The exit code of a run to the end of what is there."""
        with self.running(config, "--until-current") as process:
            return process.wait(PATIENCE_S)

    @property
    def last(self) -> str:
        """What the last run has told so far."""
        return self.runs[-1].read_text()


def test_no_value_and_no_password_is_told_on_the_roads_of_kafka(
    start_postgres: Callable[..., Server], start_kafka: Callable[..., server.Broker], tmp_path: Path
) -> None:
    source, broker, told = start_postgres(), start_kafka(secure=True), Told(tmp_path)
    _let_in(broker)
    broker.create_topic(TOPIC, max_message_bytes="4000")
    with psycopg.connect(source.url, autocommit=True) as shop:
        shop.execute(f"CREATE ROLE cdc LOGIN SUPERUSER PASSWORD '{PASSWORDS['postgres']}' IN ROLE by_password")
        shop.execute("CREATE TABLE orders (id int PRIMARY KEY, note text, amount numeric(5,2) NOT NULL DEFAULT 1)")
        shop.execute("INSERT INTO orders VALUES (1, %s, 1)", [CANARY])
        _fill(shop, broker, source, told)
    _empty(broker, told)
    said = "".join(path.read_text() for path in told.runs)
    for secret in (CANARY, *PASSWORDS.values()):
        assert secret not in said, [line for line in said.splitlines() if secret in line][:5]


def _fill(shop: psycopg.Connection[tuple[object, ...]], broker: server.Broker, source: Server, told: Told) -> None:
    """PostgreSQL to Kafka: a row that is refused, one that is too large, one that is tried again."""
    config = _to_kafka(source, broker)
    assert told.ended(config) == 0, told.last
    shop.execute("INSERT INTO orders VALUES (2, %s, 'NaN')", [CANARY])
    assert told.ended(config) == 5, told.last
    _tells(told, 'column \\"amount\\"', "Traceback")
    with told.running(config + DEAD_LETTERS.format(name="write")) as process:
        _until_told(told, process, "parked 1 change(s)")
        _tells(told, 'column \\"amount\\"', "librdkafka", "SASL")
        large = "SELECT %s || string_agg(md5(n::text), '') FROM generate_series(1, 1000) n"
        shop.execute(f"INSERT INTO orders VALUES (3, ({large}))".encode(), [CANARY])
        _until_told(told, process, f"topic {TOPIC} takes 4000")
        broker.kill()
        shop.execute("INSERT INTO orders VALUES (4, %s)", [CANARY])
        silent = f"topic {TOPIC}: Kafka has acknowledged nothing for"
        for words in (silent, "trying again in", "the cause: ", "Connection refused"):
            _until_told(told, process, words)
        broker.start()
        until(lambda: 4 in [record.row["id"] for record in read(broker, TOPIC)], "for it", timeout_s=PATIENCE_S)
        process.terminate()
        assert process.wait(PATIENCE_S) == 143, told.last


def _empty(broker: server.Broker, told: Told) -> None:
    """Kafka to DuckDB: a record that is not understood, without dead letters and with them."""
    produce(broker, TOPIC, [(f'{{"id":"{CANARY}"}}'.encode(), f'{{"after":{{"note":"{CANARY}"'.encode())])
    config = _from_kafka(broker, told.folder)
    assert told.ended(config) == 1, told.last
    _tells(told, f"a record is not understood: topic {TOPIC}, partition 0, offset", "Traceback", "SASL")
    assert told.ended(config + DEAD_LETTERS.format(name="read")) == 0, told.last
    _tells(told, f"parked a record that is not understood: topic {TOPIC}, partition 0, offset")


def _until_told(told: Told, process: subprocess.Popen[bytes], words: str) -> None:
    def heard() -> bool:
        assert process.poll() is None, told.last
        return words in told.last

    until(heard, f"for {words!r}", timeout_s=PATIENCE_S)


def _tells(told: Told, *words: str) -> None:
    assert [each for each in words if each not in told.last] == [], told.last


def _let_in(broker: server.Broker) -> None:
    """A user of its own, whose password is no word of anything else."""
    admin, known = broker.admin(), ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    login = Login("reader", known, PASSWORDS["kafka"].encode(), os.urandom(16))
    admin.alter_user_scram_credentials([login])["reader"].result(60)
    rights = (AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS)
    broker.allow("reader", ResourceType.TOPIC, "told", *rights, prefixed=True)
    broker.allow("reader", ResourceType.GROUP, "told", AclOperation.READ)


def _url(broker: server.Broker, query: Mapping[str, str]) -> str:
    assert broker.secure is not None
    login = {"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512"}
    login |= {"ssl.ca.location": str(broker.secure.authority), "debug": "conf,security,broker,topic,msg,cgrp,fetch"}
    words = "&".join(f"{name}={value}" for name, value in {**login, **query}.items())
    return f"kafka://reader:{PASSWORDS['kafka']}@{broker.secure.sasl_tls}?{words}"


def _to_kafka(source: Server, broker: server.Broker) -> str:
    return f"""
[pipeline.write.source]
kind = "postgres"
url = "{source.dsn(user="cdc", password=PASSWORDS["postgres"])}"
tables = ["public.orders"]
[pipeline.write.sink]
kind = "kafka"
url = "{_url(broker, {})}"
delivery_timeout_s = 5
format.topic_prefix = "told"
"""


def _from_kafka(broker: server.Broker, folder: Path) -> str:
    return f"""
[pipeline.read]
sink = "duckdb:{folder / "shop.duckdb"}"
[pipeline.read.source]
kind = "kafka"
url = "{_url(broker, {"group": "told"})}"
topics = ["{TOPIC}"]
"""
