"""Every kind of change reaches the target, on both paths."""

from __future__ import annotations

import threading

import psycopg
import pytest

from tailrace.error import Fatal
from tests.server.sink.postgres.road import Road

pytestmark = pytest.mark.usefixtures("path")

ORDERS = "CREATE TABLE orders (id int8 PRIMARY KEY, note text, amount numeric(12,2))"
LONG = "x" * 20_000
"""Stored out of line, so that an update of another column does not send it."""


def test_inserts_updates_and_deletes_arrive(road: Road) -> None:
    road.both(ORDERS)
    road.at_source("INSERT INTO orders SELECT i, 'a\tb\\' || i, i / 4.0 FROM generate_series(1, 50) i")
    road.run()
    road.same("orders")
    road.at_source(
        "INSERT INTO orders SELECT i, E'line\\nfeed', NULL FROM generate_series(51, 500) i",
        "UPDATE orders SET note = note || '!' WHERE id % 3 = 0",
        "DELETE FROM orders WHERE id % 7 = 0",
        "INSERT INTO orders VALUES (7, 'again', 1), (14, 'again', 2)",
        "UPDATE orders SET note = NULL WHERE id = 14",
    )
    road.at_source("DELETE FROM orders WHERE id = 7")
    road.run()
    road.same("orders")


def test_changes_of_keys_arrive_alone_and_en_masse(road: Road) -> None:
    road.both(ORDERS)
    road.at_source("INSERT INTO orders SELECT i, 'n' || i, i FROM generate_series(1, 300) i")
    road.run()
    road.at_source("UPDATE orders SET id = 1000 WHERE id = 1", "UPDATE orders SET id = 1 WHERE id = 2")
    road.at_source("UPDATE orders SET id = -id WHERE id < 300")
    road.at_source(
        "UPDATE orders SET id = id + 5000, note = 'moved' WHERE id > 0", "DELETE FROM orders WHERE id = 6000"
    )
    road.run()
    road.same("orders")


def test_columns_that_only_the_target_has_keep_their_cells(road: Road) -> None:
    road.source.execute(ORDERS.encode())
    road.at_source("INSERT INTO orders SELECT i, 'n' || i, i FROM generate_series(1, 30) i")
    road.run()
    road.target.execute("ALTER TABLE orders ADD mark int")
    road.target.execute("UPDATE orders SET mark = id")
    road.at_source("UPDATE orders SET note = 'x' WHERE id < 10", "UPDATE orders SET id = id + 100")
    road.run()
    assert road.rows("SELECT count(*) FROM orders WHERE id = mark + 100") == [(30,)]


def test_cells_that_were_not_sent_stay(road: Road) -> None:
    road.both(ORDERS, "ALTER TABLE orders ALTER note SET STORAGE EXTERNAL")
    road.at_source(f"INSERT INTO orders SELECT i, '{LONG}' || i, i FROM generate_series(1, 9) i")
    road.run()
    road.at_source("UPDATE orders SET amount = 0 WHERE id < 5", "UPDATE orders SET id = 100 WHERE id = 9")
    road.at_source("UPDATE orders SET note = 'short' WHERE id = 6", "UPDATE orders SET amount = 7 WHERE id = 6")
    road.run()
    road.same("orders")


def test_an_update_that_changes_none_of_the_cells_that_were_sent_finds_its_row(road: Road) -> None:
    columns = "(id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text)"
    road.both(
        f"CREATE TABLE pages {columns}",
        "CREATE TABLE words (word text PRIMARY KEY, body text)",
        "CREATE TABLE lines (body text)",
        "ALTER TABLE lines REPLICA IDENTITY FULL",
        "ALTER TABLE words ALTER word SET STORAGE EXTERNAL",
        *(f"ALTER TABLE {table} ALTER body SET STORAGE EXTERNAL" for table in ("pages", "words", "lines")),
    )
    road.at_source(f"INSERT INTO pages (body) SELECT '{LONG}' || i FROM generate_series(1, 9) i")
    road.at_source(f"INSERT INTO words SELECT repeat('w', 2500) || i, '{LONG}' || i FROM generate_series(1, 9) i")
    road.at_source(f"INSERT INTO lines SELECT '{LONG}' || i % 2 FROM generate_series(1, 9) i")
    road.run()
    road.at_source(*(f"UPDATE {table} SET body = body" for table in ("pages", "words", "lines")))
    road.at_source("UPDATE pages SET body = 'short' WHERE id = 9")
    road.run()
    road.same("pages", "words", "lines")


