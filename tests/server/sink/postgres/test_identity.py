"""Another table under the name of the one whose rows the target holds stops the pipeline, before any row."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import psycopg
import pytest

from tailrace.error import Fatal
from tailrace.model import Finding, Severity
from tailrace.pipeline import Pipeline, forget
from tailrace.sink.postgres import Postgres as Sink
from tailrace.source import Postgres as Source
from tests.server.sink.postgres.conftest import MakeRoad
from tests.server.sink.postgres.road import Road
from tests.waiting import until

ANOTHER = r"public\.a is another table at the source now \(oid {new}\) than .* in public\.a at the target \(oid {old}\)"
MADE = (
    "CREATE TABLE a (id int PRIMARY KEY, v text)",
    "CREATE TABLE b (id int PRIMARY KEY, v text)",
    "INSERT INTO a VALUES (1, 'a'), (2, 'a')",
    "INSERT INTO b VALUES (1, 'b')",
)
TAKEN = ("DROP TABLE a", "ALTER TABLE b RENAME TO a")
MORE = "INSERT INTO a VALUES (3, 'new')"
HELD = [(1, "a"), (2, "a")]


def oid(road: Road, name: str) -> int:
    [[found]] = road.source.execute("SELECT %s::regclass::oid::bigint", [name]).fetchall()
    return int(found)


def remembered(road: Road, name: str) -> list[tuple[int | None]]:
    return road.rows(f"SELECT source_oid::bigint FROM tailrace.target WHERE table_name = '{name}'")


def errors(road: Road) -> Sequence[Finding]:
    """What `tailrace check` finds at the target."""
    pipeline = road.make()
    assert isinstance(pipeline.sink, Sink)
    assert isinstance(pipeline.source, Source)
    tables = pipeline.source.tables_now(pipeline.name)
    found = [*pipeline.sink.check(), *pipeline.sink.check_tables(pipeline.name, tables)]
    return [finding for finding in found if finding.severity is Severity.ERROR]


@pytest.mark.parametrize(
    "statements",
    [TAKEN, ("DROP TABLE a", "CREATE TABLE a (id int PRIMARY KEY, v text)")],
    ids=["another takes its name", "dropped and created again"],
)
@pytest.mark.usefixtures("path")
def test_a_table_that_is_another_after_a_stop_is_refused_until_it_is_taken_over(
    road: Road, statements: Sequence[str]
) -> None:
    road.at_source(*MADE)
    road.run()
    old = oid(road, "a")
    assert remembered(road, "a") == [(old,)]
    road.at_source(*statements)
    with pytest.raises(Fatal, match=ANOTHER.format(new=oid(road, "a"), old=old)) as stopped:
        road.run()  # here the new one joins the publication, if it was made
        road.at_source(MORE)
        road.run()
    assert road.rows("SELECT * FROM a ORDER BY id") == HELD
    [finding] = errors(road)
    assert f"oid {old}" in finding.message and "tailrace reset" in finding.message
    hint = stopped.value.hint
    assert hint is not None and "tailrace reset" in hint and "tailrace verify --repair" in hint
    road.target.execute(hint[hint.index("UPDATE") :].encode())
    road.run()
    assert road.rows("SELECT * FROM a ORDER BY id") == [*HELD, (3, "new")]
    assert remembered(road, "a") == [(oid(road, "a"),)]
    assert not errors(road)


@pytest.mark.parametrize(
    "statements",
    [(*TAKEN, MORE), ("DROP TABLE a", "CREATE TABLE a (id int PRIMARY KEY, v text)", MORE)],
    ids=["another takes its name", "dropped and created again"],
)
def test_a_table_that_becomes_another_under_a_stream_is_refused(make_road: MakeRoad, statements: Sequence[str]) -> None:
    road = make_road()
    road.at_source(*MADE, "CREATE PUBLICATION everything FOR ALL TABLES")
    pipeline = Pipeline(
        Source(road.urls[0], tables=["public.*"], publication="everything"),
        Sink(road.urls[1]), name=road.make().name, state_dir=road.folder,
    )  # fmt: skip
    ended: list[BaseException] = []

    def run() -> None:
        try:
            pipeline.run()
        except Fatal as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        until(lambda: road.rows("SELECT to_regclass('a') IS NOT NULL") == [(True,)], "for the table")
        road.at_source("INSERT INTO a VALUES (9, 'last')")
        until(lambda: (9,) in road.rows("SELECT id FROM a"), "for the last row of the first table")
        old = oid(road, "a")
        road.at_source(*statements)
        # A row beside it is a sign that the stream went on.
        road.at_source("CREATE TABLE sign (id int PRIMARY KEY)", "INSERT INTO sign VALUES (1)")
        went_on = "SELECT to_regclass('sign') IS NOT NULL"
        until(lambda: not thread.is_alive() or road.rows(went_on) == [(True,)], "for what comes of it")
    finally:
        pipeline.stop()
        thread.join()
    assert road.rows("SELECT * FROM a ORDER BY id") == [*HELD, (9, "last")]
    with pytest.raises(Fatal, match=ANOTHER.format(new=oid(road, "a"), old=old)):
        raise ended[0]


def test_a_table_that_is_altered_rewritten_or_renamed_and_back_is_the_same(road: Road) -> None:
    road.at_source(*MADE)
    road.run()
    road.at_source("ALTER TABLE a RENAME TO elsewhere", "INSERT INTO elsewhere VALUES (3, 'away')")
    road.run()
    road.at_source("ALTER TABLE elsewhere RENAME TO a", "ALTER TABLE a ADD n int DEFAULT 1, ALTER id TYPE bigint")
    road.source.execute("VACUUM FULL a")
    road.at_source("TRUNCATE a", "INSERT INTO a VALUES (4, 'back', 2)")
    road.run()
    road.same("a")
    assert remembered(road, "a") == remembered(road, "elsewhere") == [(oid(road, "a"),)]


@pytest.mark.parametrize("snapshot", ["initial", "never"])
def test_a_reset_forgets_which_table_it_was(make_road: MakeRoad, snapshot: str) -> None:
    road = make_road()
    road.at_source(*MADE)
    road.run()
    road.at_source(*TAKEN, MORE)
    with pytest.raises(Fatal, match="another table at the source"):
        road.run()
    pipeline = road.make()
    forget(pipeline)
    pipeline.source.drop(pipeline.name)
    again = Pipeline(
        Source(road.urls[0], tables=["public.*"], snapshot=snapshot),  # type: ignore[arg-type]
        Sink(road.urls[1]), name=pipeline.name, state_dir=road.folder,
    )  # fmt: skip
    again.run(until_current=True)
    road.at_source("UPDATE a SET v = 'later' WHERE id = 3")
    again.run(until_current=True)
    rows = [(1, "b"), (3, "later")] if snapshot == "initial" else [*HELD, (3, "later")]
    assert road.rows("SELECT * FROM a ORDER BY id") == rows
    assert remembered(road, "a") == [(oid(road, "a"),)]


def test_what_an_earlier_release_remembers_gets_the_number_when_the_table_comes_next(road: Road) -> None:
    road.at_source(*MADE)
    road.run()
    road.target.execute("ALTER TABLE tailrace.target DROP COLUMN source_oid")
    assert not errors(road)
    columns = (
        "SELECT count(*) FROM pg_attribute WHERE attrelid = 'tailrace.target'::regclass AND attname = 'source_oid'"
    )
    assert road.rows(columns) == [(0,)]  # a check changes nothing
    road.at_source("INSERT INTO a VALUES (3, 'c')")
    road.run()
    assert remembered(road, "a") == [(oid(road, "a"),)]
    assert remembered(road, "b") == [(None,)]
    road.at_source(*TAKEN, "INSERT INTO a VALUES (4, 'd')")
    with pytest.raises(Fatal, match="another table at the source"):
        road.run()


def test_a_partitioned_table_is_known_by_its_root(road: Road) -> None:
    road.at_source(
        "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id)",
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)",
        "INSERT INTO p VALUES (1)",
    )
    road.run()
    road.at_source(
        "DROP TABLE p1", "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)", "INSERT INTO p VALUES (2)"
    )
    road.run()
    assert remembered(road, "p") == [(oid(road, "p"),)]
    assert road.rows("SELECT id FROM p ORDER BY id") == [(1,), (2,)]


def test_two_sources_in_one_table_do_not_take_one_anothers_for_another(
    make_road: MakeRoad, database15: str, target_database: str
) -> None:
    here = make_road(constants={"tenant": "here"})
    there = Road(database15, target_database, here.folder, constants={"tenant": "there"})
    there.at_source("CREATE TABLE first (id int PRIMARY KEY)", "CREATE TABLE second (id int PRIMARY KEY)")
    for road in (here, there, here, there):
        road.source.execute("CREATE TABLE IF NOT EXISTS a (id int PRIMARY KEY)")
        road.at_source("INSERT INTO a SELECT count(*) FROM a")
        road.run()
    assert here.rows("SELECT tenant, id FROM a ORDER BY 1, 2") == [
        (tenant, number) for tenant in ("here", "there") for number in range(2)
    ]
    numbers = here.rows("SELECT source_oid::bigint FROM tailrace.target WHERE table_name = 'a'")
    assert sorted(numbers) == sorted([(oid(here, "a"),), (oid(there, "a"),)])
    there.close()


def test_a_role_that_may_not_add_the_column_is_told_the_statement(road: Road) -> None:
    road.at_source(*MADE)
    road.run()
    name = road.target.info.dbname
    road.target.execute("ALTER TABLE tailrace.target DROP COLUMN source_oid")
    road.target.execute(f'CREATE ROLE "other_{name}" LOGIN'.encode())
    road.target.execute(f'GRANT USAGE, CREATE ON SCHEMA tailrace TO "other_{name}"'.encode())
    road.target.execute(
        f'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA tailrace TO "other_{name}"'.encode()
    )
    sink = Sink(psycopg.conninfo.make_conninfo(road.urls[1], user=f"other_{name}"))
    [finding] = [found for found in sink.check() if found.severity is Severity.ERROR]
    assert "may not add the column" in finding.message
    assert finding.fix is not None
    road.target.execute(finding.fix.encode())
    assert not [found for found in sink.check() if found.severity is Severity.ERROR]
