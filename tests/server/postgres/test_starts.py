"""What a start and a stop do to a slot that was made for one run: `always`, `slot_drop_on_stop`, `no_tables`,
`all_tables`."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tailrace.error import ConfigError, HistoryLost
from tailrace.pipeline import Pipeline
from tailrace.sink import File
from tailrace.source import Postgres
from tests.server.postgres.reading import Make, Sql
from tests.waiting import until

_SLOTS = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"


@pytest.fixture
def shop(database: str, sql: Sql) -> str:
    sql(database, "CREATE TABLE orders (id int PRIMARY KEY)", "INSERT INTO orders VALUES (1)")
    return database


def test_always_begins_every_process_with_a_snapshot(shop: str, sql: Sql, reading: Make) -> None:
    it = reading(shop, snapshot="always").open().count(1)
    sql(shop, "INSERT INTO orders VALUES (2)")
    it.count(2)
    it.restart().count(4)
    sql(shop, "INSERT INTO orders VALUES (3)")
    it.count(5)
    assert it.ops() == ["r", "c", "r", "r", "c"]


def test_always_goes_on_where_it_was_after_a_fault_that_passed(shop: str, sql: Sql, tmp_path: Path) -> None:
    name = psycopg.conninfo.conninfo_to_dict(shop)["dbname"]
    pipeline = Pipeline(
        Postgres(shop, snapshot="always"), File(tmp_path / "out.jsonl"), name=str(name), state_dir=tmp_path
    )
    running = _started(pipeline)
    until(lambda: _ops(tmp_path) == ["r"], "for the snapshot")
    end = "SELECT pg_terminate_backend(active_pid, 60000) FROM pg_replication_slots WHERE slot_name = 'tailrace_{}'"
    until(lambda: sql(shop, end.format(name)) == [(True,)], "for a stream, and its end")
    sql(shop, "INSERT INTO orders VALUES (2)")
    until(lambda: _ops(tmp_path) == ["r", "c"], "for what came after the fault")
    pipeline.stop()
    running.join()


def test_a_slot_that_is_dropped_on_stop_is_gone_and_the_next_start_says_so(shop: str, sql: Sql, tmp_path: Path) -> None:
    pipeline = _pipeline(shop, tmp_path)
    running = _started(pipeline)
    until(lambda: _ops(tmp_path) == ["r"], "for the snapshot")
    sql(shop, "INSERT INTO orders VALUES (2)")
    until(lambda: _ops(tmp_path) == ["r", "c"], "for the stream: the snapshot is complete")
    assert sql(shop, _SLOTS) == [(1,)]
    pipeline.stop()
    running.join()
    assert sql(shop, _SLOTS) == [(0,)]
    with pytest.raises(HistoryLost, match="does not exist"):
        _pipeline(shop, tmp_path).run(until_current=True)


def test_a_slot_stays_after_a_fault_even_if_it_is_dropped_on_stop(shop: str, sql: Sql, tmp_path: Path) -> None:
    _pipeline(shop, tmp_path, slot_drop_on_stop=False).run(until_current=True)
    sql(shop, "DROP PUBLICATION tailrace_starts")
    with pytest.raises(HistoryLost, match="publication"):
        _pipeline(shop, tmp_path).run(until_current=True)
    assert sql(shop, _SLOTS) == [(1,)]


def test_a_publication_without_tables_sends_messages_and_what_others_add_to_it(
    shop: str, sql: Sql, reading: Make
) -> None:
    it = reading(shop, no_tables=True, tables=["public.orders"]).open().first()
    sql(shop, "CREATE TABLE other (id int PRIMARY KEY)", "INSERT INTO orders VALUES (2)")
    sql(shop, "SELECT pg_logical_emit_message(true, 'p', 'm')")
    it.count(1)
    sql(shop, f"ALTER PUBLICATION tailrace_{it.name} ADD TABLE orders, other")
    sql(shop, "INSERT INTO orders VALUES (3)", "INSERT INTO other VALUES (3)")
    it.count(2)
    it.restart()
    sql(shop, "INSERT INTO orders VALUES (4)")
    it.count(3)
    assert it.ops() == ["m", "c", "c"]
    assert sql(shop, "SELECT count(*) FROM pg_publication_tables") == [(2,)]
    it.close()
    assert it.source.drop(it.name)[-1] == f"publication tailrace_{it.name}"


def test_a_publication_of_all_tables_sends_what_is_made_later_and_matches(shop: str, sql: Sql, reading: Make) -> None:
    it = reading(shop, all_tables=True, snapshot="never", tables=["public.*", "!public.apart"]).open().first()
    sql(shop, "CREATE TABLE later (id int PRIMARY KEY)", "CREATE TABLE apart (id int PRIMARY KEY)")
    for table in ("apart", "later", "orders"):
        sql(shop, f"INSERT INTO {table} VALUES (7)")
    it.count(2)
    it.restart()
    sql(shop, "INSERT INTO later VALUES (8)")
    it.count(3)
    assert [str(change.table) for change in it.seen] == ["public.later", "public.orders", "public.later"]
    it.close()
    assert it.source.drop(it.name)[-1] == f"publication tailrace_{it.name}"


def test_only_a_superuser_makes_a_publication_of_all_tables(shop: str, sql: Sql) -> None:
    sql(shop, "CREATE ROLE plain LOGIN REPLICATION")
    source = Postgres(shop.replace("postgres@", "plain@"), publication="p", all_tables=True)
    try:
        found = next(each for each in source.check() if each.subject == "publication")
    finally:
        sql(shop, "DROP ROLE plain")
    assert "only a superuser" in found.message and "FOR ALL TABLES" in str(found.fix)
    with pytest.raises(ConfigError, match="contradict"):
        Postgres(shop, no_tables=True, all_tables=True)


def test_an_empty_publication_is_an_error_without_no_tables(shop: str, sql: Sql, reading: Make) -> None:
    sql(shop, "CREATE PUBLICATION empty")
    with pytest.raises(ConfigError, match="contains no table"):
        reading(shop, publication="empty").open()
    findings = Postgres(shop, publication="empty", no_tables=True).check()
    assert "contains 0 table(s)" in next(each.message for each in findings if "publication" in each.subject)


def _pipeline(url: str, folder: Path, **options: Any) -> Pipeline:
    source = Postgres(url, **{"slot": "starts", "publication": "tailrace_starts", "slot_drop_on_stop": True, **options})
    return Pipeline(source, File(folder / "out.jsonl"), name="starts", state_dir=folder)


def _started(pipeline: Pipeline) -> threading.Thread:
    running = threading.Thread(target=pipeline.run)
    running.start()
    return running


def _ops(folder: Path) -> list[str]:
    path = folder / "out.jsonl"
    lines = path.read_text().rpartition("\n")[0].splitlines() if path.exists() else []
    return [json.loads(line)["value"]["op"] for line in lines]
