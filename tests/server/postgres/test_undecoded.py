"""What PostgreSQL fails to decode of a transaction in progress: it is read once it has ended."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import psycopg
import pytest

import tailrace as tr
from servers import postgres

Start = Callable[..., postgres.Server]
ROWS = 3000
WRITTEN = (
    "SAVEPOINT s",
    "ALTER TABLE t ADD lost int",
    "ROLLBACK TO s",
    "CREATE TABLE beside (n int)",
    f"INSERT INTO t SELECT i, repeat('v', 100) FROM generate_series(1, {ROWS}) AS i",
    "ALTER TABLE t ADD kept int",
    "UPDATE t SET kept = id WHERE id <= 10",
)
"""Until the transaction has ended, what was rolled back hides the table from whoever decodes the rows behind it: “could
not map filenode”, at every try."""


HIDDEN = (
    "SAVEPOINT s",
    "ALTER PUBLICATION {publication} DROP TABLE t",
    "ROLLBACK TO s",
    *WRITTEN[3:5],
    "ALTER PUBLICATION {publication} DROP TABLE t",
    "ALTER PUBLICATION {publication} ADD TABLE t",
)
"""The same with a publication: rows are left out without a word."""


@pytest.fixture(params=[14, 18])
def server(request: pytest.FixtureRequest, start_postgres: Start) -> postgres.Server:
    """One that streams transactions above 64 kB before their end, and logs how it is asked."""
    settings = {"logical_decoding_work_mem": "64kB", "log_replication_commands": "on"}
    made = start_postgres(request.param, settings=settings)
    made.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    return made


def asked(server: postgres.Server) -> list[str]:
    """Whether each stream so far was to have transactions before their end."""
    return re.findall(r"received replication command: START_REPLICATION .*\bstreaming\b\S* '(on|off)'", server.log())


def test_a_transaction_that_cannot_be_decoded_in_progress_is_read_at_its_end(
    server: postgres.Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = tr.source.Postgres(server.url, tables=["public.t"])
    limits = tr.Limits(transaction_bytes_max=64 << 10, segment_bytes=16 << 10)
    pipeline = tr.Pipeline(source, tr.sink.File(tmp_path / "t.jsonl"), name="undecoded", limits=limits)
    pipeline.run(until_current=True)
    with psycopg.connect(server.url) as connection:
        for statement in WRITTEN:
            connection.execute(statement)

    pipeline.run(until_current=True)
    assert "could not map filen" in caplog.text, "the server decodes it: this tests nothing any more"
    assert asked(server) == ["on", "on", "off"]
    server.execute("INSERT INTO t VALUES (0, 'behind', 0)")
    pipeline.run(until_current=True)
    assert asked(server) == ["on", "on", "off", "on"]

    values = [json.loads(line)["value"] for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert [(value["op"], value["after"]["id"], value["after"].get("kept")) for value in values] == [
        *(("c", number, None) for number in range(1, ROWS + 1)),
        *(("u", number, number) for number in range(1, 11)),
        ("c", 0, 0),
    ]


@pytest.mark.parametrize("streaming", ["on", "off"])
def test_what_the_server_leaves_out_of_a_transaction_in_progress_comes_with_streaming_off(
    server: postgres.Server, tmp_path: Path, streaming: Literal["on", "off"]
) -> None:
    source = tr.source.Postgres(server.url, tables=["public.t"], streaming=streaming)
    pipeline = tr.Pipeline(source, tr.sink.File(tmp_path / "t.jsonl"), name="hidden")
    pipeline.run(until_current=True)
    with psycopg.connect(server.url) as connection:
        [publication] = connection.execute("SELECT pubname FROM pg_publication").fetchone() or ()
        for statement in HIDDEN:
            connection.execute(statement.format(publication=publication).encode())
    pipeline.run(until_current=True)
    assert set(asked(server)) == {streaming}
    came = (tmp_path / "t.jsonl").read_text().count('"op":"c"')
    if streaming == "off":
        assert came == ROWS
    else:
        assert came < ROWS, "the server decodes it: the howto says that it does not"
