"""How replication two ways begins: a snapshot of what the other side fills is refused, and the order that is told holds
under load."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from tailrace.error import CheckFailed
from tailrace.model import Finding, Limits, Position, Severity
from tailrace.pipeline import Pipeline
from tailrace.source.postgres import foreign
from tests.background import beside, running
from tests.server.sink.postgres.two_way import Pair
from tests.waiting import until


def rows(side: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return side.execute("SELECT id, n FROM notes ORDER BY id").fetchall()


def start(pipeline: Pipeline) -> Finding:
    [found] = pipeline.source.outlook(pipeline.name, {})  # type: ignore[attr-defined]
    return found


def slots(side: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    here = "SELECT 1 FROM pg_replication_slots WHERE database = current_database()"
    return side.execute(here.encode()).fetchall()


def publications(side: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return side.execute("SELECT pubname FROM pg_publication").fetchall()


def refusal(pipeline: Pipeline) -> str:
    """How a start is refused, which `tailrace check` has told before."""
    foreseen = start(pipeline)
    with pytest.raises(CheckFailed) as refused:
        pipeline.run(until_current=True)
    assert (foreseen.severity, foreseen.message, foreseen.fix) == (
        Severity.ERROR,
        refused.value.args[0],
        refused.value.hint,
    )
    return foreseen.message


@pytest.mark.parametrize("mode", ["initial", "always", "only", "when_needed"])
def test_the_way_back_takes_no_snapshot_of_rows_that_came_from_where_it_would_write_them(pair: Pair, mode: str) -> None:
    pair.left.execute("INSERT INTO notes VALUES (1, 0), (2, 0)")
    assert start(pair.there(snapshot="initial")).severity is Severity.OK
    pair.there(snapshot="initial").run(until_current=True)
    # The right has yet to learn of this: its snapshot would bring it back to the left, and be left out from then on.
    pair.left.execute("UPDATE notes SET n = 1 WHERE id = 1")
    pair.left.execute("DELETE FROM notes WHERE id = 2")
    assert refusal(pair.back(snapshot=mode)).startswith("pipeline 'there' fills tables of this pipeline")
    assert slots(pair.right) == []
    assert pair.left.execute("SELECT to_regclass('tailrace.position')").fetchone() == (None,) or (
        pair.left.execute("SELECT FROM tailrace.position").fetchall() == []
    )
    pair.back().run(until_current=True)
    pair.there(snapshot="initial").run(until_current=True)
    pair.right.execute("UPDATE notes SET n = n + 1")
    pair.back().run(until_current=True)
    for side in (pair.left, pair.right):
        assert rows(side) == [(1, 2)]


def test_a_snapshot_is_refused_beside_a_pipeline_that_may_yet_fill_its_tables(pair: Pair) -> None:
    pair.back().run(until_current=True)
    assert "'back' writes into this database, it is not known yet where" in refusal(pair.there(snapshot="initial"))
    pair.right.execute("INSERT INTO notes VALUES (1, 0)")
    pair.back().run(until_current=True)
    pair.left.execute("CREATE TABLE others (id int PRIMARY KEY)")
    others = pair.there(snapshot="initial", tables=["public.others"])
    assert start(others).severity is Severity.OK
    assert "'back' fills tables" in refusal(pair.there(snapshot="initial"))


@pytest.mark.parametrize("name", ["back", "there"])
def test_of_two_that_start_at_once_the_one_that_claims_last_sees_the_other(pair: Pair, name: str) -> None:
    """Also where both have one name."""

    forgotten: list[bool] = []

    class Meanwhile:
        def known(self) -> Mapping[str, Position | None]:
            return {}

        def claim(self, lineage: str) -> Position | None:
            pair.there().run(until_current=True)
            return None

        def forget(self) -> None:
            forgotten.append(True)

    with pytest.raises(CheckFailed, match="'there' writes into this database"):
        pair.back(snapshot="initial").source.open(name, Meanwhile(), Limits())
    assert (slots(pair.right), publications(pair.right), forgotten) == ([], [], [True])


def test_two_that_start_at_once_and_refuse_each_other_leave_nothing_behind(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.left.execute("INSERT INTO notes VALUES (1, 0)")
    both, look, looks = threading.Barrier(2, timeout=180), foreign.require_own_rows, Counter[str]()

    def together(connection: Any, source: Any, **told: Any) -> None:
        looks[told["pipeline"]] += 1
        if looks[told["pipeline"]] == 1:
            look(connection, source, **told)
            both.wait()  # neither has claimed
            return
        both.wait()  # each has
        try:
            look(connection, source, **told)
        finally:
            both.wait()  # and each sees the other's claim

    refused: list[str] = []

    def run(pipeline: Pipeline) -> None:
        with pytest.raises(CheckFailed, match="writes into this database") as told:
            pipeline.run(until_current=True)
        refused.append(str(told.value.args[0]))

    with monkeypatch.context() as patched:
        patched.setattr(foreign, "require_own_rows", together)
        with beside(lambda: run(pair.there(snapshot="initial")), lambda: None):
            run(pair.back(snapshot="initial"))
    assert len(refused) == 2
    for side in (pair.left, pair.right):
        assert side.execute("SELECT name FROM tailrace.position").fetchall() == []
        assert slots(side) == publications(side) == []
    pair.there(snapshot="initial").run(until_current=True)
    pair.back().run(until_current=True)
    assert rows(pair.left) == rows(pair.right) == [(1, 0)]


def test_a_snapshot_of_tables_that_a_subscription_fills_is_refused(pair: Pair) -> None:
    pair.left.execute("CREATE PUBLICATION parts FOR TABLE notes WITH (publish_via_partition_root = true)")
    pair.right.execute("DROP TABLE notes")
    pair.right.execute("CREATE TABLE notes (id int PRIMARY KEY, n int) PARTITION BY RANGE (id)")
    pair.right.execute("CREATE TABLE low PARTITION OF notes FOR VALUES FROM (0) TO (100)")
    pair.right.execute(
        f"CREATE SUBSCRIPTION {pair.role} CONNECTION '{pair.urls[0]}' PUBLICATION parts"
        " WITH (create_slot = false, slot_name = NONE, enabled = false, copy_data = false)".encode()
    )
    try:
        for tables in (["public.notes"], ["public.low"]):
            back = pair.back(snapshot="initial", tables=tables)
            assert refusal(back).startswith(f"subscription '{pair.role}' fills tables of this pipeline")
    finally:
        pair.right.execute(f"DROP SUBSCRIPTION {pair.role}".encode())
    assert start(pair.back(snapshot="initial")).severity is Severity.OK


def test_a_reader_that_may_not_see_what_is_filled_is_told_the_grant(pair: Pair) -> None:
    pair.back().run(until_current=True)
    pair.right.execute("INSERT INTO notes VALUES (1, 0)")
    pair.back().run(until_current=True)
    pair.left.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA tailrace FROM {pair.role}".encode())
    pair.left.execute(f"GRANT SELECT ON tailrace.position TO {pair.role}".encode())
    there = pair.there(user=pair.role, snapshot="initial")
    assert "may not see which tables they fill" in refusal(there)
    pair.grant(start(there))
    assert "'back' fills tables" in refusal(there)


def test_two_ways_that_begin_in_the_order_that_is_told_are_equal_at_rest(pair: Pair) -> None:
    """Each side writes keys of its own, the left from before the first snapshot on."""
    pair.left.execute("INSERT INTO notes SELECT 2 * i, 0 FROM generate_series(1, 20000) i")
    enough = threading.Event()

    def write(url: str, parity: int) -> None:
        with psycopg.connect(url, autocommit=True) as side:
            for number in itertools.count(1):
                key = 2 * (number % 500) + parity
                side.execute("INSERT INTO notes VALUES (%s, 0) ON CONFLICT (id) DO UPDATE SET n = notes.n + 1", [key])
                if number % 3 == 0:
                    side.execute("DELETE FROM notes WHERE id = %s", [key])
                if enough.is_set():
                    return

    def arrives(key: int, here: psycopg.Connection[Any], there: psycopg.Connection[Any]) -> None:
        here.execute("INSERT INTO notes VALUES (%s, 0)", [key])
        until(lambda: there.execute("SELECT 1 FROM notes WHERE id = %s", [key]).fetchone(), f"for row {key}")

    def cross(key: int) -> None:
        arrives(key, pair.left, pair.right)
        arrives(key + 1, pair.right, pair.left)

    with ExitStack() as stack:
        writers = stack.enter_context(ExitStack())
        writers.enter_context(beside(lambda: write(pair.urls[0], 0), enough.set))
        stack.enter_context(running(pair.there(snapshot="initial")))
        arrives(100000, pair.left, pair.right)  # behind the snapshot
        back = pair.back()
        stack.enter_context(running(back))
        until(lambda: back.status().caught_up_at, "for the way back to have begun")
        writers.enter_context(beside(lambda: write(pair.urls[1], 1), enough.set))
        cross(100001)
        writers.close()
        cross(100003)
        assert rows(pair.left) == rows(pair.right)
