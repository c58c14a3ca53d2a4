"""Login by GSSAPI: a real realm, a server that asks for it, and tickets of kinit's or of a keytab.

Two users: `cdc` is let in over an encrypted connection alone (`hostgssenc`), `bare` over one that is not, and both by a
ticket alone. So whatever these two have read or written came that way.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from servers import kerberos, postgres
from tailrace.dialect.postgres import session
from tailrace.error import ConfigError, Retryable, TailraceError
from tailrace.pipeline import Pipeline
from tailrace.sink.postgres import Postgres as Sink
from tailrace.source import Postgres as Source
from tests.server.postgres.asking import answers, url
from tests.server.postgres.reading import Make, Sql
from tests.waiting import until
from tests.wanting import or_skip

STATE = """SELECT gss_authenticated || ' ' || encrypted || ' ' || credentials_delegated || ' ' || principal
FROM pg_stat_gssapi WHERE pid = pg_backend_pid()"""
USER = "SELECT current_user::text"
HBA = """\
hostgssenc   all cdc  127.0.0.1/32 gss include_realm=0
hostnogssenc all bare 127.0.0.1/32 gss include_realm=0
host all cdc,bare 127.0.0.1/32 reject
"""
ENCRYPTED, PLAIN = {"user": "cdc", "gssencmode": "require"}, {"user": "bare", "gssencmode": "disable"}
BOTH = pytest.mark.parametrize("way", [ENCRYPTED, PLAIN], ids=["encrypted", "plain"])
WIDE = "(SELECT coalesce(string_agg(md5(i::text || g), ''), '') FROM generate_series(1, i % 97 * 20) AS g)"
"""A text of up to 60 kB: several packets of GSSAPI, and none that ends with one."""
PROGRAM = """
import sys
import psycopg
import tailrace as tr
from tailrace.dialect.postgres import libpq
assert psycopg.pq.__impl__ == "python", psycopg.pq.__impl__
changes = tr.tail(sys.argv[1], tables=["public.orders"], snapshot=True)
seen = [next(changes) for _ in range(200)]
with psycopg.connect(sys.argv[2]) as writer:
    writer.execute("UPDATE orders SET note = note || 'x'")
seen += [next(changes) for _ in range(200)]
changes.close()
print("".join(sorted({change.op for change in seen})), sum(len(change.after["note"]) for change in seen))
"""


@dataclass(frozen=True)
class Stand:
    """The realm, the server, and the keytabs of those who may log in."""

    realm: kerberos.Realm
    server: postgres.Server
    keytabs: dict[str, Path]

    @property
    def options(self) -> dict[str, str]:
        """`host` names the service; the address is the one that `pg_hba.conf` speaks of."""
        return {"host": "localhost", "hostaddr": "127.0.0.1", "port": str(self.server.port), "dbname": "postgres"}

    def ticket(self, principal: str, into: Path, lifetime: str = "1h") -> None:
        self.realm.ticket(self.keytabs[principal], principal, into, lifetime=lifetime)


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    with ExitStack() as stack:
        realm = or_skip(lambda: stack.enter_context(kerberos.start()))
        server = or_skip(lambda: stack.enter_context(postgres.start(18, full=True)))
        keys = realm.service("postgres/localhost", "shop/localhost")
        server.configure(krb_server_keyfile=str(keys), gss_accept_delegation="on")
        hba = server.data / "pg_hba.conf"
        hba.write_text(f"{HBA}{hba.read_text()}")
        for user in ("cdc", "bare"):
            server.execute(f"CREATE ROLE {user} SUPERUSER LOGIN")
        server.stop()
        server.start(**realm.environ)
        yield Stand(realm, server, {user: realm.keytab(user) for user in ("cdc", "bare", "mallory")})


@pytest.fixture
def tickets(stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where libpq of this process looks for a ticket; there is none yet."""
    for name, value in stand.realm.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{tmp_path / 'tickets'}")
    monkeypatch.delenv("KRB5_CLIENT_KTNAME", raising=False)
    return tmp_path / "tickets"


