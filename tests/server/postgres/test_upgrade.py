"""`tailrace adopt`: a pipeline goes on at the server that pg_upgrade made, and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from servers import postgres
from tailrace import cli
from tailrace.error import Fatal, HistoryLost, Retryable
from tailrace.model import Position
from tailrace.source import Postgres
from tailrace.source.postgres import wal
from tailrace.source.postgres.place import Lineage, Place, parse_lsn
from tailrace.source.postgres.walsender import Walsender
from tests.server.postgres.reading import Make, Sql

Start = Callable[..., postgres.Server]
Saved = dict[str, Position | None]
CONFIG = """
state_dir = "{folder}/state"
[pipeline.lines.source]
kind = "postgres"
url = "{url}"
[pipeline.lines]
sink = "file:{folder}/out.jsonl"
[pipeline.rows.source]
kind = "postgres"
url = "{url}"
[pipeline.rows]
sink = "duckdb:{folder}/shop.duckdb"
[pipeline.apart.source]
kind = "postgres"
url = "{url}"
[pipeline.apart]
sink = "stdout:"
[pipeline.replica.source]
kind = "postgres"
url = "{url}"
[pipeline.replica]
sink = "{target}"
[pipeline.apart.checkpoint]
kind = "sqlite"
path = "{folder}/positions.db"
"""
NAMES = ("lines", "rows", "apart", "replica")


@pytest.fixture
def upgrade() -> Iterator[Start]:
    """Upgrades a stopped server with pg_upgrade: `upgrade(old, 18)`."""
    with ExitStack() as stack:
        yield lambda old, version: stack.enter_context(postgres.upgraded(old, version))


def ids_of_lines(text: str) -> list[int]:
    return [json.loads(line)["value"]["after"]["id"] for line in text.splitlines()]


def test_i6_a_pipeline_goes_on_after_pg_upgrade_with_nothing_lost_or_doubled(
    start_postgres: Start,
    upgrade: Start,
    sql: Sql,
    target_database: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    old = start_postgres(17)
    sql(old.url, "CREATE TABLE orders (id int PRIMARY KEY)", "INSERT INTO orders SELECT generate_series(1, 100)")
    config = tmp_path / "shop.toml"
    config.write_text(CONFIG.format(folder=tmp_path, url=old.url, target=target_database))
    assert cli.main(["run", str(config), "--until-current"]) == 0
    older = (tmp_path / "shop.duckdb").read_bytes()
    sql(old.url, "INSERT INTO orders SELECT generate_series(101, 200)")
    assert cli.main(["run", str(config), "--until-current"]) == 0
    old.stop()
    new = upgrade(old, 18)
    config.write_text(CONFIG.format(folder=tmp_path, url=new.url, target=target_database))
    sql(new.url, "INSERT INTO orders SELECT generate_series(201, 300)")
    assert cli.main(["run", str(config), "lines", "--until-current"]) == 4  # another server, until it is adopted
    assert "adopt" in capfd.readouterr().err
    assert cli.main(["adopt", str(config), "lines"]) == 2  # a question, and nobody to answer
    latest = (tmp_path / "shop.duckdb").read_bytes()
    (tmp_path / "shop.duckdb").write_bytes(older)
    assert cli.main(["adopt", str(config), "rows", "--yes"]) == 4
    assert "an older copy of the position was put back" in capfd.readouterr().err
    (tmp_path / "shop.duckdb").write_bytes(latest)
    for name in NAMES:
        assert cli.main(["adopt", str(config), name, "--yes"]) == 0
        assert cli.main(["adopt", str(config), name, "--yes"]) == 0
        assert "already" in capfd.readouterr().out
    assert cli.main(["run", str(config), "--until-current"]) == 0
    assert ids_of_lines((tmp_path / "out.jsonl").read_text()) == list(range(1, 301))
    with duckdb.connect(str(tmp_path / "shop.duckdb"), read_only=True) as target:
        assert target.execute("SELECT count(*), sum(id) FROM public.orders").fetchall() == [(300, 45150)]
    assert sql(target_database, "SELECT count(*), sum(id) FROM orders") == [(300, 45150)]
    assert ids_of_lines(capfd.readouterr().out) == list(range(201, 301))
    # pg_upgrade keeps the numbers of tables, so that one which is made anew after it is still told from the first.
    sql(new.url, "DROP TABLE orders", "CREATE TABLE orders (id int PRIMARY KEY)")
    assert cli.main(["run", str(config), "replica", "--until-current"]) == 0  # it joins the publication
    sql(new.url, "INSERT INTO orders VALUES (1)")
    assert cli.main(["run", str(config), "replica", "--until-current"]) == 1
    assert "public.orders is another table at the source now" in capfd.readouterr().err


def saved_on_another_server(there: Lineage, lsn: int = 0x2000, **changes: str) -> Saved:
    lineage = str(replace(there, system="7711100563474511191", **changes))
    return {lineage: Place(lsn - 8, 2, 0, 1, lsn).position(lineage)}


def test_i6_adopting_is_refused_wherever_changes_could_be_lost(
    start_postgres: Start, start_standby: Start, sql: Sql, reading: Make, database15: str
) -> None:
    server = start_postgres(18)
    sql(server.url, "CREATE TABLE orders (id int PRIMARY KEY)")
    source = Postgres(server.url)
    ((system,),) = sql(server.url, "SELECT system_identifier::text FROM pg_control_system()")
    here = Lineage(system, "postgres", "tailrace_shop")
    saved = saved_on_another_server(here)

    def refused(kind: type[Fatal], match: str, known: Saved = saved, of: Postgres = source) -> None:
        with pytest.raises(kind, match=match):
            of.successor("shop", known)

    refused(Fatal, "nothing is saved", {})
    refused(Fatal, "not clear", {**saved, "postgres/1/postgres/tailrace_shop": None})
    refused(Fatal, "database 'crm'", saved_on_another_server(here, database="crm"))
    refused(Fatal, "no slot of PostgreSQL", {"kafka/1": None})
    refused(Fatal, "snapshot was not complete", dict.fromkeys(saved))
    refused(HistoryLost, "was not brought to this server")
    with pytest.raises(HistoryLost, match=r"PostgreSQL 15"):
        Postgres(database15).successor("shop", saved_on_another_server(replace(here, database=database15[-17:])))
    it = reading(server.url, "shop", snapshot="never").open().first()
    with pytest.raises(Retryable, match="somebody reads it"):
        source.successor("shop", saved)
    it.close()
    refused(HistoryLost, "made by hand or read since")
    refused(HistoryLost, "not the upgrade", saved_on_another_server(here, 1 << 40))
    sql(server.url, "DROP PUBLICATION tailrace_shop")
    refused(HistoryLost, "publication")
    standby = start_standby(server)
    refused(Fatal, "is a standby", of=Postgres(standby.url))
    with pytest.raises(HistoryLost, match="tailrace adopt"):
        it.positions.forget()
        ((lineage, position),) = saved.items()
        it.positions.claim(lineage)
        assert position is not None
        it.positions.save([position])
        it.open()


def test_i6_a_slot_that_was_made_after_the_upgrade_is_refused_if_anything_was_written_before(
    start_postgres: Start, upgrade: Start, sql: Sql
) -> None:
    old = start_postgres(16, full=True)
    sql(old.url, "CREATE TABLE orders (id int PRIMARY KEY)", "INSERT INTO orders VALUES (1)")
    sql(old.url, "CREATE PUBLICATION tailrace_shop FOR TABLE orders")
    ((system, end),) = sql(
        old.url, "SELECT system_identifier::text, pg_current_wal_lsn()::text FROM pg_control_system()"
    )
    saved = saved_on_another_server(Lineage(system, "postgres", "tailrace_shop"), parse_lsn(end))
    old.stop()
    new = upgrade(old, 18)
    source = Postgres(new.url)
    with pytest.raises(HistoryLost, match="was not brought to this server"):
        source.successor("shop", saved)
    make = "SELECT pg_create_logical_replication_slot('tailrace_shop', 'pgoutput')"
    sql(new.url, make)
    _, after = source.successor("shop", saved)  # made by hand, but in time
    with closing(Walsender(new.url, frame_bytes_max=1 << 20)) as walsender:
        assert not any(record.xid for record in wal.records(walsender, *span(Place.of(after).end)))
    sql(new.url, "SELECT pg_drop_replication_slot('tailrace_shop')")
    sql(new.url, "INSERT INTO orders VALUES (2)")
    sql(new.url, make)
    with pytest.raises(HistoryLost, match="made by hand or read since"):
        source.successor("shop", saved)


def span(end: int) -> tuple[int, int]:
    """From the beginning of the segment."""
    return end - end % (16 << 20), end
