"""What a connection that was not made is told as. Never connects to a server."""

from __future__ import annotations

import psycopg
import pytest

from tailrace.dialect.postgres.fault import of_password, translate_connect
from tailrace.error import ConfigError, Retryable

REFUSED = 'connection to server at "{}" (10.0.0.1), port 5432 failed: Connection refused'


@pytest.mark.parametrize(
    ("text", "next_step"),
    [
        ('connection to server at "127.0.0.1", port 1 failed: Connection refused', "listen on this host and port"),
        ('connection to server on socket "/x/.s.PGSQL.5432" failed: No such file or directory', "give a host"),
        ('could not translate host name "nowhere" to address: Name or service not known', "check host"),
        ("connection timeout expired", "firewall"),
        ("FATAL:  sorry, too many clients already", "max_connections"),
        (
            'connection to server at "db", port 5432 failed: received invalid response to SSL negotiation: H',
            "a proxy without one behind it",
        ),
        ("received invalid response to GSSAPI negotiation: 5", "a proxy without one behind it"),
    ],
)
def test_a_fault_of_connecting_that_may_pass_says_what_to_look_at(text: str, next_step: str) -> None:
    error = translate_connect(psycopg.OperationalError(text), "db/shop")
    assert isinstance(error, Retryable)
    assert error.hint is not None and next_step in error.hint


def test_a_fault_of_connecting_that_nobody_knows_passes_without_advice() -> None:
    error = translate_connect(psycopg.OperationalError("the moon is full"), "db/shop")
    assert isinstance(error, Retryable) and error.hint is None


GSS = "could not initiate GSSAPI security context: Unspecified GSS failure.  Minor code may provide more information: "
PLAIN = 'connection to server at "db", port 5432 failed: FATAL:  '


@pytest.mark.parametrize(
    ("word", "next_step"),
    [
        ("Ticket expired", "kinit renews it"),
        ("Cannot contact any KDC for realm 'SHOP'", "does the realm's KDC run"),
        ("Clock skew too great", "set the clocks"),
    ],
)
def test_a_fault_of_kerberos_that_passes_is_told_beside_the_refusal_of_what_is_not_encrypted(
    word: str, next_step: str
) -> None:
    """As with gssencmode=prefer: libpq tries without encryption next."""
    refusal = 'no pg_hba.conf entry for host "::1", user "cdc", database "shop", no encryption'
    error = translate_connect(psycopg.OperationalError(f"{GSS}{word}\n{PLAIN}{refusal}"), "db/shop")
    assert isinstance(error, Retryable)
    assert word in str(error) and next_step in (error.hint or "")


@pytest.mark.parametrize(
    ("text", "next_step"),
    [
        (f'{GSS}Cannot find KDC for realm "SHOP"', "krb5.conf"),
        (f'{GSS}Ticket expired\n{PLAIN}password authentication failed for user "cdc"', "check user and password"),
    ],
)
def test_a_fault_beside_kerberos_that_does_not_pass_by_itself_is_one_of_the_configuration(
    text: str, next_step: str
) -> None:
    error = translate_connect(psycopg.OperationalError(text), "db/shop")
    assert isinstance(error, ConfigError) and next_step in (error.hint or "")


@pytest.mark.parametrize("name", ["oauth-db", "certificate", "requirepeer.internal"])
@pytest.mark.parametrize(
    "text",
    [
        REFUSED,
        "failed to resolve host '{}': [Errno -3] Temporary failure in name resolution",
        'connection to server on socket "/{}/.s.PGSQL.5432" failed: No such file or directory',
        'connection to server at "{}" (10.0.0.1), port 5432 failed: FATAL:  the database system is starting up',
        f"{REFUSED}\nMultiple connection attempts failed. All failures were:"
        f"\n- host: '{{}}', port: '5432', hostaddr: '10.0.0.1': connection failed: {REFUSED}"
        "\n- host: 'other', port: '5432', hostaddr: '10.0.0.2': connection timeout expired",
    ],
)
def test_a_name_is_not_taken_for_what_went_wrong(text: str, name: str) -> None:
    assert isinstance(translate_connect(psycopg.OperationalError(text.replace("{}", name)), "db/shop"), Retryable)


@pytest.mark.parametrize(
    ("text", "next_step"),
    [
        ("server requires OAuth authentication, but oauth_issuer and oauth_client_id are not both set", "another way"),
        ('requirepeer specifies "oauth", but actual peer user name is "postgres"', "runs as another user"),
        ('FATAL:  no pg_hba.conf entry for host "::1", user "oauth", database "shop", no encryption', "must admit"),
        ('FATAL:  role "oauth" does not exist', "check database and user"),
        ('could not read root certificate file "/oauth/root.crt": no start line', "sslrootcert"),
    ],
)
def test_what_went_wrong_is_told_beside_names(text: str, next_step: str) -> None:
    error = translate_connect(psycopg.OperationalError(text), "db/shop")
    assert isinstance(error, ConfigError) and next_step in (error.hint or "")


@pytest.mark.parametrize(
    ("text", "is_so"),
    [
        ('FATAL:  password authentication failed for user "cdc"', True),
        ("fe_sendauth: no password supplied", True),
        (REFUSED.replace("{}", "password-db"), False),
        ('connection to server at "password-db", port 5432 failed: FATAL:  database "password" does not exist', False),
        ("failed to resolve host 'password-db': [Errno -3] Temporary failure in name resolution", False),
    ],
)
def test_that_a_password_was_refused_is_told_beside_names(text: str, is_so: bool) -> None:
    assert of_password(psycopg.OperationalError(text)) is is_so
