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


def test_a_jvm_that_died_under_one_engine_is_replaced_for_the_next(database: str) -> None:
    with or_skip(debezium.host) as host:
        first = host.pid
        with pytest.raises(RuntimeError, match="engine ended"), host.run(debezium.properties(database)) as engine:
            os.kill(engine.pid, signal.SIGKILL)
            engine.take(1, timeout_s=sides.oracle.TIMEOUT_S)
        run = sides.run(host.run, database, [Values("after", "c int", ("1",))], Format())
        assert host.pid != first
    assert len(run.of("after").debezium) == 2