@pytest.fixture
def give(stand: Stand, tickets: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let this process log in as a principal: by a ticket, or by a keytab from which libpq gets tickets itself."""

    def give(principal: str, *, keytab: bool = False) -> None:
        if keytab:
            monkeypatch.setenv("KRB5_CLIENT_KTNAME", str(stand.keytabs[principal]))
        else:
            stand.ticket(principal, tickets)

    return give


@pytest.mark.filterwarnings("error:.*GSSAPI")  # psycopg warns of a login by GSSAPI that the url does not speak of
@pytest.mark.parametrize("keytab", [False, True], ids=["ticket", "keytab"])
@pytest.mark.parametrize(
    ("options", "state"),
    [
        (ENCRYPTED, "true true false cdc"),
        ({"user": "cdc", "gssencmode": "prefer"}, "true true false cdc"),
        (PLAIN, "true false false bare"),
        ({"user": "bare"}, "true false false bare"),  # the libpq that psycopg brings encrypts only when told
        (ENCRYPTED | {"krbsrvname": "shop"}, "true true false cdc"),
        (ENCRYPTED | {"require_auth": "gss"}, "true true false cdc"),
        (PLAIN | {"require_auth": "gss"}, "true false false bare"),
        (ENCRYPTED | {"gsslib": "gssapi", "sslmode": "disable"}, "true true false cdc"),
        (ENCRYPTED | {"sslmode": "require"}, "true true false cdc"),  # encrypted is encrypted, libpq says
    ],
    ids=lambda value: "-".join(map("=".join, value.items())) if isinstance(value, dict) else "",
)
def test_an_ordinary_session_and_a_walsenders_log_in(
    stand: Stand, give: Callable[..., None], keytab: bool, options: dict[str, str], state: str
) -> None:
    give(options["user"], keytab=keytab)
    assert answers(stand.options | options, STATE) == {f"{state}@{kerberos.REALM}"}


@BOTH
def test_a_ticket_is_handed_on_where_the_url_asks_for_it(
    stand: Stand, give: Callable[..., None], way: dict[str, str]
) -> None:
    give(way["user"])
    [state] = answers(stand.options | way | {"gssdelegation": "1"}, STATE)
    assert state.split()[2] == "true"


@BOTH
def test_a_snapshot_and_a_stream_go_from_server_to_server_by_tickets_alone(
    stand: Stand, give: Callable[..., None], way: dict[str, str], sql: Sql, tmp_path: Path
) -> None:
    user = way["user"]
    here, there = (stand.options | way | {"dbname": stand.server.create_database(f"{user}_{side}").rpartition("/")[2]}
                   for side in ("source", "target"))  # fmt: skip
    source, target = (stand.server.dsn(end["dbname"]) for end in (here, there))
    sql(source, "CREATE TABLE orders (id int PRIMARY KEY, note text)")
    sql(source, f"INSERT INTO orders SELECT i, {WIDE} FROM generate_series(1, 200) AS i")
    give(user)
    pipeline = Pipeline(
        Source(url(here), tables=["public.orders"]), Sink(url(there)), name=f"by_{user}", state_dir=tmp_path / "state"
    )
    content = "SELECT count(*), sum(length(note)), md5(string_agg(id || ':' || note, ',' ORDER BY id)) FROM orders"
    pipeline.run(until_current=True)
    assert sql(target, content) == sql(source, content)
    sql(source, "DELETE FROM orders WHERE id <= 100", "UPDATE orders SET note = note || 'x', id = id + 1000")
    sql(source, f"INSERT INTO orders SELECT i, {WIDE} FROM generate_series(1, 150) AS i")
    pipeline.run(until_current=True)
    assert sql(target, content) == sql(source, content)
    assert sql(source, content)[0][0] == 250


@pytest.fixture
def expired(stand: Stand, tickets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Waits until this process is not let in any more for the age of its ticket; those of a keytab are short-lived."""
    brief = tmp_path / "krb5.conf"
    ours = "[libdefaults]\nticket_lifetime = 5s\nclockskew = 15\n"  # libkrb5 takes a ticket for so much longer
    brief.write_text((stand.realm.folder / "krb5.conf").read_text().replace("[libdefaults]\n", ours))
    monkeypatch.setenv("KRB5_CONFIG", str(brief))

    def refused() -> bool:
        try:
            session.connect(url(stand.options | ENCRYPTED)).close()
        except Retryable as error:
            return "Ticket expired" in str(error) and "kinit renews it; a keytab" in str(error)
        return False

    return lambda: until(refused, "for the end of the ticket")


@BOTH
def test_a_session_outlives_its_ticket_and_the_next_one_needs_a_new_one(
    stand: Stand, tickets: Path, expired: Callable[[], None], way: dict[str, str], reading: Make, sql: Sql
) -> None:
    user, server = way["user"], stand.server
    table = f"expiring_{user}"
    sql(server.url, f"CREATE TABLE {table} (id int PRIMARY KEY)", f"INSERT INTO {table} VALUES (1)")
    stand.ticket(user, tickets)
    it = reading(url(stand.options | way), table, tables=[f"public.{table}"]).open().count(1)
    sql(server.url, f"INSERT INTO {table} VALUES (2)")
    it.count(2)
    stand.ticket("cdc", tickets, "1s")
    expired()
    with pytest.raises(Retryable, match="kinit renews it"):
        session.connect(url(stand.options | ENCRYPTED | {"gssencmode": "prefer"}))
    sql(server.url, f"INSERT INTO {table} VALUES (3)")
    it.count(3)
    sql(server.url, "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active")
    with pytest.raises(Retryable):
        it.count(4)
    with pytest.raises(Retryable, match="Ticket expired"):
        it.restart()
    stand.ticket(user, tickets)
    sql(server.url, f"INSERT INTO {table} VALUES (4)")
    it.restart().count(4)
    assert it.ops() == ["r", "c", "c", "c"]


def test_a_keytab_gets_a_new_ticket_where_the_old_one_has_expired(
    stand: Stand, give: Callable[..., None], expired: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    give("cdc", keytab=True)
    assert answers(stand.options | ENCRYPTED, USER) == {"cdc"}
    monkeypatch.delenv("KRB5_CLIENT_KTNAME")
    expired()
    give("cdc", keytab=True)
    assert answers(stand.options | ENCRYPTED, USER) == {"cdc"}


REFUSED: dict[str, tuple[str | None, dict[str, str], type[TailraceError], str]] = {
    "no ticket": (None, PLAIN, ConfigError, "No Kerberos credentials.*run kinit, or name a keytab"),
    "no ticket, encryption preferred": (None, PLAIN | {"gssencmode": "prefer"}, ConfigError, "No Kerberos cred.*kinit"),
    "no ticket, encryption": (None, ENCRYPTED, ConfigError, "no credential cache.*kinit"),
    "another's ticket": ("mallory", PLAIN, ConfigError, "GSSAPI authentication failed.*klist"),
    "another's ticket, encryption": ("mallory", ENCRYPTED, ConfigError, "GSSAPI authentication failed.*klist"),
    "another service": ("bare", PLAIN | {"krbsrvname": "pg"}, ConfigError, "pg/localhost.*host and krbsrvname"),
    "another service, encryption": ("cdc", ENCRYPTED | {"host": "db"}, ConfigError, "postgres/db.*krbsrvname"),
    "not encrypted": ("cdc", {"user": "cdc", "gssencmode": "disable"}, ConfigError, "rejects.*no encryption.*gssenc"),
    "another login": ("bare", PLAIN | {"require_auth": "scram-sha-256"}, ConfigError, "GSSAPI.*another login"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_who_is_not_let_in_is_told_what_to_do(stand: Stand, give: Callable[..., None], case: str) -> None:
    principal, options, error, said = REFUSED[case]
    if principal is not None:
        give(principal)
    with pytest.raises(error, match=f"(?s){said}") as caught:
        session.connect(url(stand.options | options))
    assert len(str(caught.value).splitlines()) == 2  # what happened, and what to do


@BOTH
def test_a_realm_that_does_not_answer_is_waited_for(
    stand: Stand, give: Callable[..., None], way: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(way["user"], keytab=True)
    away = tmp_path / "krb5.conf"
    away.write_text(re.sub(r"kdc = .*", "kdc = 127.0.0.1:1", (stand.realm.folder / "krb5.conf").read_text()))
    monkeypatch.setenv("KRB5_CONFIG", str(away))
    with pytest.raises(Retryable, match=r"(?s)Cannot contact any KDC.*krb5\.conf"):
        session.connect(url(stand.options | way))


def _said(stand: Stand, code: str, *arguments: str, libraries: Path) -> subprocess.CompletedProcess[str]:
    """What a program says whose psycopg takes the libpq of that folder."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PSYCOPG_IMPL": "python", "LD_LIBRARY_PATH": str(libraries)},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


@BOTH
def test_a_libpq_that_psycopg_did_not_bring_logs_in_as_well(
    stand: Stand, give: Callable[..., None], way: dict[str, str], sql: Sql
) -> None:
    database = stand.server.create_database(f"{way['user']}_system")
    sql(database, "CREATE TABLE orders (id int PRIMARY KEY, note text)")
    sql(database, f"INSERT INTO orders SELECT i, {WIDE} FROM generate_series(1, 200) AS i")
    give(way["user"])
    here = url(stand.options | way | {"dbname": database.rpartition("/")[2]})
    done = _said(stand, PROGRAM, here, database, libraries=or_skip(lambda: postgres.install(16)) / "lib")
    assert done.returncode == 0, done.stderr
    [(rows, length)] = sql(database, "SELECT count(note), sum(length(note)) FROM orders")
    assert done.stdout.split() == ["ru", str(length - len("x") * rows + length)]


@BOTH
def test_a_libpq_without_gssapi_is_told_of(stand: Stand, give: Callable[..., None], way: dict[str, Any]) -> None:
    give(way["user"])
    code = "import sys, tailrace as tr\nnext(tr.tail(sys.argv[1], tables=['public.orders']))"
    libraries = or_skip(lambda: postgres.install(18)) / "lib"
    done = _said(stand, code, url(stand.options | way), libraries=libraries)
    assert done.returncode != 0
    *_, error, hint = done.stderr.strip().splitlines()
    assert error.startswith("tailrace.error.ConfigError: cannot connect to localhost") and "GSSAPI" in error
    assert "built without GSSAPI: pip install 'psycopg[binary]'" in hint