def test_unique_values_that_rows_hand_on_or_swap_arrive(road: Road) -> None:
    road.both("CREATE TABLE users (id int PRIMARY KEY, name text UNIQUE)")
    road.at_source("INSERT INTO users SELECT i, 'u' || i FROM generate_series(1, 100) i")
    road.run()
    road.at_source(
        "UPDATE users SET name = 'x' WHERE id = 1",
        "UPDATE users SET name = 'u1' WHERE id = 2",
        "UPDATE users SET name = 'u2' WHERE id = 1",
        "DELETE FROM users WHERE id = 3",
        "INSERT INTO users VALUES (200, 'u3')",
        "UPDATE users SET name = 'free' WHERE id = 5",
        "INSERT INTO users VALUES (201, 'u5')",
    )
    road.run()
    road.same("users")


def test_deferrable_and_exclusion_constraints_of_the_target_hold(road: Road) -> None:
    # All that differs is when the target looks: after each row, or when the transaction ends.
    road.source.execute("CREATE TABLE slots (id int PRIMARY KEY, u int UNIQUE DEFERRABLE, r int4range)")
    road.target.execute(
        "CREATE TABLE slots (id int PRIMARY KEY, u int UNIQUE DEFERRABLE INITIALLY DEFERRED, r int4range,"
        " EXCLUDE USING gist (r WITH &&))"
    )
    road.at_source("INSERT INTO slots SELECT i, i, int4range(10 * i, 10 * i + 10) FROM generate_series(1, 9) i")
    road.run()
    road.at_source(
        "UPDATE slots SET u = 10 - u",
        "UPDATE slots SET r = 'empty' WHERE id < 3",
        "UPDATE slots SET r = int4range(20, 30) WHERE id = 1",
        "UPDATE slots SET r = int4range(10, 20) WHERE id = 2",
        "UPDATE slots SET id = id + 100",
    )
    road.run()
    road.same("slots")


def test_a_key_that_is_widened_between_changes_is_followed(road: Road) -> None:
    road.at_source(
        "CREATE TABLE k (id int PRIMARY KEY, v int)", "INSERT INTO k SELECT i, i FROM generate_series(1, 9) i"
    )
    road.run()
    road.at_source(
        "UPDATE k SET v = v + 1",
        "ALTER TABLE k ALTER id TYPE bigint",
        "INSERT INTO k VALUES (5000000000, 1)",
        "UPDATE k SET id = id + 5000000000 WHERE id < 5",
        "DELETE FROM k WHERE id = 7",
    )
    road.run()
    road.same("k")


def test_a_row_that_is_missing_is_added_when_the_change_says_all_of_it(road: Road) -> None:
    road.both(ORDERS)
    road.at_source("INSERT INTO orders SELECT i, 'n', i FROM generate_series(1, 5) i")
    road.run()
    road.target.execute("DELETE FROM orders WHERE id > 2")
    road.at_source("UPDATE orders SET note = 'new' WHERE id = 3", "DELETE FROM orders WHERE id > 3")
    road.run()
    road.same("orders")


def test_rows_without_a_key_are_told_apart_by_all_their_columns(road: Road) -> None:
    road.both(
        "CREATE TABLE notes (a int, b text, c json, d char(5), e point, f numeric(8,3))",
        "ALTER TABLE notes REPLICA IDENTITY FULL",
    )
    row = "(1, 'x', '{\"x\":  1}', 'ab', '(1,2)', 1.5)"
    road.at_source(f"INSERT INTO notes VALUES {row}, {row}, {row}", "INSERT INTO notes VALUES (NULL, NULL)")
    road.run()
    road.at_source("DELETE FROM notes WHERE ctid = (SELECT ctid FROM notes WHERE a = 1 LIMIT 1)")
    road.at_source("UPDATE notes SET b = 'y' WHERE ctid = (SELECT ctid FROM notes WHERE a = 1 LIMIT 1)")
    road.at_source("UPDATE notes SET b = 'z' WHERE a IS NULL", "INSERT INTO notes (a) VALUES (7), (8)")
    road.run()
    road.same("notes")


def test_rows_of_a_table_without_any_identity_are_added(road: Road) -> None:
    road.both("CREATE TABLE log (line text)")
    road.at_source("INSERT INTO log VALUES ('a'), ('a')")
    road.run()
    road.at_source("INSERT INTO log VALUES ('a'), ('\\.'), (NULL)")
    road.run()
    road.same("log")


def test_truncate_empties_tables_together_and_sequences_with_them(road: Road) -> None:
    road.both(
        "CREATE TABLE parent (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY)",
        "CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent)",
    )
    road.at_source("INSERT INTO parent SELECT FROM generate_series(1, 9)", "INSERT INTO child VALUES (1, 1)")
    road.run()
    road.target.execute("SELECT setval(pg_get_serial_sequence('parent', 'id'), 100)")
    road.at_source(
        "INSERT INTO child VALUES (2, 2)",
        "TRUNCATE parent RESTART IDENTITY CASCADE",
        "INSERT INTO parent VALUES (77)",
        "INSERT INTO child VALUES (5, 77)",
    )
    road.run()
    road.same("parent", "child")
    assert road.rows("SELECT nextval(pg_get_serial_sequence('parent', 'id'))") == [(1,)]


