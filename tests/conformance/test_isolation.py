"""A comparison that fails leaves nothing behind that makes a later one fail."""

from __future__ import annotations

import os
import signal

import psycopg
import pytest

from servers import debezium, postgres
from tailrace.format import Format
from tests.conformance import sides
from tests.conformance.cases import Values
from tests.conformance.once import Once
from tests.conformance.shapes import SHAPES
from tests.conftest import fresh
from tests.wanting import or_skip


def test_what_fails_in_a_fresh_database_leaves_neither_it_nor_its_slots(postgres18: postgres.Server) -> None:
    found = list[str]()
    with pytest.raises(ZeroDivisionError) as kept, fresh(postgres18) as url, psycopg.connect(url) as connection:
        name, slot = connection.info.dbname, f"slot_of_{connection.info.dbname}"
        connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [slot])
        found += [name, slot]
        raise ZeroDivisionError
    assert kept.tb is not None  # as pytest keeps it, with all that its frames hold
    with psycopg.connect(postgres18.url) as admin:
        left = admin.execute("SELECT datname FROM pg_database UNION ALL SELECT slot_name FROM pg_replication_slots")
        assert not set(found) & {name for [name] in left}


def test_what_a_case_makes_of_the_whole_server_may_be_there_already(postgres18: postgres.Server) -> None:
    for _ in range(2):
        with fresh(postgres18) as url, psycopg.connect(url, autocommit=True) as connection:
            for statement in next(case for case in SHAPES if case.name == "origins").before():
                connection.execute(statement.encode())
    with psycopg.connect(postgres18.url, autocommit=True) as admin:
        admin.execute("SELECT pg_replication_origin_drop('far \"away\"')")


def test_a_run_that_failed_fails_for_every_case_and_is_not_made_again() -> None:
    made, once = list[str](), Once[str]()

    def run() -> str:
        made.append("once")
        raise TimeoutError("Debezium gave no further record in time")

    for _ in range(3):
        with pytest.raises(TimeoutError, match="no further record"):
            once.get("mode", run)
    assert made == ["once"]
    assert [once.get("another", lambda: "run"), once.get("another", run)] == ["run", "run"]


def test_a_row_that_tailrace_refuses_is_told_in_its_own_tables_events(
    database: str, debezium_host: sides.Start
) -> None:
    cases = [Values("nested", "c int[]", ("'{{1,2},{3,4}}'",)), Values("plain", "c int", ("1",))]
    run = sides.run(debezium_host, database, cases, Format(schemas_enable=True), converter_schemas_enable="true")
    plain, nested = run.of("plain"), run.of("nested")
    assert len(plain.debezium) == len(nested.debezium) == 2
    assert [event.value for event in plain.tailrace] == [event.value for event in plain.debezium]
    assert all(b"more than one dimension" in (event.value or b"") for event in nested.tailrace)
    assert len(nested.tailrace) == 2


def test_a_jvm_that_died_under_one_engine_is_replaced_for_the_next(database: str) -> None:
    with or_skip(debezium.host) as host:
        first = host.pid
        with pytest.raises(RuntimeError, match="engine ended"), host.run(debezium.properties(database)) as engine:
            os.kill(engine.pid, signal.SIGKILL)
            engine.take(1, timeout_s=sides.oracle.TIMEOUT_S)
        run = sides.run(host.run, database, [Values("after", "c int", ("1",))], Format())
        assert host.pid != first
    assert len(run.of("after").debezium) == 2
