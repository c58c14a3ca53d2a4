"""What a writer does when its server is silent: gone, or at work for longer than anybody likes to wait."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql

from servers.pgbouncer import Pooler
from servers.postgres import Server
from servers.proxy import Proxy, Side
from tailrace.dialect.postgres.session import Login
from tailrace.dialect.postgres.witness import Session, Witness
from tailrace.error import Retryable
from tailrace.model import Column, Limits, Table, TypeDefinition
from tailrace.sink.postgres import Postgres, ddl, vigil
from tailrace.sink.postgres.writer import PostgresWriter
from tests.unit.sink.feed import LINEAGE, Feed
from tests.waiting import until


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second of silence is long."""
    monkeypatch.setattr(vigil, "SILENCE_S", 1.0)


@pytest.fixture
def proxy(postgres18: Server) -> Iterator[Proxy]:
    with Proxy("127.0.0.1", postgres18.port) as made:
        yield made


def opened(url: str) -> PostgresWriter:
    writer = Postgres(url).open("p", Limits())
    writer.claim(LINEAGE)
    return writer


@pytest.mark.parametrize("rows", [1, 500], ids=["statements", "sets"])
@pytest.mark.parametrize("fault", ["half_open", "blackhole"])
def test_a_server_that_is_gone_is_not_waited_for_and_nothing_is_lost(
    database: str, proxy: Proxy, fault: str, rows: int
) -> None:
    feed, url = Feed(), proxy.through(database) + "?connect_timeout=5"
    writer = opened(url)
    writer.write(feed.insert(1))
    batch = feed.commit(*(("c", {"id": str(key), "note": "n"}) for key in range(2, 2 + rows)))
    if fault == "half_open":
        proxy.half_open(Side.CLIENT)
        proxy.resume()
    else:
        proxy.blackhole()
    with pytest.raises(Retryable, match=r"nothing was heard for 1 s while writing to .*, and "):
        writer.write(batch)
    writer.close()
    proxy.resume()
    writer = opened(url)
    writer.write(batch)
    writer.close()
    with psycopg.connect(database) as target:
        assert target.execute("SELECT count(*) FROM orders").fetchone() == (1 + rows,)


def test_a_server_that_is_at_work_is_waited_for(database: str, proxy: Proxy) -> None:
    feed, writer = Feed(), opened(proxy.through(database))
    writer.write(feed.insert(1))
    writer._connection.execute("SET lock_timeout = 0")
    with psycopg.connect(database) as holder, psycopg.connect(database, autocommit=True) as other:
        asked = proxy.accepted
        holder.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        writing = threading.Thread(target=writer.write, args=(feed.insert(2),))
        writing.start()
        until(lambda: proxy.accepted >= asked + 3, "for three questions")
        holder.rollback()
        writing.join(60)
        assert other.execute("SELECT count(*) FROM orders").fetchone() == (2,)
    writer.close()


@pytest.mark.parametrize("what", ["claim", "yield_up", "forget_replayed", "known"])
def test_a_server_that_is_gone_is_not_waited_for_by_anything_that_asks_it(
    database: str, proxy: Proxy, what: str
) -> None:
    feed, writer = Feed(), opened(proxy.through(database) + "?connect_timeout=5")
    batch = feed.insert(1)
    writer.write(batch)
    asks: dict[str, Callable[[], object]] = {
        "claim": lambda: writer.claim("another"),
        "yield_up": lambda: writer.yield_up([LINEAGE]),
        "forget_replayed": lambda: writer.forget_replayed(batch.positions),
        "known": writer.known,
    }
    proxy.blackhole()
    with pytest.raises(Retryable, match="nothing was heard for 1 s while writing to "):
        asks[what]()
    writer.close()


def test_a_label_is_not_waited_for_when_the_server_is_gone(
    database: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    mood = TypeDefinition("public", "mood", "enum", labels=["low"])
    grown = TypeDefinition("public", "mood", "enum", labels=["low", "high"])
    feed, writer = Feed(), opened(proxy.through(database) + "?connect_timeout=5")
    writer.write(feed.commit(("c", {"id": "1", "mood": "low"}), table=moods(mood)))
    monkeypatch.setattr(ddl, "add_label", lambda *_: (proxy.blackhole(), sql.SQL("SELECT 1"))[1])
    with pytest.raises(Retryable, match="nothing was heard for 1 s while writing to "):
        writer.write(feed.commit(("c", {"id": "2", "mood": "high"}), table=moods(grown)))
    writer.close()


def moods(definition: TypeDefinition) -> Table:
    columns = [Column("id", "int8", nullable=False), Column("mood", "enum", native="public.mood")]
    return Table("public", "moods", columns, key=["id"], types=[definition])


def test_another_session_of_the_same_process_id_is_no_witness(database: str) -> None:
    with psycopg.connect(database) as ours:
        session = Session.of(ours)
        witness = Witness(Login(database), 1.0)
        witness.ask(session, "writing")
        with pytest.raises(Retryable, match="while writing, and the server has no such session any more"):
            witness.ask(replace(session, started_at="2000-01-01 00:00:00+00"), "writing")


def test_a_session_that_has_taken_another_role_is_known(database: str) -> None:
    ours = f"taken_{uuid.uuid4().hex}"
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {ours}".encode())
        admin.execute(f"CREATE ROLE login_{ours} LOGIN NOINHERIT IN ROLE {ours}".encode())
        admin.execute(f"ALTER ROLE login_{ours} SET role = {ours}".encode())
        url = psycopg.conninfo.make_conninfo(database, user=f"login_{ours}")
        with psycopg.connect(url) as held:
            session = Session.of(held)
            assert session.started_at is None
            Witness(Login(url), 1.0).ask(session, "writing")
        admin.execute(f"DROP ROLE login_{ours}; DROP ROLE {ours}".encode())


def test_a_server_without_room_is_there(database: str) -> None:
    role = f"narrow_{uuid.uuid4().hex}"
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 1".encode())
        url = psycopg.conninfo.make_conninfo(database, user=role)
        with psycopg.connect(url) as held:
            Witness(Login(url), 1.0).ask(Session.of(held), "writing")
        admin.execute(f"DROP ROLE {role}".encode())


def test_a_pooler_that_answers_for_a_server_that_is_gone_is_no_witness(
    start_postgres: Callable[..., Server], start_pgbouncer: Callable[..., Pooler]
) -> None:
    server = start_postgres()
    settings = {"ignore_startup_parameters": "options", "server_login_retry": "1", "query_wait_timeout": "2"}
    url = start_pgbouncer(server.port, settings=settings).through(server.url)
    with psycopg.connect(url) as session:
        ours = Session.of(session)
    server.kill()
    with pytest.raises(Retryable, match="nothing was heard for 1 s while writing, and "):
        Witness(Login(url), 1.0).ask(ours, "writing")
