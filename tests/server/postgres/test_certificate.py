"""Logging in by a client certificate: renewed while the pipeline runs, expired, foreign, or missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from servers import postgres
from servers.certificate import Authority, Signed
from tailrace.error import ConfigError, Retryable, TailraceError
from tailrace.source import Postgres
from tests.server.postgres.reading import Make, Sql, eventually

Start = Callable[..., postgres.Server]


@dataclass(frozen=True)
class Guarded:
    """A server that lets role cdc in only with a certificate of its own, signed by `authority`."""

    server: postgres.Server
    authority: Authority

    def url(self, signed: Signed | None, *, trusted: Authority | None = None, host: str = "localhost") -> str:
        client = "" if signed is None else f"&sslcert={signed.certificate}&sslkey={signed.key}"
        root = (trusted or self.authority).certificate
        where = f"cdc@{host}:{self.server.port}/postgres?hostaddr=127.0.0.1"
        return f"postgresql://{where}&sslmode=verify-full&sslrootcert={root}{client}"


@pytest.fixture(params=[18, 15], ids=["postgres18", "postgres15"])
def guarded(request: pytest.FixtureRequest, start_postgres: Start, tmp_path: Path) -> Guarded:
    authority = Authority(tmp_path / "ours")
    server = start_postgres(request.param, tls=True)
    server.present(authority.issue("localhost"))
    (server.data / "clients.crt").write_bytes(authority.certificate.read_bytes())
    server.configure(ssl_ca_file="clients.crt")
    hba = server.data / "pg_hba.conf"
    hba.write_text(f"hostssl all cdc 127.0.0.1/32 trust clientcert=verify-full\n{hba.read_text()}")
    for statement in (
        "CREATE ROLE cdc SUPERUSER LOGIN",
        "CREATE TABLE t (id int PRIMARY KEY)",
        "SELECT pg_reload_conf()",
    ):
        server.execute(statement)
    ours = authority.issue("cdc")
    eventually(lambda: Postgres(Guarded(server, authority).url(ours)).check()[0].message.endswith("answers"))
    return Guarded(server, authority)


def serials(guarded: Guarded, sql: Sql) -> set[int]:
    """Serial numbers of the certificates that sessions of the pipeline came with."""
    used = "SELECT client_serial FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'cdc'"
    return {int(serial) for (serial,) in sql(guarded.server.url, used)}


def test_a_renewed_certificate_is_taken_at_the_next_connection(guarded: Guarded, sql: Sql, reading: Make) -> None:
    ours = guarded.authority.issue("cdc")
    it = reading(guarded.url(ours), "shop", snapshot="never").open().first()
    eventually(lambda: len(serials(guarded, sql)) == 1)  # the session that looked whether the server is ready has ended
    (first,) = serials(guarded, sql)
    assert guarded.authority.issue("cdc") == ours  # in its place
    sql(guarded.server.url, "INSERT INTO t VALUES (1)")
    it.count(1)
    guarded.server.execute("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE usename = 'cdc'")
    with pytest.raises(Retryable):
        it.until(lambda: False)
    it.restart()
    (second,) = serials(guarded, sql)
    assert second != first
    sql(guarded.server.url, "INSERT INTO t VALUES (2)")
    it.count(2)


def test_a_certificate_that_will_not_do_is_one_error_that_says_what_to_do(guarded: Guarded, tmp_path: Path) -> None:
    ours, theirs = guarded.authority, Authority(tmp_path / "theirs")
    good = ours.issue("cdc")
    cases = {
        guarded.url(None): "requires a valid client certificate.*sslcert and sslkey",
        guarded.url(ours.issue("cdc", days=-1, name="old")): "certificate expired.*put a renewed one in its place",
        guarded.url(theirs.issue("cdc")): "unknown ca.*ssl_ca_file",
        guarded.url(ours.issue("mallory")): "authentication failed.*certificate",
        guarded.url(good, trusted=theirs): "certificate verify failed.*sslrootcert",
        guarded.url(good, host="example.com"): "does not match host name.*check host",
        guarded.url(replace(good, key=tmp_path / "none")): "private key file.*sslkey",
        guarded.url(replace(good, key=ours.issue("other").key)): "private key file.*sslkey",
    }
    for url, said in cases.items():
        assert_refused(url, said)
    good.key.chmod(0o644)
    assert_refused(guarded.url(good), "private key file.*mode 0600")
    good.key.chmod(0o600)
    guarded.server.present(ours.issue("localhost", days=-1))
    eventually(lambda: told(guarded.url(good)) is not None)
    assert_refused(guarded.url(good), "certificate verify failed.*expired")


def told(url: str) -> TailraceError | None:
    try:
        Postgres(url).drop("shop")
    except TailraceError as error:
        return error
    return None


def assert_refused(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s){said}") as caught:
        Postgres(url).drop("shop")
    assert caught.value.exit_code == 2
    assert len(str(caught.value).splitlines()) == 2  # what happened, and what to do
