"""What happens to a publication while it is read, of which the stream says nothing."""

from __future__ import annotations

import logging

import pytest

from tailrace.model import Severity
from tailrace.source.postgres import measure
from tests.server.postgres.reading import Make, Sql


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The publication is looked at with each question to the server."""
    monkeypatch.setattr(measure, "_ROSTER_S", 0.0)
    monkeypatch.setattr(measure, "_PACE_S", 0.0)


def test_partitions_that_bring_rows_or_take_them_along_are_told(
    any_database: str, sql: Sql, reading: Make, caplog: pytest.LogCaptureFixture
) -> None:
    sql(any_database, "CREATE TABLE m (id int PRIMARY KEY) PARTITION BY RANGE (id)")
    for number in range(3):
        bounds = f"FROM ({number * 10}) TO ({number * 10 + 10})"
        sql(any_database, f"CREATE TABLE m_{number} PARTITION OF m FOR VALUES {bounds}")
    sql(any_database, "CREATE TABLE late (LIKE m INCLUDING ALL)", "INSERT INTO late VALUES (31)")
    it = reading(any_database, tables=["public.m"], snapshot="never").open().first()
    with caplog.at_level(logging.WARNING):
        sql(any_database, "CREATE TABLE new PARTITION OF m FOR VALUES FROM (40) TO (50)")
        sql(any_database, "ALTER TABLE m ATTACH PARTITION late FOR VALUES FROM (30) TO (40)")
        it.until(lambda: "public.late: attached to public.m, with rows" in caplog.text)
        sql(any_database, "ALTER TABLE m DETACH PARTITION m_0", "DROP TABLE m_1", "INSERT INTO m VALUES (25), (45)")
        it.until(lambda: "no partition of public.m any more" in caplog.text).count(2)
    assert "public.m_0, public.m_1: no partition of public.m any more" in caplog.text
    assert "public.new" not in caplog.text and "m_2" not in caplog.text


def test_a_partition_that_was_made_filled_and_attached_between_two_looks_is_told(
    any_database: str, sql: Sql, reading: Make, caplog: pytest.LogCaptureFixture
) -> None:
    sql(any_database, "CREATE TABLE m (id int PRIMARY KEY) PARTITION BY RANGE (id)")
    sql(any_database, "CREATE TABLE grown (LIKE m INCLUDING ALL) PARTITION BY RANGE (id)")
    sql(any_database, "ALTER TABLE m ATTACH PARTITION grown FOR VALUES FROM (0) TO (10)")
    sql(any_database, "CREATE TABLE d (a int DEFAULT 1, b int DEFAULT 2) PARTITION BY LIST (a)")
    it = reading(any_database, tables=["public.m", "public.d"], snapshot="never").open().first()
    with caplog.at_level(logging.WARNING):
        sql(any_database, "CREATE TABLE leaf PARTITION OF grown FOR VALUES FROM (0) TO (10)")
        sql(any_database, "CREATE TABLE leaf_d PARTITION OF d (b DEFAULT 3, PRIMARY KEY (a)) FOR VALUES IN (1)")
        sql(any_database, "CREATE TABLE late (LIKE m INCLUDING ALL)", "INSERT INTO late VALUES (11)")
        sql(any_database, "CREATE TABLE wide (LIKE m INCLUDING ALL) PARTITION BY RANGE (id)")
        sql(any_database, "CREATE TABLE below PARTITION OF wide FOR VALUES FROM (20) TO (30)")
        sql(any_database, "INSERT INTO wide VALUES (21)")
        sql(any_database, "ALTER TABLE m ATTACH PARTITION wide FOR VALUES FROM (20) TO (30)")
        sql(any_database, "ALTER TABLE m ATTACH PARTITION late FOR VALUES FROM (10) TO (20)")
        it.until(lambda: all(f"public.{name}" in caplog.text for name in ("late", "below")))
    assert "attached to public.m, with rows" in caplog.text and "leaf" not in caplog.text


def test_a_partition_that_one_transaction_makes_fills_and_attaches_is_told(
    any_database: str, sql: Sql, reading: Make, caplog: pytest.LogCaptureFixture
) -> None:
    sql(any_database, "CREATE TABLE m (id int PRIMARY KEY, n int DEFAULT 7) PARTITION BY RANGE (id)")
    it = reading(any_database, tables=["public.m"], snapshot="never").open().first()
    with caplog.at_level(logging.WARNING):
        sql(
            any_database, "CREATE TABLE leaf PARTITION OF m FOR VALUES FROM (0) TO (10)", "INSERT INTO leaf VALUES (1)",
            "CREATE TABLE tree PARTITION OF m FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (id)",
            "CREATE TABLE twig PARTITION OF tree FOR VALUES FROM (10) TO (20)", "INSERT INTO m VALUES (11)",
        )  # fmt: skip
        it.count(2)
        sql(
            any_database, "CREATE TABLE wide (LIKE m INCLUDING ALL) PARTITION BY RANGE (id)",
            "CREATE TABLE below PARTITION OF wide FOR VALUES FROM (30) TO (40)", "INSERT INTO wide VALUES (31)",
            "ALTER TABLE m ATTACH PARTITION wide FOR VALUES FROM (30) TO (40)",
        )  # fmt: skip
        sql(
            any_database, "CREATE TABLE late (id int NOT NULL, n int)", "INSERT INTO late VALUES (21)",
            "ALTER TABLE m ATTACH PARTITION late FOR VALUES FROM (20) TO (30)",
        )  # fmt: skip
        it.until(lambda: all(f"public.{name}" in caplog.text for name in ("late", "below")))
    assert all(name not in caplog.text for name in ("leaf", "tree", "twig"))
    assert len(it.seen) == 2


def test_columns_that_a_publication_leaves_out_are_told(
    any_database: str, sql: Sql, reading: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """The server says nothing: rows come without them, as if they had been dropped."""
    sql(any_database, 'CREATE TABLE t (id int PRIMARY KEY, a text, "B" text, gone text)')
    it = reading(any_database, tables=["public.t"], snapshot="never").open().first()
    own = f"tailrace_{it.name}"
    with caplog.at_level(logging.WARNING):
        sql(any_database, "ALTER TABLE t DROP gone", f"ALTER PUBLICATION {own} SET TABLE t (id, a)")
        it.until(lambda: f"publication {own} leaves out B of public.t now" in caplog.text)
        sql(any_database, "INSERT INTO t VALUES (1, 'a', 'b')")
        it.count(1)
        sql(any_database, f"ALTER PUBLICATION {own} SET TABLE t")
        it.until(lambda: f"publication {own} leaves out B of public.t no more" in caplog.text)
    assert it.seen[0].after == {"id": "1", "a": "a"}
    assert "gone" not in caplog.text


def test_columns_that_are_dropped_renamed_or_never_sent_are_not_taken_for_left_out(
    any_database: str, sql: Sql, reading: Make, caplog: pytest.LogCaptureFixture
) -> None:
    sql(any_database, "CREATE TABLE t (id int PRIMARY KEY, a text, b text, c text)")
    sql(any_database, "CREATE TABLE u (id int PRIMARY KEY, g int GENERATED ALWAYS AS (id * 2) STORED)")
    it = reading(any_database, tables=["public.*"], snapshot="never").open().first()
    own = f"tailrace_{it.name}"
    with caplog.at_level(logging.WARNING):
        sql(
            any_database,
            "DO $$ BEGIN IF current_setting('server_version_num')::int >= 180000 THEN"
            f" ALTER PUBLICATION {own} SET (publish_generated_columns = none); END IF; END $$",
            f"ALTER PUBLICATION {own} SET TABLE t (id), u",
        )
        it.until(lambda: f"publication {own} leaves out a, b, c of public.t now" in caplog.text)
        sql(any_database, "ALTER TABLE t DROP b", "ALTER TABLE t RENAME c TO e", "ALTER TABLE t ADD f text")
        it.until(lambda: f"publication {own} leaves out f of public.t now" in caplog.text)
        # The server tells of publications what is now, of columns what was when it was asked: a look that comes between
        # the two statements would still have the column.
        sql(any_database, "ALTER TABLE t DROP e", "ALTER TABLE t ADD h text")
        it.until(lambda: f"publication {own} leaves out h of public.t now" in caplog.text)
        sql(any_database, f"ALTER PUBLICATION {own} SET TABLE t, u")
        it.until(lambda: "no more" in caplog.text)
    assert f"publication {own} leaves out a, f, h of public.t no more" in caplog.text
    assert "public.u" not in caplog.text
    assert caplog.text.count("leaves out") == 4


def test_what_a_publication_of_ours_was_made_to_leave_out_meanwhile_is_told_at_the_start_and_by_check(
    any_database: str, sql: Sql, reading: Make, caplog: pytest.LogCaptureFixture
) -> None:
    sql(any_database, "CREATE TABLE t (id int PRIMARY KEY, a text, b text)", "CREATE TABLE u (id int PRIMARY KEY)")
    it = reading(any_database, tables=["public.*"], snapshot="never").open().first()
    it.close()
    own = f"tailrace_{it.name}"
    sql(any_database, f"ALTER PUBLICATION {own} SET TABLE t (id, a), u WHERE (id > 0)")
    told = ["rows of public.u (a row filter)", "b of public.t (a list of its columns)"]
    with caplog.at_level(logging.WARNING):
        it.open().first()
    assert [each for each in told if f"{own} was made to leave out {each}" not in caplog.text] == []
    found = [finding.message for finding in it.source.check_start(it.name) if finding.severity is Severity.WARNING]
    assert [each for each in told if f"somebody has made it leave out {each}" not in found] == []
    sql(any_database, f"ALTER PUBLICATION {own} SET TABLE t, u")
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        it.restart().first()
    assert "leave out" not in caplog.text


def test_what_is_left_out_is_told_again_only_once_it_is_something_else(
    any_database: str, sql: Sql, reading: Make, caplog: pytest.LogCaptureFixture
) -> None:
    sql(any_database, "CREATE TABLE t (id int PRIMARY KEY, a text, b text)", "CREATE TABLE u (id int PRIMARY KEY)")
    it = reading(any_database, tables=["public.*"], snapshot="never").open().first()
    it.close()
    own, source = f"tailrace_{it.name}", it.source

    def told() -> list[str]:
        """By one stream of this process: as behind a lost connection, its source is the same."""
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            source.open(it.name, it.positions, it.limits).close()
        return [message.partition("; ")[0] for message in caplog.messages if "leave out" in message]

    list_of_t = f"publication {own} was made to leave out b of public.t (a list of its columns)"
    filter_of_u = f"publication {own} was made to leave out rows of public.u (a row filter)"
    sql(any_database, f"ALTER PUBLICATION {own} SET TABLE t (id, a), u")
    assert [told(), told()] == [[list_of_t], []]
    sql(any_database, f"ALTER PUBLICATION {own} SET TABLE t (id, a), u WHERE (id > 0)")
    assert [told(), told()] == [[filter_of_u], []]
    sql(any_database, f"ALTER PUBLICATION {own} SET TABLE t, u")
    assert told() == []
    sql(any_database, f"ALTER PUBLICATION {own} SET TABLE t (id, a), u")
    assert [told(), told()] == [[list_of_t], []]
