"""`Postgres.check` names what is lacking, with the statement that mends it, and changes nothing."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain

import psutil
import psycopg
import pytest

from servers import pgbouncer, postgres
from tailrace.error import CheckFailed, ConfigError
from tailrace.model import Finding, Severity
from tailrace.source import Postgres
from tailrace.source.postgres import check
from tests.server.postgres.reading import Make, Sql
from tests.waiting import until
from tests.wanting import lacking

Start = Callable[..., postgres.Server]
StartPooler = Callable[..., pgbouncer.Pooler]


def of(findings: list[Finding], subject: str) -> Finding:
    (found,) = [finding for finding in findings if finding.subject == subject]
    return found


def grave(findings: list[Finding]) -> list[str]:
    return [finding.subject for finding in findings if finding.severity is Severity.ERROR]


@pytest.fixture
def shop(any_database: str, sql: Sql) -> str:
    sql(any_database, "CREATE TABLE orders (id int PRIMARY KEY, note text)")
    return any_database


@pytest.fixture
def stranger(shop: str) -> Iterator[str]:
    """A role that may do nothing but log in."""
    with psycopg.connect(shop, autocommit=True) as admin:
        admin.execute('CREATE ROLE "str""anger" LOGIN')
        yield shop.replace("postgres@", "str%22anger@")
        admin.execute('DROP OWNED BY "str""anger"')
        admin.execute('DROP ROLE "str""anger"')


def test_a_server_that_lacks_nothing_has_no_errors_and_nothing_is_made(shop: str, sql: Sql) -> None:
    names = [
        "pubname FROM pg_publication",
        "slot_name FROM pg_replication_slots",
        "relname FROM pg_class",
        "nspname FROM pg_namespace",
        "name || setting FROM pg_settings",
        "setconfig::text FROM pg_db_role_setting",
    ]
    before = [sorted(sql(shop, f"SELECT {name}")) for name in names]
    findings = Postgres(shop).check()
    assert grave(findings) == []
    assert {"connection", "version", "replication", "wal_level", "slots", "walsenders"} <= {f.subject for f in findings}
    assert of(findings, "max_slot_wal_keep_size").severity is Severity.WARNING
    assert of(findings, "table public.orders").severity is Severity.OK
    assert [sorted(sql(shop, f"SELECT {name}")) for name in names] == before


def test_no_sender_left_is_found(sql: Sql, reading: Make, start_postgres: Start) -> None:
    server = start_postgres(18, settings={"max_wal_senders": "1"})
    sql(server.url, "CREATE TABLE orders (id int PRIMARY KEY, note text)")
    assert grave(Postgres(server.url).check()) == []
    until(lambda: not walsenders(server), "for the place of the one that was tried")
    reading(server.url, snapshot="never").open().first()
    finding = of(Postgres(server.url).check(), "walsenders")
    assert finding.severity is Severity.ERROR and "all 1 of max_wal_senders are used" in finding.message
    assert (finding.fix or "").startswith("ALTER SYSTEM SET max_wal_senders = 6")


def walsenders(server: postgres.Server) -> list[str]:
    """The processes: one that has ended for its client still has its place until it is gone."""
    titles = []
    for process in psutil.Process(server.pid).children():
        with suppress(psutil.NoSuchProcess):
            titles.append(" ".join(process.cmdline()))
    return [title for title in titles if "walsender" in title]


def test_a_slot_that_is_lost_is_found(sql: Sql, reading: Make, start_postgres: Start) -> None:
    # Little enough log for no checkpoint but those that are asked for: one would lose the slot.
    server = start_postgres(18, settings={"max_slot_wal_keep_size": "1MB", "checkpoint_timeout": "1h"})
    sql(server.url, "CREATE TABLE orders (id int PRIMARY KEY, note text)")
    it = reading(server.url, snapshot="never").open()
    it.first().close()
    source = Postgres(server.url, slot=f"tailrace_{it.name}")

    message = "SELECT pg_logical_emit_message(false, 'x', 'x')"
    sql(server.url, message, "SELECT pg_switch_wal()", message)  # its segment is kept until the next checkpoint only
    finding = of(source.check(), f"slot {source.slot}")
    assert finding.severity is Severity.WARNING and "about to be invalidated" in finding.message

    def lost() -> bool:
        sql(server.url, "SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000000)) FROM generate_series(1, 20)")
        sql(server.url, "SELECT pg_switch_wal()", "CHECKPOINT")
        return sql(server.url, "SELECT wal_status FROM pg_replication_slots") == [("lost",)]

    until(lost, "for a lost slot")
    finding = of(source.check(), f"slot {source.slot}")
    assert finding.severity is Severity.ERROR and finding.fix is not None
    assert "invalidated by the server (wal_removed): run `tailrace reset`" in finding.message
    [orphan] = source.orphans({})
    assert orphan.fix == finding.fix and "no pipeline can go on with it" in orphan.message
    sql(server.url, finding.fix)
    assert grave(source.check()) == []


def test_an_encoding_that_says_nothing_of_its_texts_is_a_warning(shop: str) -> None:
    name = f"{shop.rpartition('/')[2]}_ascii"
    statement = f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'"
    with psycopg.connect(shop, autocommit=True) as admin:
        admin.execute(statement.encode())
        try:
            finding = of(Postgres(f"{shop.rpartition('/')[0]}/{name}").check(), "encoding")
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
    assert finding.severity is Severity.WARNING and "SQL_ASCII" in finding.message


def test_a_server_that_is_too_old_is_an_error(shop: str) -> None:
    finding = check._version(Postgres(shop), 130022)
    assert finding.severity is Severity.ERROR and "PostgreSQL 13 is too old: 14 is the oldest" in finding.message


def test_what_a_role_lacks_is_mended_by_the_statements(shop: str, stranger: str, sql: Sql) -> None:
    findings = Postgres(stranger).check()
    assert grave(findings) == ["replication", "publication", "table public.orders"]
    for subject in ("replication", "table public.orders"):
        fix = of(findings, subject).fix
        assert fix is not None
        sql(shop, *fix.split("; "))
    statement = of(findings, "publication").fix
    assert statement is not None
    sql(shop, statement)
    assert grave(Postgres(stranger, publication="tailrace_pipeline").check()) == []


def test_an_owner_who_may_not_create_in_the_database_is_mended_by_the_statement(
    shop: str, stranger: str, sql: Sql
) -> None:
    sql(shop, 'ALTER ROLE "str""anger" REPLICATION', 'ALTER TABLE orders OWNER TO "str""anger"')
    findings = Postgres(stranger).check()
    assert grave(findings) == ["publication"]
    finding = of(findings, "publication")
    assert finding.message == 'role str"anger may not create one'
    assert finding.fix == f'GRANT CREATE ON DATABASE "{shop.rpartition("/")[2]}" TO "str""anger"'
    sql(shop, finding.fix)
    assert of(Postgres(stranger).check(), "publication").severity is Severity.OK


def test_a_transaction_that_a_new_slot_would_wait_for_is_ended_by_the_statement(
    shop: str, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told() -> list[Finding]:
        return [finding for finding in Postgres(shop).check() if finding.subject == "transactions"]

    with psycopg.connect(shop) as old:
        pid = old.info.backend_pid
        old.execute("INSERT INTO orders VALUES (1)")
        assert told() == [], "it is young"
        monkeypatch.setattr(check, "_OLD_S", 0.0)
        [finding] = told()
        assert finding.severity is Severity.WARNING
        assert re.fullmatch(
            rf"PID {pid} has had a transaction open for \d+ s: a new slot waits for .*", finding.message
        )
        assert finding.fix == f"SELECT pg_terminate_backend({pid})"
        sql(shop, finding.fix)
        until(lambda: told() == [], "for it to end")
        with pytest.raises(psycopg.OperationalError):
            old.execute("SELECT 1")


def test_a_prepared_transaction_that_a_new_slot_would_wait_for_is_told_with_both_statements_that_end_it(
    start_postgres: Start, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start_postgres(18, settings={"autovacuum": "off"})  # which has transactions too
    with psycopg.connect(server.create_database("other"), autocommit=True) as connection:
        for statement in ("BEGIN", "SELECT txid_current()", "PREPARE TRANSACTION 'left'"):
            connection.execute(statement)
    monkeypatch.setattr(check, "_OLD_S", 0.0)
    findings = Postgres(server.url, tables=["*.*"], no_tables=True).check()
    finding = of(findings, "transactions")
    assert finding.severity is Severity.WARNING
    assert re.fullmatch(
        r"'left' of database other was prepared \d+ s ago: a new slot waits for it to end", finding.message
    )
    assert finding.fix is not None
    decides, commit, rollback = finding.fix.splitlines()
    assert decides == "-- whoever coordinates it decides which of the two, in database other:"
    assert (commit, rollback) == ("-- COMMIT PREPARED 'left';", "-- ROLLBACK PREPARED 'left';")
    with psycopg.connect(server.dsn("other"), autocommit=True) as connection:
        connection.execute(finding.fix)
        assert "transactions" in {each.subject for each in Postgres(server.url, no_tables=True).check()}
        connection.execute(rollback.removeprefix("-- "))
    assert "transactions" not in {each.subject for each in Postgres(server.url, no_tables=True).check()}


def test_a_connection_from_elsewhere_that_is_not_encrypted_is_a_warning(start_postgres: Start, sql: Sql) -> None:
    addresses = [each.address for each in chain(*psutil.net_if_addrs().values()) if each.family is socket.AF_INET]
    outside = [address for address in addresses if not address.startswith("127.")]
    if not outside:
        lacking("an address that is not the loopback's")
    server = start_postgres(18, tls=True, settings={"listen_addresses": f"127.0.0.1,{outside[0]}"})
    with (server.data / "pg_hba.conf").open("a") as rules:
        rules.write(f"host all,replication all {outside[0]}/32 trust\n")
    sql(server.url, "SELECT pg_reload_conf()", "CREATE TABLE orders (id int PRIMARY KEY)")
    elsewhere = server.url.replace("127.0.0.1", outside[0])
    for url, told in (
        (f"{elsewhere}?sslmode=disable", ["the connection is not encrypted: add sslmode=verify-full to the url"]),
        (f"{elsewhere}?sslmode=require", []),
        (f"{server.url}?sslmode=disable", []),
    ):
        findings = Postgres(url).check()
        assert grave(findings) == []
        assert [finding.message for finding in findings if finding.subject == "encryption"] == told


def test_a_table_without_an_identity_is_a_warning(shop: str, sql: Sql) -> None:
    sql(shop, "CREATE TABLE log (line text)")
    finding = of(Postgres(shop).check(), "table public.log")
    assert finding.severity is Severity.WARNING and finding.fix is not None
    sql(shop, finding.fix)
    assert of(Postgres(shop).check(), "table public.log").severity is Severity.OK


@pytest.mark.parametrize(
    ("statements", "identity"),
    [
        (["ALTER TABLE orders REPLICA IDENTITY NOTHING"], "DEFAULT"),
        (["ALTER TABLE orders DROP CONSTRAINT orders_pkey", "ALTER TABLE orders REPLICA IDENTITY NOTHING"], "FULL"),
        (
            [
                "CREATE UNIQUE INDEX by_id ON orders (id)",
                "ALTER TABLE orders REPLICA IDENTITY USING INDEX by_id",
                "DROP INDEX by_id",
            ],
            "DEFAULT",
        ),
    ],
    ids=["nothing", "nothing and no key", "an index that is gone"],
)
def test_the_identity_that_costs_least_is_proposed(shop: str, sql: Sql, statements: list[str], identity: str) -> None:
    sql(shop, *statements)
    finding = of(Postgres(shop).check(), "table public.orders")
    assert finding.fix == f'ALTER TABLE "public"."orders" REPLICA IDENTITY {identity}'
    sql(shop, "CREATE PUBLICATION p FOR TABLE orders", "INSERT INTO orders VALUES (1)")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        sql(shop, "UPDATE orders SET note = 'n'")
    sql(shop, finding.fix, "UPDATE orders SET note = 'n'")
    assert of(Postgres(shop).check(), "table public.orders").severity is Severity.OK


def test_row_security_is_found(shop: str, stranger: str, sql: Sql) -> None:
    sql(shop, "ALTER TABLE orders ENABLE ROW LEVEL SECURITY", 'GRANT SELECT ON orders TO "str""anger"')
    finding = of(Postgres(stranger).check(), "table public.orders")
    assert finding.severity is Severity.ERROR and finding.fix == 'ALTER ROLE "str""anger" BYPASSRLS'


def test_a_missing_table_and_a_publication_that_lacks_one_are_found(shop: str, sql: Sql) -> None:
    missing = of(Postgres(shop, tables=["public.order"]).check(), "tables")
    assert (missing.message, missing.fix) == ("table 'public.order' does not exist", "did you mean 'public.orders'?")
    sql(
        shop,
        "CREATE TABLE more (id int PRIMARY KEY)",
        "CREATE PUBLICATION p FOR TABLE orders WITH (publish = 'insert')",
    )
    found = [f for f in Postgres(shop, publication="p").check() if f.subject == "publication p"]
    assert [f.severity for f in found] == [Severity.WARNING, Severity.WARNING, Severity.OK]
    for finding in found[:2]:
        assert finding.fix is not None
        sql(shop, finding.fix)
    found = [f for f in Postgres(shop, publication="p").check() if f.subject == "publication p"]
    assert [f.severity for f in found] == [Severity.OK]


def test_what_a_publication_lacks_is_an_error_where_it_is_named_and_needs_no_rights_where_it_is_not(
    shop: str, stranger: str, sql: Sql, reading: Make
) -> None:
    sql(shop, "CREATE TABLE more (line text)", "CREATE PUBLICATION p FOR TABLE orders")
    sql(shop, 'ALTER ROLE "str""anger" REPLICATION', 'GRANT SELECT ON orders TO "str""anger"')
    findings = Postgres(stranger, publication="p", create=False).check()
    assert grave(findings) == []
    assert [f.subject for f in findings if f.subject.startswith("table ")] == ["table public.orders"]
    source = Postgres(stranger, publication="p", create=False, tables=["public.more"])
    finding = of([f for f in source.check() if f.severity is Severity.ERROR], "publication p")
    with pytest.raises(CheckFailed, match=r"does not contain public\.more"):
        reading(stranger, publication="p", create=False, tables=["public.more"]).open()
    assert finding.fix is not None
    sql(shop, finding.fix)
    assert of(source.check(), "publication p").severity is Severity.OK


def test_an_unlogged_table_that_is_meant_is_told_and_read_once_it_is_logged(shop: str, sql: Sql, reading: Make) -> None:
    sql(shop, "CREATE UNLOGGED TABLE fleeting (id int PRIMARY KEY)", "CREATE UNLOGGED TABLE beside (id int)")
    it = reading(shop, tables=["public.[fo]*"])

    def told(*tables: str) -> dict[str, str]:
        findings = Postgres(shop, tables=tables).check()
        return {finding.subject: finding.message for finding in findings if finding.subject.startswith("table ")}

    captured, none = "can be captured", "it is unlogged: none of its changes come"
    assert told("public.o*") == {"table public.orders": captured}
    assert told("public.[fo]*") == {"table public.orders": captured, "table public.fleeting": none}
    with pytest.raises(ConfigError, match=r"(?s)'public\.fleeting' is an unlogged .* table.*SET LOGGED"):
        reading(shop, tables=["public.fleeting"]).open()
    it.open()
    sql(shop, "INSERT INTO fleeting VALUES (1)", "INSERT INTO orders VALUES (1)")
    assert [change.table for change in it.count(1).seen] == ["public.orders"]
    finding = of(it.source.check(), "table public.fleeting")
    assert finding.severity is Severity.WARNING and finding.fix is not None
    sql(shop, finding.fix)
    assert told("public.[fo]*") == {"table public.orders": captured, "table public.fleeting": captured}
    it.restart()
    sql(shop, "INSERT INTO fleeting VALUES (2)")
    assert [change.table for change in it.count(2).seen] == ["public.orders", "public.fleeting"]


def test_partitions_that_would_be_tables_of_their_own_are_named(database: str, sql: Sql) -> None:
    sql(
        database,
        "CREATE TABLE m (id int PRIMARY KEY) PARTITION BY RANGE (id)",
        "CREATE TABLE m_1 PARTITION OF m FOR VALUES FROM (0) TO (10)",
        "CREATE PUBLICATION p FOR TABLE m",
    )
    source = Postgres(database, publication="p")
    [told] = [f for f in source.check() if "publish_via_partition_root" in (f.fix or "")]
    assert told.message == "sends partitions as tables of their own: public.m_1; a target gets one for each of them"
    assert [str(table) for table in source.tables_now("p")] == ["public.m_1"]
    assert told.fix is not None
    sql(database, told.fix)
    assert not [f for f in source.check() if f.severity is not Severity.OK and f.subject == "publication p"]
    assert [str(table) for table in source.tables_now("p")] == ["public.m"]


def test_the_state_of_a_slot_is_told(shop: str, sql: Sql, reading: Make) -> None:
    it = reading(shop, snapshot="never").open().first()
    name = f"tailrace_{it.name}"
    assert "in use by PID" in of(Postgres(shop, slot=name).check(), f"slot {name}").message
    it.close()
    assert "kept for it" in of(Postgres(shop, slot=name).check(), f"slot {name}").message
    it.source.drop(it.name)
    sql(shop, f"SELECT pg_create_physical_replication_slot('{name}')")
    assert of(Postgres(shop, slot=name).check(), f"slot {name}").severity is Severity.ERROR
    sql(shop, f"SELECT pg_drop_replication_slot('{name}')")


def test_settings_of_the_server_are_mended_by_the_statements(start_postgres: Start, sql: Sql) -> None:
    settings = {"wal_level": "replica", "max_replication_slots": "1", "idle_replication_slot_timeout": "1h"}
    server = start_postgres(18, settings=settings)
    sql(server.url, "CREATE TABLE t (id int PRIMARY KEY)")
    sql(server.url, "SELECT pg_create_physical_replication_slot('taken')")
    findings = Postgres(server.url).check()
    assert grave(findings) == ["wal_level", "slots"]
    assert of(findings, "idle_replication_slot_timeout").severity is Severity.WARNING
    with psycopg.connect(server.url, autocommit=True) as admin:
        for finding in findings:
            if finding.fix is not None:
                for statement in finding.fix.split("; "):
                    admin.execute(statement.encode())
    server.stop()
    server.start()
    findings = Postgres(server.url).check()
    assert {f.severity for f in findings} == {Severity.OK}


def test_an_unreachable_server_is_one_finding_and_i9_tells_no_password() -> None:
    (finding,) = Postgres("postgresql://cdc:hunter2@127.0.0.1:1/shop").check()
    assert finding.severity is Severity.ERROR and "cannot connect to 127.0.0.1:1/shop" in finding.message
    assert "hunter2" not in finding.message


def test_a_pooler_in_between_is_found(
    database: str, postgres18: postgres.Server, start_pgbouncer: StartPooler, sql: Sql
) -> None:
    sql(database, "CREATE TABLE t (id int PRIMARY KEY)")
    pooler = start_pgbouncer(postgres18.port, settings={"ignore_startup_parameters": "options"})
    findings = Postgres(pooler.through(database)).check()
    assert grave(findings) == ["pooler", "replication"]
    assert "use the address of PostgreSQL itself" in of(findings, "pooler").message


def test_a_pooler_that_refuses_our_settings_is_named(
    database: str, postgres18: postgres.Server, start_pgbouncer: StartPooler
) -> None:
    pooler = start_pgbouncer(postgres18.port)
    (finding,) = Postgres(pooler.through(database)).check()
    assert finding.severity is Severity.ERROR and "a pooler stands in between" in (finding.fix or "")


def test_slots_that_no_pipeline_owns_are_named_and_may_be_those_of_stopped_ones(
    shop: str, sql: Sql, reading: Make
) -> None:
    used = reading(shop, snapshot="never").open().first()
    owned, gone = f"{used.name}_owned", f"{used.name}_gone"
    for name in (owned, gone):
        reading(shop, name, snapshot="never").open().first().close()
    sql(shop, "CREATE TABLE noise (x text)", "CREATE PUBLICATION theirs FOR TABLE orders")
    sql(shop, "INSERT INTO noise SELECT repeat('x', 1000) FROM generate_series(1, 5000)")
    owners = {owned: Postgres(shop), "else": Postgres(shop, slot="elsewhere", publication="theirs")}
    [found] = [f for f in Postgres(shop).orphans(owners) if used.name in f"{f.subject} {f.message}"]
    assert (found.subject, found.severity, found.fix) == ("slots that nobody reads now", Severity.WARNING, None)
    database = shop.rpartition("/")[2]
    kept = re.search(rf"tailrace_{gone} \(database {database}, (\d+) MiB of log kept(.*?)\)", found.message)
    assert kept is not None and int(kept[1]) >= 5
    [(version,)] = sql(shop, "SELECT current_setting('server_version_num')::int")
    assert bool(re.fullmatch(r", unused since \d{4}-\d\d-\d\d \d\d:\d\d UTC", kept[2])) == (version >= 170000)
    Postgres(shop).drop(gone)
    assert not [f for f in Postgres(shop).orphans(owners) if used.name in f"{f.subject} {f.message}"]


def test_many_slots_are_one_line_and_a_publication_is_dropped_only_when_nothing_can_read_it(
    start_postgres: Start, sql: Sql, reading: Make
) -> None:
    url = start_postgres(18).url
    sql(url, "CREATE TABLE t (id int PRIMARY KEY)")
    for name in "abcdefg":
        reading(url, name, snapshot="never").open().first().close()
    [found] = Postgres(url).orphans({})
    assert found.fix is None and "tailrace_e " in found.message and " and 2 more; " in found.message
    sql(url, "SELECT pg_drop_replication_slot('tailrace_g')", "SELECT pg_create_physical_replication_slot('standby')")
    _, doubtful = Postgres(url).orphans({})
    assert doubtful.subject == "publications without a slot of their name" and doubtful.fix is None
    assert doubtful.message.startswith("tailrace_g; ")
    sql(url, "SELECT pg_drop_replication_slot('standby')")
    _, sure = Postgres(url).orphans({})
    assert (sure.subject, sure.fix) == ("publication tailrace_g", 'DROP PUBLICATION "tailrace_g"')
    sql(url, "SELECT pg_create_logical_replication_slot('of_another_name', 'pgoutput')")
    assert [f.fix for f in Postgres(url).orphans({})] == [None, None]
    sql(url, "SELECT pg_drop_replication_slot('of_another_name')", sure.fix or "")
    sql(url, "CREATE PUBLICATION tailrace_by_hand FOR TABLE t")
    _, theirs = Postgres(url).orphans({})
    assert theirs.message.startswith("tailrace_by_hand; ") and theirs.fix is None, "whoever made it may need it"
    sql(url, "DROP PUBLICATION tailrace_by_hand")
    assert [f.subject for f in Postgres(url).orphans({})] == ["slots that nobody reads now"]
