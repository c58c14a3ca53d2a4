"""What the target refuses is found, named without its values, and parked; what passes is tried again."""

from __future__ import annotations

import psycopg
import pytest

from tailrace._native import BatchBuilder
from tailrace.dead_letters.request import Action, submit
from tailrace.error import CheckFailed, Fatal, Reject, Retryable
from tailrace.model import UNCHANGED, Column, Limits, Table
from tailrace.sink.postgres import Postgres
from tailrace.sink.postgres.writer import PostgresWriter
from tests.origin import drop_origins
from tests.server.sink.postgres.road import Road
from tests.unit.sink.feed import LINEAGE, NOTES, Feed

pytestmark = pytest.mark.usefixtures("path")

SECRET = "a secret of the row"


def opened(url: str) -> PostgresWriter:
    writer = Postgres(url).open("p", Limits())
    writer.claim(LINEAGE)
    return writer


@pytest.mark.parametrize(
    ("constraint", "named"),
    [
        (f"CHECK (note <> '{SECRET}')", "check violation"),
        ("UNIQUE (note)", "unique violation"),
    ],
)
def test_the_change_that_breaks_a_constraint_is_blamed_alone(database: str, constraint: str, named: str) -> None:
    with psycopg.connect(database, autocommit=True) as target:
        feed, writer = Feed(), opened(database)
        writer.write(feed.commit(("c", {"id": "100", "note": SECRET if "UNIQUE" in constraint else "n"})))
        target.execute(f"ALTER TABLE orders ADD CONSTRAINT rule {constraint}".encode())
        batch = feed.commit(*(("c", {"id": str(key), "note": SECRET if key == 7 else f"n{key}"}) for key in range(20)))
        with pytest.raises(Reject) as refused:
            writer.write(batch)
        [(index, reason)] = refused.value.reasons.items()
        assert index == 7
        assert named in reason and "public.orders" in reason and "rule" in reason and "key id" in reason
        assert SECRET not in reason
        assert target.execute("SELECT count(*) FROM orders").fetchone() == (1,)
        writer.write(batch.without([7]))
        assert target.execute("SELECT count(*) FROM orders").fetchone() == (20,)
        writer.close()


