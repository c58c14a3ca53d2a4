"""Where a source begins on a real server, and where it refuses to (I6)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from servers import postgres
from tailrace.contract import Positions
from tailrace.error import CheckFailed, ConfigError, Fatal, HistoryLost, Retryable
from tailrace.model import Position, Severity
from tailrace.pipeline import Pipeline
from tailrace.sink import File
from tailrace.source import Postgres
from tailrace.source.postgres.place import Place
from tests.server.postgres.reading import PATIENCE_S, Make, Sql, eventually

WAITS = "waiting for replication slot"


@pytest.fixture
def shop(any_database: str, sql: Sql) -> str:
    sql(any_database, "CREATE TABLE orders (id int PRIMARY KEY, note text)", "INSERT INTO orders VALUES (1, 'one')")
    return any_database


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What the source says, that it waits included."""
    caplog.set_level(logging.INFO, logger="tailrace.source.postgres")
    return caplog


def slots(url: str, sql: Sql) -> list[str]:
    return [
        name for (name,) in sql(url, "SELECT slot_name FROM pg_replication_slots WHERE database = current_database()")
    ]


def publications(url: str, sql: Sql) -> list[str]:
    return [name for (name,) in sql(url, "SELECT pubname FROM pg_publication")]


@contextmanager
def stopping(once: Callable[[], bool]) -> Iterator[threading.Event]:
    """A wish to stop that comes `once` that is so."""
    stop = threading.Event()

    def ask() -> None:
        eventually(once)
        stop.set()

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        yield stop
    asking.result()


def test_drop_removes_what_open_made_and_no_more(shop: str, sql: Sql, reading: Make) -> None:
    it = reading(shop).open()
    it.close()
    assert slots(shop, sql) == publications(shop, sql) == [f"tailrace_{it.name}"]
    assert it.source.drop(it.name) == [f"replication slot tailrace_{it.name}", f"publication tailrace_{it.name}"]
    assert slots(shop, sql) == publications(shop, sql) == []
    assert it.source.drop(it.name) == []


def test_a_publication_that_somebody_else_made_is_neither_altered_nor_dropped(
    shop: str, sql: Sql, reading: Make
) -> None:
    sql(shop, "CREATE TABLE other (id int PRIMARY KEY)", "CREATE PUBLICATION theirs FOR TABLE orders")
    it = reading(shop, publication="theirs").open()
    it.close()
    assert sql(shop, "SELECT tablename FROM pg_publication_tables WHERE pubname = 'theirs'") == [("orders",)]
    assert it.source.drop(it.name) == [f"replication slot tailrace_{it.name}"]
    assert publications(shop, sql) == ["theirs"]


def test_a_table_that_their_publication_lacks_is_a_failed_check_with_the_statement(
    shop: str, sql: Sql, reading: Make
) -> None:
    sql(shop, "CREATE TABLE other (id int PRIMARY KEY)", "CREATE PUBLICATION theirs FOR TABLE orders")
    with pytest.raises(CheckFailed, match=r'ALTER PUBLICATION "theirs" ADD TABLE "public"."other"'):
        reading(shop, publication="theirs", tables=["public.orders", "public.other"]).open()


def test_a_table_that_matches_later_is_added_with_a_warning(
    shop: str, sql: Sql, reading: Make, caplog: pytest.LogCaptureFixture
) -> None:
    it = reading(shop, snapshot="never").open().first()
    sql(shop, "CREATE TABLE later (id int PRIMARY KEY)", "INSERT INTO later VALUES (1)")
    with caplog.at_level(logging.WARNING):
        it.restart()
    assert "added public.later" in caplog.text and "rows from before are not in" in caplog.text
    sql(shop, "INSERT INTO later VALUES (2)", "UPDATE orders SET note = 'new'")
    it.count(2)
    assert [(change.table, change.op, change.key) for change in it.seen] == [
        ("public.later", "c", {"id": "2"}),
        ("public.orders", "u", {"id": "1"}),
    ]


def test_a_missing_table_is_named_and_nothing_is_made(shop: str, sql: Sql, reading: Make) -> None:
    it = reading(shop, tables=["public.ordres"])
    with pytest.raises(ConfigError, match=r"(?s)'public.ordres' does not exist.*'public.orders'"):
        it.open()
    assert slots(shop, sql) == publications(shop, sql) == []
    assert not it.positions.known()


