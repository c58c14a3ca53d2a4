"""What our own sink wrote is read back as what it was, whatever form it has; or it is refused by name."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import duckdb
import pytest

from servers.kafka import Broker
from tailrace import Pipeline
from tailrace._native import BatchBuilder
from tailrace.dead_letters import File
from tailrace.dead_letters.journal import read_all
from tailrace.dead_letters.request import Action, submit
from tailrace.error import Fatal
from tailrace.format import Format
from tailrace.model import Batch, Column, Limits, Severity, Table
from tailrace.sink.duckdb import DuckDB
from tailrace.sink.kafka import Kafka as Sink
from tailrace.source.kafka import Kafka
from tests.cli.conftest import Cli
from tests.server.sink.kafka.topics import read
from tests.waiting import until

ORDERS = Table("public", "orders", [Column("id", "int8", nullable=False), Column("note", "text")], key=["id"])
LARGE = "x" * 5_000


def history(note: str = "c") -> Batch:
    """Two rows, of which one is changed and one goes."""
    builder = BatchBuilder("postgres/0/test/kafka")
    builder.begin(xid=1, lsn=1 << 24, committed_at_us=1_767_225_600_123_456)
    builder.add("c", ORDERS, after={"id": "1", "note": "a"})
    builder.add("c", ORDERS, after={"id": "2", "note": "b"})
    builder.add("u", ORDERS, after={"id": "1", "note": note})
    builder.add("d", ORDERS, before={"id": "2"})
    builder.commit()
    return builder.take()


def write(broker: Broker, topic: str, batch: Batch, *, folder: Path | None = None, **options: Any) -> None:
    made = Format(topic_prefix=topic, **options)
    writer = Sink(f"kafka://{broker.address}", format=made, create_topics=True, claim_check=folder).open("w", Limits())
    try:
        writer.write(batch)
        if "heartbeat_interval_ms" in options:  # the first batch only begins the interval
            beats = f"{topic}.beats"
            until(lambda: writer.write(Batch.progress(*batch.positions)) or read(broker, beats), "for a heartbeat")
    finally:
        writer.close()


def replicate(
    broker: Broker, topic: str, folder: Path, letters: File | None = None, *, claims: Path | None = None
) -> None:
    source = Kafka(f"kafka://{broker.address}?group={topic}", topics=[f"{topic}.*"], claim_check=claims)
    target = DuckDB(folder / "shop.duckdb")
    made = Pipeline(source, target, name="p", state_dir=folder, dead_letters=letters)
    made.run(until_current=True, retry=False)


def tables(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every table of the target, as `schema.table(columns)`, with its rows."""
    with duckdb.connect(str(folder / "shop.duckdb"), read_only=True) as connection:
        found = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema <> '_tailrace'"
        ).fetchall()
        told = {}
        for schema, table in found:
            rows = connection.execute(f'SELECT * FROM "{schema}"."{table}" ORDER BY 1')
            columns = ", ".join(column[0] for column in rows.description or ())
            told[f"{schema}.{table}({columns})"] = rows.fetchall()
        return told


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"schemas_enable": True},
        {"profile": "payload"},
        {"profile": "flat"},
        {"profile": "flat", "schemas_enable": True},
        {"profile": "flink"},
        {"profile": "cloudevents", "provide_transaction_metadata": False},
        {"profile": "cloudevents_binary", "provide_transaction_metadata": False},
        {"profile": "cloudevents_binary", "schemas_enable": True},
    ],
    ids=lambda options: " ".join(map(str, options.values())),
)
def test_every_profile_comes_back_as_the_rows_that_it_was(
    kafka: Broker, topic: str, tmp_path: Path, options: dict[str, Any]
) -> None:
    given = {"provide_transaction_metadata": True, "topic_heartbeat_name": f"{topic}.beats", **options}
    if not options.get("profile", "").startswith("cloudevents"):
        given["heartbeat_interval_ms"] = 1
    batch = history()
    if options.get("profile") == "flink":  # it writes no update without its whole old row
        batch = batch.only([0])
    write(kafka, topic, batch, **given)
    replicate(kafka, topic, tmp_path)
    expected = [(1, "a")] if options.get("profile") == "flink" else [(1, "c")]
    assert tables(tmp_path) == {"public.orders(id, note)": expected}


def test_the_end_of_a_transaction_that_may_be_a_delete_is_refused(kafka: Broker, topic: str, tmp_path: Path) -> None:
    write(kafka, topic, history(), profile="cloudevents", provide_transaction_metadata=True)
    with pytest.raises(Fatal, match=rf"topic {topic}\.transaction, partition 0, offset 0: .*provide_transaction"):
        replicate(kafka, topic, tmp_path)