def test_a_value_that_the_target_cannot_hold_is_blamed_without_being_told(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as target:
        feed, writer = Feed(), opened(database)
        writer.write(feed.insert(1))
        target.execute("ALTER TABLE orders ALTER note TYPE varchar(5)")
        with pytest.raises(Reject) as refused:
            writer.write(feed.commit(("c", {"id": "2", "note": "short"}), ("u", {"id": "1", "note": SECRET})))
        assert refused.value.reasons.keys() == {1}
        assert SECRET not in refused.value.reasons[1] and "(SQLSTATE 22001)" in refused.value.reasons[1]
        writer.close()


def test_an_update_of_a_missing_row_that_does_not_say_all_of_it_is_refused(database: str) -> None:
    feed, writer = Feed(), opened(database)
    with pytest.raises(Reject, match="1 change") as refused:
        writer.write(feed.commit(("c", {"id": "1", "note": "a"}), ("u", {"id": "2", "note": UNCHANGED})))
    assert "no such row" in refused.value.reasons[1]
    writer.write(feed.commit(("u", {"id": "3", "note": "all of it"}), ("d", {"id": "4"})))
    assert writer.missing == 2
    writer.close()


def test_all_changes_that_are_refused_are_found_at_once(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as target:
        feed, writer = Feed(), opened(database)
        writer.write(feed.insert(1))
        target.execute("ALTER TABLE orders ADD CHECK (id % 10 <> 3)")
        batch = feed.insert(*range(2, 500))
        with pytest.raises(Reject) as refused:
            writer.write(batch)
        assert set(refused.value.reasons) == {key - 2 for key in range(3, 500, 10)}
        assert target.execute("SELECT count(*) FROM orders").fetchone() == (1,)
        writer.write(batch.without(list(refused.value.reasons)))
        assert target.execute("SELECT count(*) FROM orders").fetchone() == (449,)
        writer.close()


def test_a_snapshot_that_meets_rows_of_others_is_refused_row_by_row(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as target:
        feed, writer = Feed(), opened(database)
        writer.write(feed.snapshot("first", 1, 2, begin=True))
        target.execute("INSERT INTO orders VALUES (400, 'of somebody else')")
        with pytest.raises(Reject) as refused:
            writer.write(feed.snapshot("first", *range(3, 500)))
        assert set(refused.value.reasons) == {397}
        writer.close()


def test_a_lock_that_is_held_too_long_is_retried(database: str) -> None:
    feed, writer = Feed(), opened(database)
    writer.write(feed.insert(1))
    writer._connection.execute("SET lock_timeout = '50ms'")
    with psycopg.connect(database) as other:
        other.execute("LOCK TABLE orders")
        with pytest.raises(Retryable, match="lock timeout"):
            writer.write(feed.insert(2))
    writer.write(feed.insert(2))
    writer.close()


def test_a_missing_right_is_named(database: str) -> None:
    role = database.rpartition("/")[2]
    with psycopg.connect(database, autocommit=True) as target:
        target.execute("CREATE TABLE orders (id int8 PRIMARY KEY, note text)")
        opened(database).close()
        target.execute(f"CREATE ROLE {role} LOGIN".encode())
        try:
            # The role may not mark its writes, which is refused where the one before it has.
            drop_origins(target, target.info.dbname)
            target.execute(f"GRANT ALL ON SCHEMA tailrace TO {role}".encode())
            target.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA tailrace TO {role}".encode())
            feed, writer = Feed(), opened(database.replace("postgres@", f"{role}@"))
            with pytest.raises(CheckFailed, match="permission denied"):
                writer.write(feed.insert(1))
            writer.close()
        finally:
            target.execute(f"DROP OWNED BY {role}".encode())
            target.execute(f"DROP ROLE {role}".encode())


def test_i14_a_refused_row_of_a_table_without_a_key_is_replayed_exactly_once(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as target:
        feed, writer = Feed(), opened(database)
        writer.write(feed.commit(("c", {"line": "first"}), table=NOTES))
        letter = feed.commit(("c", {"line": "parked"}), table=NOTES)
        writer.write(last := feed.commit(("c", {"line": "later"}), table=NOTES))
        [change] = letter
        for _ in range(2):  # the process died before the letter was removed
            writer.write(last.with_changes([change]))
            writer.close()
            writer = opened(database)
        rows = "SELECT line FROM notes ORDER BY line"
        assert target.execute(rows.encode()).fetchall() == [("first",), ("later",), ("parked",)]
        writer.forget_replayed([change.position])
        assert target.execute("SELECT count(*) FROM tailrace.replayed").fetchone() == (0,)
        writer.close()


@pytest.mark.parametrize("op", ["c", "u", "d"])
def test_text_with_nul_is_refused_and_never_shortened(database: str, op: str) -> None:
    table = Table("public", "tags", [Column("tag", "text", nullable=False), Column("note", "text")], key=["tag"])

    def change(op: str, tag: str, note: str) -> tuple[str, dict[str, str | None]]:
        return op, {"tag": tag, "note": note}

    with psycopg.connect(database, autocommit=True) as target:
        feed, writer = Feed(), opened(database)
        writer.write(feed.commit(*(change("c", tag, "old") for tag in "abcd"), table=table))
        if op == "c":
            target.execute("TRUNCATE tags")
        key, note = change(op, f"b\0{SECRET}", "new"), change(op, "c", f"new\0{SECRET}")
        batch = feed.commit(change(op, "a", "new"), key, note, change(op, "d", "new"), table=table)
        with pytest.raises(Reject) as refused:
            writer.write(batch)
        reasons = refused.value.reasons
        assert reasons.keys() == ({1} if op == "d" else {1, 2})  # only the key says which row is deleted
        for index, why in reasons.items():
            assert f"public.tags, column {('tag', 'note')[index - 1]}" in why and "U+0000" in why and SECRET not in why
        writer.write(batch.without(list(reasons)))
        left = [("b", "old"), ("c", "old")] if op == "u" else [("b", "old")] if op == "d" else []
        new = [] if op == "d" else [("a", "new"), ("d", "new")]
        assert target.execute("SELECT tag, note FROM tags ORDER BY tag").fetchall() == sorted(left + new)
        writer.close()


def test_rows_of_a_snapshot_with_nul_are_refused(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as target:
        feed, writer = Feed(), opened(database)
        writer.write(feed.snapshot("first", 1, begin=True))
        with pytest.raises(Reject) as refused:
            writer.write(feed.snapshot("first", 2, 3, note="s\0"))
        assert refused.value.reasons.keys() == {0, 1}
        assert target.execute("SELECT id FROM orders").fetchall() == [(1,)]
        writer.close()


def test_a_key_that_the_target_gives_out_is_named_whatever_comes_before_it(database: str) -> None:
    lots = Table("public", "lots", [Column("id", "int8", nullable=False), Column("note", "text")], key=["id"])
    with psycopg.connect(database, autocommit=True) as target:
        target.execute("CREATE TABLE lots (id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text, own int)")
        builder, writer = BatchBuilder(LINEAGE, database="shop"), opened(database)
        builder.begin(xid=1, lsn=4096, committed_at_us=1_700_000_000_000_000)
        builder.message("before", b"it")
        builder.add("c", lots, after={"id": "1", "note": "a"})
        builder.add("u", lots, before={"id": "1"}, after={"id": "2", "note": "a"})
        builder.commit()
        with pytest.raises(Fatal, match=r"a row of public\.lots got another key \(id\)"):
            writer.write(builder.take())
        writer.close()


def test_refused_rows_are_parked_and_arrive_when_they_are_replayed(road: Road) -> None:
    road.source.execute("CREATE TABLE users (id int PRIMARY KEY, name text)")
    road.run()
    road.target.execute("ALTER TABLE users ADD CONSTRAINT decent CHECK (name NOT LIKE 'bad%')")
    road.at_source("INSERT INTO users VALUES (1, 'good'), (2, 'bad'), (3, 'good')")
    road.at_source("UPDATE users SET name = 'bad too' WHERE id = 2")
    road.run()
    assert road.rows("SELECT id FROM users ORDER BY id") == [(1,), (3,)]
    road.target.execute("ALTER TABLE users DROP CONSTRAINT decent")
    submit(road.folder / "letters", Action.REPLAY, None)
    road.at_source("INSERT INTO users VALUES (4, 'x')")
    road.run()
    road.at_source("INSERT INTO users VALUES (5, 'y')")
    road.run()
    road.same("users")