def test_patterns_without_a_match_are_an_error(shop: str, reading: Make) -> None:
    with pytest.raises(ConfigError, match=r"no table matches public.nothing_\*"):
        reading(shop, tables=["public.nothing_*"]).open()


def test_a_database_without_tables_is_named(any_database: str, reading: Make) -> None:
    database = any_database.rpartition("/")[2].partition("?")[0]
    with pytest.raises(ConfigError, match=f"database '{database}' has no table that can be captured") as refused:
        reading(any_database).open()
    assert refused.value.hint is not None and refused.value.hint.startswith("is it the right database?")
    said = Postgres(any_database).check()[-1]
    assert (said.severity, said.message, said.fix) == (Severity.ERROR, refused.value.args[0], refused.value.hint)


def test_a_publication_for_all_tables_may_be_empty(any_database: str, sql: Sql, reading: Make) -> None:
    sql(any_database, "CREATE PUBLICATION everything FOR ALL TABLES")
    it = reading(any_database, publication="everything").open()
    it.first()
    assert it.seen == []


def test_without_leave_to_create_the_statement_is_shown(shop: str, reading: Make) -> None:
    with pytest.raises(CheckFailed, match=r'CREATE PUBLICATION "theirs" FOR TABLE "public"."orders"'):
        reading(shop, publication="theirs", create=False).open()


def test_a_slot_that_nobody_claimed_is_refused(shop: str, sql: Sql, reading: Make) -> None:
    it = reading(shop)
    sql(shop, f"SELECT pg_create_logical_replication_slot('tailrace_{it.name}', 'pgoutput')")
    with pytest.raises(Fatal, match="no position of it is saved here"):
        it.open()
    assert slots(shop, sql) == [f"tailrace_{it.name}"]


class _Watched:
    """A checkpoint that looks on while a lineage is claimed in it, before and behind."""

    def __init__(self, positions: Positions, *, before: Callable[[], object], behind: Callable[[], object]) -> None:
        self._positions = positions
        self._before = before
        self._behind = behind

    def __getattr__(self, name: str) -> object:
        return getattr(self._positions, name)

    def claim(self, lineage: str) -> Position | None:
        self._before()
        claimed = self._positions.claim(lineage)
        self._behind()
        return claimed


@pytest.mark.parametrize("snapshot", ["initial", "never"])
def test_a_lineage_is_claimed_before_anything_is_made_on_the_server(
    shop: str, sql: Sql, reading: Make, snapshot: str
) -> None:
    """Whoever is killed in between leaves a claim without a slot, which begins anew, and no slot of nobody's."""
    it, seen = reading(shop, snapshot=snapshot), list[list[str]]()

    def killed() -> None:
        seen.append([*slots(shop, sql), *publications(shop, sql)])
        raise Retryable("killed")

    watched = _Watched(it.positions, before=lambda: None, behind=killed)
    with pytest.raises(Retryable, match="killed"):
        it.source.open(it.name, watched, it.limits)  # type: ignore[arg-type]
    assert seen == [[]] and slots(shop, sql) == []
    sql(shop, "INSERT INTO orders VALUES (2, 'two')")
    it.restart()
    sql(shop, "INSERT INTO orders VALUES (3, 'three')")
    it.count(3 if snapshot == "initial" else 1)
    assert it.ops() == (["r", "r", "c"] if snapshot == "initial" else ["c"])


def test_a_position_that_moves_between_the_look_and_the_claim_is_looked_at_again(
    shop: str, sql: Sql, reading: Make
) -> None:
    """Another process had the pipeline: what it delivered would come again, from where it was when we looked."""
    it = reading(shop, snapshot="never").open().first()
    sql(shop, "INSERT INTO orders VALUES (2, 'two')")
    it.until(lambda: len(it.seen) == 1, save=False)
    (theirs,) = it.batches[-1].positions
    it.close()
    positions = it.positions
    positions.claim(theirs.lineage)
    watched = _Watched(positions, before=lambda: positions.save([theirs]), behind=lambda: None)
    with pytest.raises(Retryable, match=r"the position of .* moved while it was opened"):
        it.source.open(it.name, watched, it.limits)  # type: ignore[arg-type]


def test_i6_a_slot_that_is_gone_is_an_error_and_when_needed_a_new_snapshot(
    shop: str, sql: Sql, reading: Make, caplog: pytest.LogCaptureFixture
) -> None:
    it = reading(shop, snapshot="never").open()
    it.first().close()
    sql(shop, f"SELECT pg_drop_replication_slot('tailrace_{it.name}')")
    with pytest.raises(HistoryLost, match="does not exist any more"):
        it.open()
    with caplog.at_level(logging.WARNING):
        it.open(snapshot="when_needed")
    assert "starting again with a new snapshot" in caplog.text
    it.count(1)
    assert it.ops() == ["r"]


