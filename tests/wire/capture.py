"""Takes the captures of this folder anew from real servers: `python -m tests.wire.capture`. Never part of a test run.
With a folder as argument it writes a corpus for the fuzz target there instead.

Each is what a walsender sent after a workload that shows every message of pgoutput: one file of
length-prefixed CopyData messages a server version, compressed by gzip.
"""

from __future__ import annotations

import gzip
import struct
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
from psycopg import pq

from servers import postgres

FOLDER = Path(__file__).parent / "captures"
_LENGTH = struct.Struct("!I")
_TABLES = """
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE TABLE plain (id int PRIMARY KEY, name text, feeling mood, amount numeric(12,2), at timestamptz DEFAULT now());
CREATE TABLE keyed (a int NOT NULL, b text NOT NULL, body text, rest text);
CREATE UNIQUE INDEX keyed_index ON keyed (b, a);
ALTER TABLE keyed REPLICA IDENTITY USING INDEX keyed_index;
CREATE TABLE whole (id int, body text, rest text);
ALTER TABLE whole REPLICA IDENTITY FULL;
CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES plain);
CREATE TABLE silent (body text);
ALTER TABLE silent REPLICA IDENTITY NOTHING;
CREATE TABLE parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (10) TO (100);
"""
_LARGE = "(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 100) i)"
_LARGE_KEY = _LARGE.replace("100", "80")


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for version in (15, 18):
        with postgres.start(version) as server:
            messages = capture(server.create_database("shop"))
        data = b"".join(_LENGTH.pack(len(message)) + message for message in messages)
        path = FOLDER / f"postgres{version}.bin"
        path.write_bytes(gzip.compress(data, mtime=0))
        kinds = "".join(sorted({chr(message[25]) for message in messages if message[:1] == b"w"}))
        sys.stdout.write(f"{path.name}: {len(messages)} messages of kinds {kinds}, {path.stat().st_size} bytes\n")


