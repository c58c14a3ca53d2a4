"""What `check()` finds at the target: each statement that it prints mends what it names, and the scripts of `deploy/`
leave nothing to find."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import psycopg
import pytest

from servers import postgres
from tailrace.cli import main
from tailrace.model import Finding, Severity, Table
from tailrace.pipeline import Pipeline
from tailrace.sink.postgres import Postgres as Sink
from tailrace.source import Postgres as Source

Start = Callable[..., postgres.Server]
DEPLOY = Path(__file__).parents[4] / "deploy" / "postgres"


def _bad(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity is not Severity.OK]


def _mend(server: postgres.Server, dbname: str, look: Callable[[], Sequence[Finding]]) -> list[str]:
    """Run what is printed until nothing is left to mend; returns the subjects."""
    subjects = []
    for _ in range(8):
        bad = _bad(look())
        if not bad:
            return subjects
        for finding in bad:
            assert finding.fix is not None, finding
            subjects.append(finding.subject)
            server.execute(finding.fix, dbname=dbname)
    raise AssertionError(bad)


def _tables(url: str) -> list[Table]:
    return list(Source(url, tables=["public.*"]).tables_now("p"))


@pytest.mark.parametrize("version", [18, 14])
def test_printed_statements_mend_the_role(start_postgres: Start, version: int) -> None:
    server = start_postgres(version)
    server.create_database("replica")
    server.execute("CREATE ROLE cdc LOGIN")
    sink = Sink(server.dsn("replica", user="cdc"))
    assert set(_mend(server, "replica", sink.check)) == {
        "schema tailrace",
        "session_replication_role",
        "replication origin",
    }


def test_printed_statements_mend_the_tables(start_postgres: Start) -> None:
    server = start_postgres(18)
    source, target = server.create_database("shop"), server.create_database("replica")
    server.execute("CREATE ROLE cdc LOGIN")
    with psycopg.connect(source, autocommit=True) as session:
        session.execute("CREATE EXTENSION hstore")
        session.execute("CREATE TABLE made (id int PRIMARY KEY, h hstore)")
        session.execute("CREATE TABLE there (id int PRIMARY KEY, v int)")
    with psycopg.connect(target, autocommit=True) as session:
        session.execute("CREATE TABLE there (id bigint, v int2 NOT NULL, w int NOT NULL)")
        session.execute("INSERT INTO there VALUES (1, 1, 1)")
        session.execute("ALTER TABLE there ENABLE ROW LEVEL SECURITY")
        session.execute("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
        session.execute("CREATE TRIGGER always BEFORE INSERT ON there FOR EACH ROW EXECUTE FUNCTION f()")
        session.execute("ALTER TABLE there ENABLE ALWAYS TRIGGER always")
    sink = Sink(server.dsn("replica", user="cdc"))
    _mend(server, "replica", sink.check)
    found: list[Finding] = []

    def look() -> list[Finding]:
        findings = sink.check_tables("p", _tables(source))
        found.extend(_bad(findings))
        return findings

    _mend(server, "replica", look)
    messages = " | ".join(f"{finding.subject}: {finding.message}" for finding in found)
    for part in (
        "table public.made: it needs the extension hstore",
        "table public.made: role cdc may not make it",
        "table public.there: role cdc lacks the right to SELECT, INSERT, UPDATE, DELETE, TRUNCATE",
        "does not own it",
        "row security",
        "the trigger always acts on replicated rows too",
        "no index finds a row",
        "the column v of public.there is integer now, but smallint in public.there",
        "wants a value for the column w",
        "it holds rows that this pipeline did not write",
    ):
        assert part in messages, messages
    Pipeline(Source(source, tables=["public.*"]), sink, name="p", state_dir=None).run(until_current=True)


def test_the_command_checks_the_tables_too(database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with psycopg.connect(database, autocommit=True) as session:
        session.execute("CREATE TABLE a (id int PRIMARY KEY)")
        session.execute("CREATE SCHEMA crm")
        session.execute("CREATE VIEW crm.b AS SELECT 1 AS id")
    config = tmp_path / "p.toml"
    config.write_text(
        f"""[pipeline.p]