def test_i6_a_saved_position_behind_the_slot_is_refused(shop: str, sql: Sql, reading: Make) -> None:
    it = reading(shop, snapshot="never").open().first()
    first = it.batches[0].positions
    it.close()
    sql(shop, "INSERT INTO orders VALUES (2, 'two')")
    sql(shop, f"SELECT pg_replication_slot_advance('tailrace_{it.name}', pg_current_wal_lsn())")
    it.positions.claim(first[0].lineage)
    it.positions.save(first)
    with pytest.raises(HistoryLost, match="would skip what lies between"):
        it.open()


def test_i6_a_saved_position_after_the_end_of_the_log_is_refused(shop: str, reading: Make) -> None:
    it = reading(shop, snapshot="never").open().first()
    (position,) = it.batches[0].positions
    it.close()
    it.positions.claim(position.lineage)
    it.positions.save([Place.progress(1 << 60, 1).position(position.lineage)])
    with pytest.raises(HistoryLost, match="after the end of the server's log"):
        it.open()


def test_i6_another_server_is_refused_naming_both(
    shop: str, sql: Sql, reading: Make, start_postgres: Callable[..., postgres.Server]
) -> None:
    it = reading(shop, snapshot="never").open().first()
    (position,) = it.batches[0].positions
    it.close()
    other = start_postgres(18)
    sql(other.url, "CREATE TABLE orders (id int PRIMARY KEY, note text)")
    with pytest.raises(HistoryLost, match=r"the saved position is of postgres/.*, but this is postgres/") as caught:
        it.open(url=other.url)
    assert position.lineage in str(caught.value)


def test_i6_a_dropped_publication_is_refused_at_open(shop: str, sql: Sql, reading: Make) -> None:
    it = reading(shop, snapshot="never").open()
    it.first().close()
    sql(shop, f"DROP PUBLICATION tailrace_{it.name}")
    with pytest.raises(HistoryLost, match="publication"):
        it.open()


def test_i6_a_slot_that_the_server_invalidated_is_an_error(
    sql: Sql, reading: Make, start_postgres: Callable[..., postgres.Server]
) -> None:
    settings = {"max_slot_wal_keep_size": "1MB", "min_wal_size": "32MB", "max_wal_size": "32MB"}
    server = start_postgres(18, settings=settings)
    sql(server.url, "CREATE TABLE orders (id int PRIMARY KEY, note text)")
    it = reading(server.url, snapshot="never").open()
    it.first().close()
    while sql(server.url, "SELECT wal_status FROM pg_replication_slots") != [("lost",)]:
        sql(server.url, "SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000000)) FROM generate_series(1, 20)")
        sql(server.url, "SELECT pg_switch_wal()")
        psycopg.connect(server.url, autocommit=True).execute("CHECKPOINT")
    with pytest.raises(HistoryLost, match=r"(?s)invalidated by the server: wal_removed.*max_slot_wal_keep_size"):
        it.open()


def test_a_slot_that_is_active_is_waited_for(
    shop: str, sql: Sql, reading: Make, told: pytest.LogCaptureFixture
) -> None:
    it = reading(shop, snapshot="never").open().first()
    walsender = sql(shop, f"SELECT active_pid FROM pg_replication_slots WHERE slot_name = 'tailrace_{it.name}'")[0][0]
    again = reading(shop, it.name, snapshot="never")
    again.positions.claim(it.batches[0].positions[0].lineage)
    again.positions.save(it.batches[0].positions)
    waiting = threading.Thread(target=again.open)
    waiting.start()
    eventually(lambda: WAITS in told.text)
    assert waiting.is_alive()
    sql(shop, f"SELECT pg_terminate_backend({walsender}, 60000)")
    waiting.join(PATIENCE_S)
    again.read()
    assert again.seen == []
    assert sql(shop, f"SELECT active_pid FROM pg_replication_slots WHERE slot_name = 'tailrace_{it.name}'") != [(None,)]


