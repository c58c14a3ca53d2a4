"""Every option of libpq holds for every session, or is refused with what to do: of the url, the environment, a service.

Each is tried over an ordinary session and a walsender's: the source and the sink open no others.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import pq

from servers import postgres
from servers.certificate import Authority
from tailrace.dialect.postgres import session
from tailrace.error import ConfigError, Retryable, TailraceError
from tests.server.postgres.asking import answers, url
from tests.server.postgres.reading import Make, Sql
from tests.waiting import until
from tests.wanting import or_skip

Options = dict[str, str]
TLS = "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
VERSION = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
NAME = "SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()"
USER = "SELECT current_user::text"


@dataclass(frozen=True)
class Stand:
    """A PostgreSQL 18 with TLS, a socket, a role with a password, one with a certificate, and what clients need."""

    server: postgres.Server
    authority: Authority
    sockets: Path

    @property
    def plain(self) -> Options:
        return {"host": "127.0.0.1", "port": str(self.server.port), "user": "postgres", "dbname": "postgres"}

    @property
    def trusting(self) -> Options:
        return self.plain | {"sslmode": "verify-full", "sslrootcert": str(self.authority.certificate)}

    @property
    def secret(self) -> Options:
        return self.plain | {"user": "cdc", "password": "secret"}

    @property
    def local(self) -> Options:
        return self.plain | {"host": str(self.sockets)}


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with ExitStack() as stack:
        # A folder for sockets that everybody may use; the path of one has at most 107 bytes.
        sockets = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tr", dir="/tmp")))
        sockets.chmod(0o777)
        starting = postgres.start(18, settings={"unix_socket_directories": str(sockets)}, tls=True)
        server = or_skip(lambda: stack.enter_context(starting))
        authority = or_skip(lambda: Authority(tmp_path_factory.mktemp("options") / "ours"))
        stand = Stand(server, authority, sockets)
        _furnish(stand)
        yield stand


def _furnish(stand: Stand) -> None:
    server = stand.server
    (server.data / "clients.crt").write_bytes(stand.authority.certificate.read_bytes())
    server.configure(ssl_ca_file="clients.crt")
    hba = server.data / "pg_hba.conf"
    hba.write_text(
        f"host all cdc 127.0.0.1/32 scram-sha-256\nhostssl all certified 127.0.0.1/32 cert\n{hba.read_text()}"
    )
    server.execute("CREATE ROLE cdc SUPERUSER LOGIN PASSWORD 'secret'")
    server.execute("CREATE ROLE certified SUPERUSER LOGIN")
    server.present(stand.authority.issue("localhost"))

    def ready() -> bool:
        """What it presents, and whom it asks what, changes a moment after it was told to read it again."""
        try:
            session.connect(url(stand.trusting)).close()
            session.connect(url(stand.secret | {"require_auth": "scram-sha-256"})).close()
        except TailraceError:
            return False
        return True

    until(ready, "for the server's new settings")


def plain(**options: str) -> Callable[[Stand], Options]:
    return lambda stand: stand.plain | options


def trusting(**options: str) -> Callable[[Stand], Options]:
    return lambda stand: stand.trusting | options


def secret(**options: str) -> Callable[[Stand], Options]:
    return lambda stand: stand.secret | options


def by_keys(stand: Stand, **options: str) -> Options:
    """The keys that stand for the password of role cdc, made of what the server keeps of it (RFC 5802)."""
    with psycopg.connect(url(stand.plain)) as connection:
        found = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'cdc'").fetchone()
    assert found is not None
    _, iterations, salt, _, server_key = re.split("[$:]", found[0])
    salted = hashlib.pbkdf2_hmac("sha256", b"secret", base64.b64decode(salt), int(iterations))
    client_key = base64.b64encode(hmac.digest(salted, b"Client Key", "sha256")).decode()
    keys = {"scram_client_key": client_key, "scram_server_key": server_key}
    return stand.plain | {"user": "cdc"} | keys | options


def certified(stand: Stand, **options: str) -> Options:
    """A client certificate whose key is encrypted."""
    signed = stand.authority.issue("certified", passphrase="swordfish")
    ours = {"sslcert": str(signed.certificate), "sslkey": str(signed.key), "sslpassword": "swordfish"}
    return stand.trusting | {"user": "certified", "sslcertmode": "require"} | ours | options


WORKS: dict[str, tuple[Callable[[Stand], Options], str, str]] = {
    "sslmode=disable": (plain(sslmode="disable"), TLS, "false"),
    "sslmode=allow": (plain(sslmode="allow"), TLS, "false"),
    "sslmode=prefer": (plain(sslmode="prefer"), TLS, "true"),
    "sslmode=require": (plain(sslmode="require"), TLS, "true"),
    "sslmode=verify-ca": (trusting(sslmode="verify-ca"), TLS, "true"),
    "sslmode=verify-full, sslrootcert": (trusting(), TLS, "true"),
    "host, hostaddr": (trusting(host="localhost", hostaddr="127.0.0.1"), TLS, "true"),
    "sslcert, sslkey, sslpassword, sslcertmode": (certified, USER, "certified"),
    "sslcrl": (lambda stand: stand.trusting | {"sslcrl": str(stand.authority.revoke())}, TLS, "true"),
    "sslcrldir": (lambda stand: stand.trusting | {"sslcrldir": str(stand.authority.revoke().parent)}, TLS, "true"),
    "sslsni, sslcompression": (trusting(sslsni="0", sslcompression="1"), TLS, "true"),
    "sslnegotiation=direct": (trusting(sslnegotiation="direct"), TLS, "true"),
    "ssl_max_protocol_version": (trusting(ssl_max_protocol_version="TLSv1.2"), VERSION, "TLSv1.2"),
    "ssl_min_protocol_version": (trusting(ssl_min_protocol_version="TLSv1.3"), VERSION, "TLSv1.3"),
    "user, password, channel_binding": (secret(sslmode="require", channel_binding="require"), USER, "cdc"),
    "require_auth=scram-sha-256": (secret(require_auth="scram-sha-256"), USER, "cdc"),
    "require_auth=none": (plain(require_auth="none"), USER, "postgres"),
    "scram_client_key, scram_server_key": (by_keys, USER, "cdc"),
    "gssencmode, krbsrvname, gsslib, gssdelegation": (
        plain(gssencmode="disable", krbsrvname="postgres", gsslib="gssapi", gssdelegation="0"), USER, "postgres",
    ),
    "oauth_issuer, oauth_client_id, oauth_client_secret, oauth_scope": (
        plain(oauth_issuer="https://id", oauth_client_id="i", oauth_client_secret="s", oauth_scope="o"),
        USER, "postgres",
    ),
    "no application_name": (plain(), NAME, "tailrace"),
    "application_name": (plain(application_name="shop"), NAME, "shop"),
    "fallback_application_name": (plain(fallback_application_name="shop"), NAME, "shop"),
    "options": (plain(options="-c work_mem=3MB"), "SHOW work_mem", "3MB"),
    "options that we need otherwise": (plain(options="-c datestyle=SQL"), "SHOW datestyle", "ISO, MDY"),
    "client_encoding": (plain(client_encoding="LATIN1"), "SHOW client_encoding", "UTF8"),
    "requirepeer": (lambda stand: stand.local | {"requirepeer": stand.server.data.owner()}, USER, "postgres"),
    "min_protocol_version": (plain(min_protocol_version="3.2"), USER, "postgres"),
    "max_protocol_version": (plain(max_protocol_version="3.0"), USER, "postgres"),
    "several hosts, port": (
        lambda stand: stand.plain | {"host": "127.0.0.1,127.0.0.1", "port": f"1,{stand.server.port}"}, USER, "postgres",
    ),
    "dbname": (plain(dbname="template1"), "SELECT current_database()::text", "template1"),
    "target_session_attrs=any": (plain(target_session_attrs="any"), USER, "postgres"),
    "target_session_attrs=primary": (plain(target_session_attrs="primary"), USER, "postgres"),
    "target_session_attrs=prefer-standby": (plain(target_session_attrs="prefer-standby"), USER, "postgres"),
}  # fmt: skip


@pytest.mark.parametrize("option", WORKS)
def test_it_holds_for_an_ordinary_session_and_a_walsenders(stand: Stand, option: str) -> None:
    options, question, answer = WORKS[option]
    assert answers(options(stand), question) == {answer}


REFUSED: dict[str, tuple[Callable[[Stand], Options], str]] = {
    "sslrootcert=system": (plain(sslmode="require", sslrootcert="system"), "weak sslmode.*sslmode=verify-full"),
    "sslnegotiation": (plain(sslmode="prefer", sslnegotiation="direct"), "weak sslmode.*require or more"),
    "ssl_min_protocol_version": (
        trusting(ssl_min_protocol_version="TLSv1.3", ssl_max_protocol_version="TLSv1.2"),
        "invalid SSL protocol version",
    ),
    "require_auth": (plain(require_auth="md5"), "authentication method requirement.*another login"),
    "require_auth, mixed": (plain(require_auth="md5,!none"), "cannot be mixed.*check require_auth"),
    "channel_binding": (secret(sslmode="disable", channel_binding="require"), "channel binding.*needs TLS"),
    "gssencmode": (plain(gssencmode="require"), "GSSAPI encryption.*kinit"),
    "requirepeer": (lambda stand: stand.local | {"requirepeer": "mallory"}, "requirepeer.*as another user"),
    "port": (plain(host="a,b,c", port="1,2"), "could not match.*one port for all"),
    "hostaddr": (plain(host="a,b", hostaddr="127.0.0.1"), "could not match.*as many"),
    "sslpassword": (lambda stand: certified(stand, sslpassword="wrong"), "private key file.*sslkey"),
    "sslcertmode": (lambda stand: certified(stand, sslcertmode="disable"), "certificate"),
    "sslcrl": (
        lambda stand: stand.trusting | {"sslcrl": str(stand.authority.revoke("localhost"))},
        "certificate verify failed.*is in sslcrl",
    ),
    "scram_client_key": (lambda stand: by_keys(stand, scram_client_key="AAAA"), "invalid SCRAM client key"),
    "load_balance_hosts": (plain(load_balance_hosts="often"), "invalid load_balance_hosts"),
    "target_session_attrs": (plain(target_session_attrs="best"), "invalid target_session_attrs"),
    "max_protocol_version": (plain(max_protocol_version="4"), "invalid max_protocol_version"),
}  # fmt: skip


@pytest.mark.parametrize("option", REFUSED)
def test_what_cannot_be_had_is_a_configuration_error_that_says_what_to_do(stand: Stand, option: str) -> None:
    options, said = REFUSED[option]
    with pytest.raises(ConfigError, match=f"(?s){said}") as caught:
        session.connect(url(options(stand)))
    assert caught.value.exit_code == 2
    assert len(str(caught.value).splitlines()) == 2  # what happened, and what to do


@pytest.mark.parametrize("attrs", ["standby", "read-only"])
def test_a_server_in_the_other_role_is_waited_for(stand: Stand, attrs: str) -> None:
    with pytest.raises(Retryable, match=r"standby|read-only"):
        session.connect(url(stand.plain | {"target_session_attrs": attrs}))


def test_direct_tls_with_a_release_that_does_not_know_it_says_which_one_does(postgres15: postgres.Server) -> None:
    with pytest.raises(Retryable, match=r"(?s)needs PostgreSQL 17"):
        session.connect(f"{postgres15.url}?sslmode=require&sslnegotiation=direct")


def test_the_authorities_of_the_system_are_trusted(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    system = stand.trusting | {"sslrootcert": "system"}
    with pytest.raises(ConfigError, match="certificate verify failed"):
        session.connect(url(system))
    monkeypatch.setenv("SSL_CERT_FILE", str(stand.authority.certificate))  # where OpenSSL looks for them
    assert answers(system, TLS) == {"true"}


def test_the_keys_of_a_session_are_logged_where_they_are_asked_for(stand: Stand, tmp_path: Path) -> None:
    log = tmp_path / "keys"
    answers(stand.trusting | {"sslkeylogfile": str(log)}, USER)
    assert "SERVER_TRAFFIC_SECRET_0" in log.read_text()


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ({}, (1, 10, 5, 3, 60_000)),
        (
            {"keepalives_idle": "21", "keepalives_interval": "7", "keepalives_count": "4", "tcp_user_timeout": "9000"},
            (1, 21, 7, 4, 9_000),
        ),
        ({"keepalives": "0"}, (0, None, None, None, 0)),
    ],
    ids=["ours", "asked for", "off"],
)
def test_the_system_watches_over_an_idle_connection(stand: Stand, asked: Options, kept: tuple[int | None, ...]) -> None:
    names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
    for connect in (session.connect, session.connect_replication):
        with (
            closing(connect(url(stand.plain | asked))) as connection,
            socket.socket(fileno=os.dup(connection.fileno())) as watched,
        ):
            found = [watched.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)]
            found += [watched.getsockopt(socket.IPPROTO_TCP, name) for name in names]
        assert all(wanted in (None, value) for wanted, value in zip(kept, found, strict=True)), found


@pytest.mark.parametrize(("balance", "reached"), [("disable", {"one"}), ("random", {"one", "two"})])
def test_sessions_are_spread_over_hosts_when_asked_for(stand: Stand, balance: str, reached: set[str]) -> None:
    hosts = {"host": "one,two", "hostaddr": "127.0.0.1,127.0.0.1", "load_balance_hosts": balance}
    seen = set()
    for _ in range(40):
        with closing(session.connect(url(stand.plain | hosts))) as connection:
            seen.add(connection.info.host)
    assert seen == reached


def test_a_server_that_accepts_and_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(Retryable, match=r"(?s)timeout expired.*firewall"):
            session.connect(f"postgresql://cdc@127.0.0.1:{port}/shop?connect_timeout=2")


def test_a_url_does_not_make_every_session_a_walsenders(stand: Stand) -> None:
    for asked in ("true", "database"):
        with closing(session.connect(url(stand.plain | {"replication": asked}))) as connection:
            assert connection.execute("SELECT %s::int", [7]).fetchone() == (7,)
        with closing(session.connect_replication(url(stand.plain | {"replication": asked}))) as connection:
            assert connection.pgconn.exec_(b"IDENTIFY_SYSTEM").get_value(0, 3) == b"postgres"


@pytest.mark.parametrize("way", ["service", "PGSERVICE", "environment"])
def test_what_a_service_or_the_environment_says_goes_before_our_defaults(
    stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    said = stand.plain | {
        "application_name": "nightly", "connect_timeout": "7", "options": "-c work_mem=3MB -c datestyle=SQL",
    }  # fmt: skip
    (tmp_path / "services").write_text("[shop]\n" + "".join(f"{name}={value}\n" for name, value in said.items()))
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    if way == "PGSERVICE":
        monkeypatch.setenv("PGSERVICE", "shop")
    elif way == "environment":
        names = {option.keyword.decode(): option.envvar for option in pq.Conninfo.get_defaults()}
        for name, value in said.items():
            variable = names[name]
            assert variable is not None
            monkeypatch.setenv(variable.decode(), value)
    options = {"service": "shop"} if way == "service" else {}
    assert answers(options, NAME) == {"nightly"}
    assert answers(options, "SHOW work_mem") == {"3MB"}
    assert answers(options, "SHOW datestyle") == {"ISO, MDY"}
    with closing(session.connect_plain(url(options))) as connection:
        assert connection.execute("SHOW datestyle").fetchone() == ("SQL, MDY",)
        # psycopg counts the seconds, and looks for them in the url and the environment alone.
        assert connection.info.get_parameters()["connect_timeout"] == "7"
    assert session.target(url(options)) == f"127.0.0.1:{stand.server.port}/postgres"


@pytest.mark.parametrize("way", ["service", "environment", "passfile", "socket", "options"])
def test_a_pipeline_finds_its_server_by_every_way_that_libpq_has(
    stand: Stand, tmp_path: Path, sql: Sql, reading: Make, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    server, table = stand.server, f"orders_{way}"
    sql(
        server.url,
        f"CREATE TABLE {table} (id int PRIMARY KEY, due date DEFAULT '2026-12-31')",
        f"INSERT INTO {table} VALUES (1)",
    )
    (tmp_path / "pg_service.conf").write_text(f"[shop]\nhost=127.0.0.1\nport={server.port}\nuser=postgres\n")
    (tmp_path / "pgpass").write_text(f"127.0.0.1:{server.port}:*:cdc:secret\n")
    (tmp_path / "pgpass").chmod(0o600)
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "pg_service.conf"))
    if way == "environment":
        for name, value in {"PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGUSER": "postgres"}.items():
            monkeypatch.setenv(name, value)
    found = {
        "service": "postgresql:///postgres?service=shop",
        "environment": "postgresql:///postgres",
        "passfile": f"{server.dsn(user='cdc')}?passfile={tmp_path / 'pgpass'}",
        "socket": f"postgresql://postgres@/postgres?host={stand.sockets}&port={server.port}",
        "options": f"{server.url}?options=-c%20datestyle%3DSQL%20-c%20work_mem%3D3MB",
    }[way]
    it = reading(found, way, tables=[f"public.{table}"]).open().count(1)
    sql(server.url, f"INSERT INTO {table} VALUES (2)")
    it.count(2)
    assert it.ops() == ["r", "c"]
    # What we need goes before what the user's options say; the rest of them holds.
    assert [change.after for change in it.seen] == [{"id": str(key), "due": "2026-12-31"} for key in (1, 2)]
    with session.connect(it.source.login) as connection:
        assert (connection.execute("SHOW work_mem").fetchone() == ("3MB",)) == (way == "options")


TRIED = {
    "service, passfile": "test_a_pipeline_finds_its_server_by_every_way_that_libpq_has",
    "connect_timeout": "test_a_server_that_accepts_and_says_nothing_is_given_up",
    "keepalives, keepalives_idle, keepalives_interval, keepalives_count, tcp_user_timeout":
        "test_the_system_watches_over_an_idle_connection",
    "load_balance_hosts": "test_sessions_are_spread_over_hosts_when_asked_for",
    "replication": "test_a_url_does_not_make_every_session_a_walsenders",
    "sslkeylogfile": "test_the_keys_of_a_session_are_logged_where_they_are_asked_for",
}  # fmt: skip


def test_every_option_that_libpq_knows_is_tried_here() -> None:
    assert all(test in globals() for test in TRIED.values())
    tried = {name for title in (*WORKS, *TRIED) for name in re.findall(r"\w+", title)}
    assert {option.keyword.decode() for option in pq.Conninfo.get_defaults()} - tried == set()