def test_truncate_cascade_leaves_alone_what_only_the_target_has(road: Road) -> None:
    road.both("CREATE TABLE parent (id int PRIMARY KEY)", "CREATE TABLE child (id int REFERENCES parent)")
    road.at_source("INSERT INTO parent VALUES (1), (2)", "INSERT INTO child VALUES (1)")
    road.run()
    road.target.execute("CREATE TABLE theirs (id int PRIMARY KEY REFERENCES parent)")
    road.target.execute("INSERT INTO theirs VALUES (2)")
    road.at_source("TRUNCATE parent CASCADE", "INSERT INTO parent VALUES (2)")
    with pytest.raises(Fatal, match="cannot truncate a table referenced in a foreign key constraint") as refused:
        road.run()
    assert refused.value.hint is not None and '"theirs"' in refused.value.hint
    road.target.execute("ALTER TABLE theirs DROP CONSTRAINT theirs_id_fkey")
    road.run()
    road.same("parent", "child")
    assert road.rows("SELECT id FROM theirs") == [(2,)]


def test_generated_and_identity_columns_and_partitions_are_written(road: Road) -> None:
    road.both(
        "CREATE TABLE items (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int, double int GENERATED ALWAYS AS"
        " (n * 2) STORED)",
        "CREATE TABLE parts (id int PRIMARY KEY, n int) PARTITION BY RANGE (id)",
        "CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (100)",
        "CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (100) TO (1000)",
    )
    road.at_source("INSERT INTO items (n) VALUES (1), (2), (3)", "INSERT INTO parts VALUES (1, 1), (150, 2)")
    road.run()
    road.at_source("UPDATE items SET n = 7 WHERE id = 2", "INSERT INTO items (n) VALUES (9)")
    road.at_source("UPDATE parts SET id = 120 WHERE id = 1", "INSERT INTO parts VALUES (5, 5)")
    road.run()
    road.same("items", "parts")


def test_an_identity_that_takes_no_updates_is_refused_before_rows_are_written(road: Road) -> None:
    road.both("CREATE TABLE t (id int PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY, v int)")
    road.source.execute("INSERT INTO t (id, v) VALUES (1, 1)")
    with pytest.raises(Fatal, match=r"column n of public\.t is GENERATED ALWAYS AS IDENTITY") as stopped:
        road.run()
    assert stopped.value.hint is not None
    road.target.execute(stopped.value.hint.encode())
    road.run()
    road.source.execute("UPDATE t SET v = 2, n = DEFAULT")
    road.run()
    road.same("t")


def test_messages_are_passed_over(road: Road) -> None:
    road.both(ORDERS)
    road.run()
    road.at_source("SELECT pg_logical_emit_message(true, 'p', 'x')", "INSERT INTO orders VALUES (1)")
    road.at_source("SELECT pg_logical_emit_message(false, 'p', 'x')")
    road.run()
    road.same("orders")


def test_triggers_and_foreign_keys_do_not_fire_at_the_target(road: Road) -> None:
    road.both(
        "CREATE TABLE parent (id int PRIMARY KEY)",
        "CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent ON DELETE CASCADE)",
    )
    road.target.execute("CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    road.target.execute("CREATE TRIGGER spoil BEFORE INSERT ON child FOR EACH ROW EXECUTE FUNCTION spoil()")
    road.at_source("INSERT INTO parent VALUES (1), (2)", "INSERT INTO child VALUES (1, 1), (2, 2)")
    road.run()
    road.same("parent", "child")
    road.at_source("DELETE FROM parent WHERE id = 1")
    road.run()
    road.same("parent", "child")


def test_reading_the_target_meanwhile_never_breaks_an_invariant(road: Road) -> None:
    road.both("CREATE TABLE accounts (id int PRIMARY KEY, balance int)")
    road.at_source("INSERT INTO accounts SELECT i, 100 FROM generate_series(1, 20) i")
    road.run()
    for amount in range(1, 30):
        road.at_source(
            f"UPDATE accounts SET balance = balance - {amount} WHERE id = {1 + amount % 7}",
            f"UPDATE accounts SET balance = balance + {amount} WHERE id = {8 + amount % 9}",
        )
    thread = threading.Thread(target=road.run)
    with psycopg.connect(road.urls[1], autocommit=True) as reader:
        sums = set(reader.execute("SELECT sum(balance) FROM accounts").fetchall())
        thread.start()
        while thread.is_alive():
            sums.update(reader.execute("SELECT sum(balance) FROM accounts").fetchall())
    thread.join()
    assert sums == {(2000,)}
    road.same("accounts")