def test_what_the_former_reader_saves_until_it_lets_the_slot_go_is_where_the_next_begins(
    shop: str, sql: Sql, reading: Make, told: pytest.LogCaptureFixture
) -> None:
    """From what was saved before the slot has moved on, which looks like another reader's doing."""
    it = reading(shop, snapshot="never").open().first()
    again = reading(shop, it.name, snapshot="never")
    again.positions.claim(it.batches[0].positions[0].lineage)
    again.positions.save(it.batches[0].positions)
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(again.open)
        eventually(lambda: WAITS in told.text)
        sql(shop, "INSERT INTO orders VALUES (2, 'two')")
        it.count(1)
        again.positions.save(it.batches[-1].positions)
        it.close()  # tells the server, as the last thing, what is saved
        opening.result(PATIENCE_S)
    sql(shop, "INSERT INTO orders VALUES (3, 'three')")
    assert [change.key for change in again.count(1).seen] == [{"id": "3"}]


def test_a_slot_that_stays_active_is_retryable_naming_the_pid(
    sql: Sql, reading: Make, start_postgres: Callable[..., postgres.Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start_postgres(18, settings={"wal_sender_timeout": "8s"})
    sql(server.url, "CREATE TABLE orders (id int PRIMARY KEY, note text)")
    monkeypatch.setattr("tailrace.source.postgres.slot._GRACE_S", 0.1)
    it = reading(server.url, snapshot="never").open()
    it.first()
    stop = threading.Event()

    def tend() -> None:
        while not stop.wait(0.1):
            it.stream.tend()

    reader = threading.Thread(target=tend)
    reader.start()
    try:
        again = reading(server.url, it.name, snapshot="never")
        again.positions.claim(it.batches[0].positions[0].lineage)
        again.positions.save(it.batches[0].positions)
        with pytest.raises(Retryable, match=r"is active for PID \d+"):
            again.open()
    finally:
        stop.set()
        reader.join()


def test_a_tail_leaves_nothing_and_sweeps_what_a_killed_one_left(shop: str, sql: Sql, reading: Make) -> None:
    killed = reading(shop, "tail", temporary=True, snapshot="never").open()
    (left,) = publications(shop, sql)
    sql(
        shop,
        "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
        " WHERE application_name = 'tailrace' AND datname = current_database()",
    )
    assert publications(shop, sql) == [left]
    it = reading(shop, "tail", temporary=True, snapshot="never").open()
    assert left not in publications(shop, sql) and len(publications(shop, sql)) == 1
    beside = reading(shop, "tail2", temporary=True, snapshot="never").open()
    assert len(publications(shop, sql)) == 2
    it.close()
    beside.close()
    assert publications(shop, sql) == []
    eventually(lambda: slots(shop, sql) == [])  # the server drops them when it sees that the connection is gone
    killed.close()


def test_a_tail_may_use_a_publication_that_there_is(shop: str, sql: Sql, reading: Make) -> None:
    sql(shop, "CREATE PUBLICATION theirs FOR TABLE orders")
    reading(shop, "tail", temporary=True, publication="theirs", snapshot="never").open().close()
    assert publications(shop, sql) == ["theirs"]


def test_origin_none_needs_16(database15: str, sql: Sql, reading: Make) -> None:
    sql(database15, "CREATE TABLE orders (id int PRIMARY KEY)")
    with pytest.raises(ConfigError, match="needs PostgreSQL 16"):
        reading(database15, origin="none").open()


@pytest.mark.parametrize(
    ("user", "password", "words"),
    [("cdc", "wrong", "password authentication failed"), ("nobody_here", None, "does not exist")],
)
def test_a_login_that_fails_is_a_configuration_error_and_i9_tells_no_password(
    postgres18: postgres.Server, user: str, password: str | None, words: str
) -> None:
    with psycopg.connect(postgres18.url, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS cdc")
        admin.execute("CREATE ROLE cdc LOGIN PASSWORD 'right' IN ROLE by_password")
    source = Postgres(postgres18.dsn("postgres", user, password))
    with pytest.raises(ConfigError, match=words) as caught:
        source.drop("x")
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize("option", ["sslmode=bogus", "port=abc", "connect_timeout=soon", "service=nowhere"])
def test_an_option_that_libpq_refuses_is_a_configuration_error(option: str) -> None:
    with pytest.raises(ConfigError, match="cannot connect"):
        Postgres(f"host=127.0.0.1 dbname=shop user=cdc {option}").drop("x")


def test_a_role_without_rights_is_told_the_statements(shop: str, sql: Sql, reading: Make) -> None:
    sql(shop, "CREATE ROLE weak LOGIN REPLICATION")
    try:
        with pytest.raises(CheckFailed, match=r'CREATE PUBLICATION "tailrace_.*" FOR TABLE "public"."orders"'):
            reading(shop.replace("postgres@", "weak@")).open()
        sql(shop, "CREATE PUBLICATION theirs FOR TABLE orders")
        it = reading(shop.replace("postgres@", "weak@"), "weak", publication="theirs")
        with pytest.raises(CheckFailed, match="permission denied for table orders"):
            it.open()
        assert it.source.drop(it.name) == ["replication slot tailrace_weak"]
    finally:
        sql(shop, "DROP ROLE weak")


def test_a_server_that_does_not_answer_is_retryable() -> None:
    with pytest.raises(Retryable, match=r"cannot connect to 127\.0\.0\.1:1/shop: .*refused"):
        Postgres("postgresql://cdc@127.0.0.1:1/shop").drop("x")


def test_a_stop_ends_the_wait_for_a_slot_that_is_in_use(
    shop: str, reading: Make, told: pytest.LogCaptureFixture
) -> None:
    it = reading(shop, snapshot="never").open().first()
    with stopping(once=lambda: WAITS in told.text) as stop:
        with pytest.raises(Retryable, match=r"stopped while replication slot .* was still active"):
            reading(shop, it.name, snapshot="never").open(stop=stop)
        assert stop.is_set()


def test_a_stop_ends_the_wait_for_old_transactions_and_leaves_no_slot(shop: str, sql: Sql, reading: Make) -> None:
    it = reading(shop)
    with psycopg.connect(shop) as old:
        old.execute("INSERT INTO orders VALUES (2, 'not committed')")
        with (
            stopping(once=lambda: slots(shop, sql) != []) as stop,  # it is there while it is made
            pytest.raises(Retryable, match="stopped while waiting to create replication slot"),
        ):
            it.open(stop=stop)
        eventually(lambda: slots(shop, sql) == [])
    it.restart().count(2)


def test_a_stopped_pipeline_that_waits_for_its_slot_leaves_no_thread_behind(
    shop: str, reading: Make, tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    it = reading(shop, snapshot="never").open().first()
    pipeline = Pipeline(
        Postgres(shop, snapshot="never"), sink=File(tmp_path / "out.jsonl"), name=it.name, state_dir=tmp_path
    )
    running = threading.Thread(target=pipeline.run)
    running.start()
    reader = f"tailrace-{it.name}-reader"
    eventually(lambda: WAITS in told.text)
    assert reader in [thread.name for thread in threading.enumerate()]
    pipeline.stop()
    running.join(PATIENCE_S)
    assert not running.is_alive()
    assert reader not in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize("snapshot", ["initial", "never"])
def test_i9_a_text_in_no_encoding_is_fatal_with_a_hint_and_its_bytes_are_not_told(
    start_postgres: Callable[..., postgres.Server], sql: Sql, reading: Make, snapshot: str
) -> None:
    server = start_postgres(18)
    server.execute("CREATE DATABASE ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    url = server.dsn("ascii")
    sql(url, "CREATE TABLE t (id int PRIMARY KEY, note text)")
    it = reading(url, snapshot=snapshot)
    if snapshot == "never":
        it.open()
    sql(url, r"INSERT INTO t VALUES (1, convert_from('\xf6df65', 'SQL_ASCII'))")
    with pytest.raises(Fatal, match='invalid byte sequence for encoding "UTF8": …') as stopped:
        (it if snapshot == "never" else it.open()).count(1)
    assert "0xf6" not in str(stopped.value)
    assert "leave the table out" in (stopped.value.hint or "")


def test_a_server_without_room_for_so_many_locks_says_what_to_raise(
    start_postgres: Callable[..., postgres.Server], reading: Make
) -> None:
    few = {"max_locks_per_transaction": "10", "max_connections": "20", "max_prepared_transactions": "0"}
    few["huge_pages"] = "off"  # what is left of one would have room for more
    url = start_postgres(18, settings=few).url
    with psycopg.connect(url, autocommit=True) as admin:
        for number in range(40):  # each with locks of its own
            admin.execute(f"DO $$BEGIN FOR i IN 1..75 LOOP EXECUTE format('CREATE TABLE t_%s_%s ()', {number}, i);"
                          " COMMIT; END LOOP; END$$".encode())  # fmt: skip
    with pytest.raises(Retryable, match="out of shared memory") as raised:
        reading(url, "many").open()
    assert "max_locks_per_transaction" in str(raised.value.hint)