def seeds(folder: Path) -> None:
    """Write a first corpus for the fuzz target `pgoutput`: what begins at each transaction, as far as 4 kB go."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(FOLDER.glob("*.bin")):
        messages = load(path.name)
        relations = [message for message in messages if message[25:26] == b"R"][:4]
        for start, message in enumerate(messages):
            if message[25:26] not in (b"B", b"S"):
                continue
            data = b"\0"
            for part in [*relations, *messages[start : start + 50]]:
                data += struct.pack("!H", min(len(part), 0xFFFF)) + part[:0xFFFF]
            (folder / f"{path.stem}-{start}").write_bytes(data[:4096])


def load(name: str) -> list[bytes]:
    """The messages of a capture, in order."""
    data = gzip.decompress((FOLDER / name).read_bytes())
    messages, at = [], 0
    while at < len(data):
        (length,) = _LENGTH.unpack_from(data, at)
        messages.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    return messages


def capture(url: str) -> list[bytes]:
    """What the server sends of the workload."""
    with psycopg.connect(url, autocommit=True) as first, psycopg.connect(url, autocommit=True) as second:
        _execute(first, _TABLES)
        return record(url, lambda: workload(first, second))


def record(url: str, run: Callable[[], None]) -> list[bytes]:
    """What the server sends of all that happens in `run`, through a temporary slot; it streams what exceeds 64 kB."""
    options = "-c logical_decoding_work_mem=64kB"
    with (
        psycopg.connect(url, autocommit=True) as admin,
        closing(psycopg.connect(url, autocommit=True, replication="database", options=options)) as walsender,
    ):
        admin.execute("CREATE PUBLICATION everything FOR ALL TABLES WITH (publish_via_partition_root = true)")
        walsender.execute("CREATE_REPLICATION_SLOT capture TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT")
        run()
        row = admin.execute("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn").fetchone()
        assert row is not None
        return _read(walsender.pgconn, int(row[0]), walsender.info.server_version)


def _read(pgconn: pq.abc.PGconn, until: int, version: int) -> list[bytes]:
    """All messages up to the keepalive that says that the log up to `until` was sent."""
    protocol = 4 if version >= 160_000 else 3
    pgconn.send_query(
        f"START_REPLICATION SLOT capture LOGICAL 0/0 (proto_version '{protocol}', publication_names 'everything',"
        f" messages 'true', streaming '{'parallel' if protocol == 4 else 'on'}')".encode()
    )
    while (result := pgconn.get_result()) is not None and result.status != pq.ExecStatus.COPY_BOTH:
        assert result.status != pq.ExecStatus.FATAL_ERROR, result.error_message
    messages: list[bytes] = []
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        length, view = pgconn.get_copy_data(0)
        assert length > 0, pgconn.error_message
        message = bytes(view)
        messages.append(message)
        if message[:1] == b"k" and int.from_bytes(message[1:9], "big") >= until:
            return messages
    raise TimeoutError("the walsender did not reach the end of the log")


def workload(first: psycopg.Connection, second: psycopg.Connection) -> None:
    """Every kind of change; two connections, so that streamed transactions interleave."""
    _execute(
        first,
        "INSERT INTO plain SELECT i, 'name ' || i, 'glad', i * 1.25 FROM generate_series(1, 20) i",
        "UPDATE plain SET name = NULL, feeling = 'sad' WHERE id < 3; UPDATE plain SET id = 99 WHERE id = 4",
        "DELETE FROM plain WHERE id = 5",
        f"INSERT INTO keyed VALUES (1, 'k', {_LARGE}, 'r'); INSERT INTO keyed VALUES (2, {_LARGE_KEY}, 'short', 'r')",
        "UPDATE keyed SET rest = 's'; UPDATE keyed SET a = a + 10; DELETE FROM keyed WHERE a = 11",
        f"INSERT INTO whole VALUES (1, {_LARGE}, NULL), (2, 'x', 'y')",
        "UPDATE whole SET rest = 'z'; DELETE FROM whole WHERE id = 1",
        "INSERT INTO silent VALUES ('only inserts')",
        "INSERT INTO parts VALUES (1, 'a'), (50, 'b'); UPDATE parts SET id = 60 WHERE id = 1; DELETE FROM parts",
        "INSERT INTO child VALUES (1, 6); TRUNCATE plain, child; TRUNCATE whole RESTART IDENTITY CASCADE",
        "SELECT pg_logical_emit_message(true, 'inside', 'content'); SELECT 1",
        "SELECT pg_logical_emit_message(false, 'outside', '')",
        "ALTER TABLE child ADD note text; INSERT INTO child VALUES (2, NULL, 'n')",
    )
    with first.transaction():
        _execute(first, "INSERT INTO plain VALUES (1, 'before')", "ALTER TABLE plain ADD body text DEFAULT 'd'")
        _execute(first, "INSERT INTO plain VALUES (2, 'after')", "ALTER TABLE plain DROP name")
        _execute(first, "UPDATE plain SET body = 'e'")
    _execute(
        first,
        "SELECT pg_replication_origin_create('upstream'), pg_replication_origin_session_setup('upstream')",
        "BEGIN; SELECT pg_replication_origin_xact_setup('0/AB', now()); INSERT INTO silent VALUES ('via'); COMMIT",
        "SELECT pg_replication_origin_session_reset()",
    )
    streamed(first, second)


def streamed(first: psycopg.Connection, second: psycopg.Connection) -> None:
    """Two large transactions at once, with savepoints that are rolled back, and one that is given up."""
    rows = "INSERT INTO plain (id, body) SELECT i, 'row ' || i FROM generate_series({}, {}) i"
    _execute(first, "BEGIN", rows.format(1_000, 1_700), "SAVEPOINT a", rows.format(2_000, 2_700))
    _execute(second, "BEGIN", "INSERT INTO silent SELECT 'second ' || i FROM generate_series(1, 1200) i")
    _execute(first, "SAVEPOINT b", rows.format(3_000, 3_700), "ROLLBACK TO a", rows.format(4_000, 4_700))
    _execute(first, "SELECT pg_logical_emit_message(false, 'between', 'blocks')")
    _execute(first, "SAVEPOINT c", "ALTER TABLE plain ADD gone int", rows.format(5_000, 5_700), "ROLLBACK TO c")
    _execute(second, "SELECT pg_logical_emit_message(true, 'streamed', 'content')", "COMMIT")
    _execute(first, "TRUNCATE whole", rows.format(6_000, 6_010), "COMMIT")
    _execute(second, "BEGIN", rows.format(7_000, 8_500), "ROLLBACK")
    _execute(second, "INSERT INTO plain (id, body) VALUES (9000, 'last')")


def _execute(connection: psycopg.Connection, *statements: str) -> None:
    for statement in statements:
        connection.execute(statement.encode())


if __name__ == "__main__":
    main() if len(sys.argv) == 1 else seeds(Path(sys.argv[1]))
