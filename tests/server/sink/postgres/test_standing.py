"""What a role may not do is done in another way, and older servers are served as well."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from servers import postgres
from tailrace.error import CheckFailed, Fatal, Reject
from tailrace.model import Column, Limits, Table
from tailrace.sink.postgres import Existing, Postgres
from tests.server.sink.postgres.road import Road
from tests.unit.sink.feed import LINEAGE, Feed

CHILD = Table(
    "public",
    "child",
    [Column("id", "int8", native="bigint", nullable=False), Column("parent", "int8", native="bigint")],
    key=["id"],
)
TABLES = """
CREATE TABLE parent (id int8 PRIMARY KEY, note text);
CREATE TABLE child (id int8 PRIMARY KEY, parent int8 REFERENCES parent DEFERRABLE);
"""


@contextmanager
def plain_role(url: str) -> Iterator[str]:
    """The URL of a role that owns the database's tables and may nothing else."""
    name = url.rpartition("/")[2]
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN".encode())
        admin.execute(f"GRANT CREATE ON DATABASE {name} TO {name}".encode())
        admin.execute(f"GRANT ALL ON SCHEMA public TO {name}".encode())
        try:
            yield url.replace("postgres@", f"{name}@")
        finally:
            admin.execute(f"DROP OWNED BY {name} CASCADE".encode())
            admin.execute(f"DROP ROLE {name}".encode())


@pytest.fixture
def plain_road(make_road: Callable[..., Road], target_database: str, tmp_path: Path) -> Iterator[Road]:
    """A road into tables of a role that may nothing else."""
    with plain_role(target_database) as url:
        with psycopg.connect(url) as owner:
            owner.execute(TABLES)
        road = Road(make_road().urls[0], url, tmp_path, existing=Existing.APPEND)
        road.source.execute(TABLES.encode())
        yield road
        road.close()


def test_a_role_with_few_rights_applies_in_the_order_of_the_source(plain_road: Road) -> None:
    road = plain_road
    road.run()  # a snapshot would bring children before their parents: `check` says so
    road.at_source("INSERT INTO parent VALUES (1, 'a'), (2, 'b')", "INSERT INTO child VALUES (1, 1), (2, 2)")
    road.run()
    road.at_source(
        "SET CONSTRAINTS ALL DEFERRED",
        "INSERT INTO child SELECT i, 1000 + i FROM generate_series(10, 300) i",
        "INSERT INTO parent SELECT 1000 + i, 'late' FROM generate_series(10, 300) i",
        "UPDATE child SET parent = 1010 WHERE id = 2",
        "DELETE FROM parent WHERE id = 2",
    )
    road.run()
    road.same("parent", "child")


def test_rows_that_are_yet_to_be_checked_do_not_keep_their_table_from_being_altered(plain_road: Road) -> None:
    road = plain_road
    road.source.execute("ALTER TABLE child ADD weight real")
    road.run()
    road.at_source("INSERT INTO parent VALUES (1, 'a')", "INSERT INTO child VALUES (1, 1, 0.1)")
    road.at_source("ALTER TABLE child ALTER weight TYPE float8")
    road.at_source("INSERT INTO child VALUES (2, 1, 0.1)")
    road.run()
    road.same("parent", "child")


def test_keys_that_a_foreign_key_of_the_target_has_changed_already_are_those_of_the_source(plain_road: Road) -> None:
    road = plain_road
    tables = (
        "CREATE TABLE area (code text PRIMARY KEY, note text)",
        "CREATE TABLE place (code text REFERENCES area ON UPDATE CASCADE ON DELETE CASCADE, no int, note text,"
        " big text, PRIMARY KEY (code, no))",
        "ALTER TABLE place ALTER big SET STORAGE EXTERNAL",
    )
    with psycopg.connect(road.urls[1], autocommit=True) as owner:
        for statement in tables:
            owner.execute(statement.encode())
            road.source.execute(statement.encode())
    road.run()
    road.at_source(
        "INSERT INTO area SELECT 'a' || i, 'n' FROM generate_series(1, 9) i",
        "INSERT INTO place SELECT 'a' || i, i, 'n', repeat('x', 9000 * (i % 2)) FROM generate_series(1, 9) i",
    )
    road.run()
    road.at_source("UPDATE area SET code = 'b' || code, note = 'moved' WHERE code > 'a3'", "UPDATE place SET note = ''")
    road.at_source("DELETE FROM area WHERE code = 'ba5'")
    road.run()
    road.same("area", "place")
    assert not (road.folder / "letters").exists() or not (road.folder / "letters").stat().st_size


def test_a_deferred_constraint_blames_a_change_of_its_table(target_database: str) -> None:
    with plain_role(target_database) as url, psycopg.connect(url, autocommit=True) as owner:
        owner.execute(TABLES.encode())
        feed, writer = Feed(), Postgres(url).open("p", Limits())
        writer.claim(LINEAGE)
        batch = feed.commit(
            *(("c", {"id": str(key), "parent": "77" if key == 3 else None}) for key in range(5)), table=CHILD
        )
        parked = []
        while True:
            try:
                writer.write(batch)
                break
            except Reject as reject:
                [(index, reason)] = reject.reasons.items()
                assert "foreign key violation" in reason and "child_parent_fkey" in reason
                parked.append(index)
                batch = batch.without([index])
        assert parked
        assert owner.execute("SELECT count(*) FROM child WHERE parent IS NOT NULL").fetchall() == [(0,)]
        writer.close()


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("version", [14, 15])
def test_older_servers_are_sources_and_targets_as_well(
    start_postgres: Callable[..., postgres.Server], tmp_path: Path, version: int
) -> None:
    server = start_postgres(version)
    road = Road(server.create_database("left"), server.create_database("right"), tmp_path)
    road.source.execute("CREATE TABLE orders (id int PRIMARY KEY, note text)")
    road.at_source("INSERT INTO orders SELECT i, 'n' || i FROM generate_series(1, 200) i")
    road.run()
    road.at_source("UPDATE orders SET note = 'x' WHERE id % 3 = 0", "DELETE FROM orders WHERE id % 5 = 0")
    road.at_source("UPDATE orders SET id = id + 1000 WHERE id < 50", "INSERT INTO orders VALUES (7)")
    road.run()
    road.same("orders")
    road.close()


@pytest.mark.parametrize(
    ("version", "setting"), [(18, "max_active_replication_origins"), (15, "max_replication_slots")]
)
def test_a_server_without_a_free_origin_is_refused(
    start_postgres: Callable[..., postgres.Server], version: int, setting: str
) -> None:
    server = start_postgres(version, settings={setting: "1"})
    with closing(Postgres(server.url).open("first", Limits())) as first:
        first.claim(LINEAGE)
        with (
            closing(Postgres(server.url).open("second", Limits())) as second,
            pytest.raises(
                CheckFailed, match="no replication origin is free in the target for the pipeline 'second'"
            ) as full,
        ):
            second.claim(LINEAGE)
    assert setting in (full.value.hint or "")


def test_a_key_that_the_target_gives_out_alone_is_told_with_what_mends_it(make_road: Callable[..., Road]) -> None:
    road = make_road()
    road.both("CREATE TABLE lots (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text)")
    road.run()
    road.at_source("INSERT INTO lots (note) VALUES ('a')")
    road.run()
    road.at_source("UPDATE lots SET id = DEFAULT")
    with pytest.raises(Fatal, match=r"a row of public.lots got another key \(id\), which is GENERATED ALWAYS") as told:
        road.run()
    assert told.value.hint is not None
    road.target.execute(told.value.hint.partition(": ")[2].encode())
    road.run()
    road.same("lots")