def test_a_claim_check_is_read_as_what_it_stands_for(kafka: Broker, topic: str, tmp_path: Path) -> None:
    kafka.create_topic(f"{topic}.public.orders", max_message_bytes="4000")
    claims = tmp_path / "claims"
    write(kafka, topic, history(LARGE), folder=claims)
    [stored] = claims.iterdir()
    value = stored.read_bytes()
    where = rf"topic {topic}\.public\.orders, partition 0, offset 2: a claim check"
    with pytest.raises(Fatal, match=f"{where}.* not configured") as refused:
        replicate(kafka, topic, tmp_path)
    assert "claim_check of the source" in str(refused.value.hint)
    for spoilt, why in [(None, "cannot be read"), (value[:-1], "bytes, and had"), (value[:-1] + b"!", "sha256")]:
        stored.unlink(missing_ok=True)
        if spoilt is not None:
            stored.write_bytes(spoilt)
        with pytest.raises(Fatal, match=f"{where}: its value in .*{stored.name}.*{why}"):
            replicate(kafka, topic, tmp_path, claims=claims)
    stored.write_bytes(value)
    moved = claims.rename(tmp_path / "elsewhere")  # as a folder is mounted on another machine
    replicate(kafka, topic, tmp_path, claims=moved)
    assert tables(tmp_path) == {"public.orders(id, note)": [(1, LARGE)]}


def test_check_looks_at_the_folder_of_claim_checks(kafka: Broker, topic: str, tmp_path: Path) -> None:
    kafka.create_topic(topic)
    (taken := tmp_path / "taken").touch()
    (claims := tmp_path / "claims").mkdir()

    def found(checked: Sink | Kafka) -> tuple[Severity, str]:
        [finding] = [each for each in checked.check() if each.subject.startswith("claim_check ")]
        return finding.severity, finding.message

    def sink(folder: Path) -> tuple[Severity, str]:
        return found(Sink(f"kafka://{kafka.address}", format=Format(topic_prefix=topic), claim_check=folder))

    def source(folder: Path) -> tuple[Severity, str]:
        return found(Kafka(f"kafka://{kafka.address}/{topic}?claim_check={folder}"))

    assert sink(claims) == (Severity.OK, "it can be written")
    assert source(claims) == (Severity.OK, "it can be read")
    assert sink(tmp_path / "new") == (Severity.OK, "it can be written")
    assert source(tmp_path / "new")[0] == Severity.ERROR
    for folder in (taken, taken / "below"):
        assert sink(folder) == (Severity.ERROR, f"{taken}: it is not a folder")
    assert source(taken)[0] == Severity.ERROR


def test_consume_reads_values_that_were_too_large(kafka: Broker, topic: str, tmp_path: Path) -> None:
    claims, cli = tmp_path / "claims", Cli(tmp_path, os.environ)
    write(kafka, topic, history(LARGE), folder=claims)
    url = f"kafka://{kafka.address}/{topic}.public.orders?claim_check={claims}"
    ended = cli.run("consume", url, "--until-current", "--format", "json")
    assert (ended.code, ended.err) == (0, "")
    assert LARGE in [(json.loads(line)["after"] or {}).get("note") for line in ended.out.splitlines()]


def test_a_claim_check_that_was_parked_is_read_when_its_file_is_back(kafka: Broker, topic: str, tmp_path: Path) -> None:
    kafka.create_topic(f"{topic}.public.orders", max_message_bytes="4000")
    claims, letters = tmp_path / "claims", File(tmp_path / "dead.jsonl")
    write(kafka, topic, history(LARGE), folder=claims)
    [stored] = claims.iterdir()
    kept = stored.rename(tmp_path / "kept")
    replicate(kafka, topic, tmp_path, letters, claims=claims)
    [letter] = read_all(letters.path)
    assert letter.message is not None
    content = json.loads(base64.b64decode(letter.message["content"]))
    assert json.loads(base64.b64decode(content["value"]))["sha256"] == stored.name
    for attempts in (2, 3):
        submit(letters.path, Action.REPLAY, None)
        replicate(kafka, topic, tmp_path, letters, claims=claims)
        if attempts == 2:
            assert [each.attempts for each in read_all(letters.path)] == [2]
            kept.rename(stored)
    assert read_all(letters.path) == []
    assert tables(tmp_path) == {"public.orders(id, note)": [(1, LARGE)]}