source = "{database}"
[[pipeline.p.transform]]
kind = "rename"
names = {{ "public.a" = "crm.b" }}
[pipeline.p.sink]
kind = "postgres"
url = "{database}"
"""
    )
    assert main(["check", str(config)]) == 3
    assert "table crm.b: what has its name is not a table" in capsys.readouterr().out


def _run_scripts(server: postgres.Server, source: str, target: str) -> None:
    for script, url in (("source-role.sql", source), ("target-role.sql", target)):
        role = script.partition("-")[0] + "_role"
        for _ in range(2):
            command = [server.bin("psql"), "-X", "-q", "-d", url, "-v", f"role={role}", "-f", DEPLOY / script]
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=server.environment())
            assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("version", [18, 14])
def test_a_pipeline_runs_from_end_to_end_with_the_rights_of_the_scripts(start_postgres: Start, version: int) -> None:
    server = start_postgres(version)
    source, target = server.create_database("shop"), server.create_database("replica")
    with psycopg.connect(source, autocommit=True) as session:
        session.execute("CREATE TYPE mood AS ENUM ('low')")
        session.execute("CREATE TABLE a (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, m mood)")
        session.execute("INSERT INTO a (m) VALUES ('low')")
        session.execute("CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id)")
        session.execute("CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (9)")
        session.execute("INSERT INTO parts VALUES (1)")
    _run_scripts(server, source, target)
    reads = Source(server.dsn("shop", user="source_role"), tables=["public.*"], publication="tailrace", create=False)
    writes = Sink(server.dsn("replica", user="target_role"))
    ours = [f for f in (*reads.check(), *writes.check()) if f.severity is Severity.ERROR]
    assert ours == [] and _bad(writes.check()) == []
    assert _bad(writes.check_tables("p", reads.tables_now("p"))) == []
    pipeline = Pipeline(reads, writes, name="p", state_dir=None)
    pipeline.run(until_current=True)
    with psycopg.connect(source, autocommit=True) as session:
        session.execute("ALTER TYPE mood ADD VALUE 'high'")
        session.execute("ALTER TABLE a ADD note text")
        session.execute("INSERT INTO a (m, note) VALUES ('high', 'n')")
        session.execute("TRUNCATE a")
        session.execute("INSERT INTO a (m, note) VALUES ('high', 'later')")
    pipeline.run(until_current=True)
    assert [c.last for c in writes.set_sequences(reads.rest("p").counters, margin=0)] == [3]
    with psycopg.connect(target) as session:
        assert session.execute("SELECT id, m::text, note FROM a").fetchall() == [(3, "high", "later")]
        assert session.execute("SELECT id FROM parts").fetchall() == [(1,)]
        assert session.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'a'").fetchall() == [
            ("target_role",)
        ]


@pytest.mark.parametrize("version", [18, 14])
def test_the_scripts_give_no_more_than_is_needed(start_postgres: Start, version: int) -> None:
    server = start_postgres(version)
    source, target = server.create_database("shop"), server.create_database("replica")
    for url in (source, target):
        with psycopg.connect(url, autocommit=True) as session:
            session.execute("CREATE TABLE a (id int PRIMARY KEY); CREATE SEQUENCE numbers")
            session.execute("CREATE SCHEMA other CREATE TABLE secret (id int)")
    _run_scripts(server, source, target)
    with psycopg.connect(server.url) as session:
        rights = session.execute(
            "SELECT rolname, rolreplication FROM pg_roles WHERE rolname IN ('source_role', 'target_role')"
            " AND NOT (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb)"
        ).fetchall()
    assert dict(rights) == {"source_role": True, "target_role": False}
    both = ["SELECT FROM other.secret", "CREATE SCHEMA another", "COPY (SELECT 1) TO PROGRAM 'true'"]
    both += ["INSERT INTO a VALUES (1)", "UPDATE a SET id = 2", "DELETE FROM a", "TRUNCATE a", "DROP TABLE a"]
    both += ["ALTER TABLE a ADD more int", "SELECT setval('numbers', 9)"]
    at_source = ["CREATE PUBLICATION another", "ALTER PUBLICATION tailrace SET (publish = 'insert')"]
    for dbname, role, more in (("shop", "source_role", at_source), ("replica", "target_role", ["SELECT FROM a"])):
        with psycopg.connect(server.dsn(dbname, user=role), autocommit=True) as session:
            for statement in (*both, *more):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    session.execute(statement.encode())
