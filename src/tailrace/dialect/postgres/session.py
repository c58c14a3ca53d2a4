"""Opens connections in the one state that every text from the server is read in. Never keeps one, never pools.

Settings travel in the startup packet, where they win over those of role and database; libpq options that the url, the
environment or a service file names win over the defaults here. What libpq adds from PGDATESTYLE and PGTZ wins over
both, and is set back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import conninfo, pq, sql

from tailrace.dialect.postgres import password
from tailrace.dialect.postgres.fault import of_password, told, translate_connect
from tailrace.error import ConfigError

Connection = psycopg.Connection[tuple[Any, ...]]
Params = Mapping[str, object] | None

_SETTINGS = {
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "timezone": "UTC",
    "row_security": "off",
    "quote_all_identifiers": "off",
    "standard_conforming_strings": "on",
    "search_path": "",  # names of types and tables are printed with their schema, as an apply worker has it
    "client_min_messages": "warning",  # the walsender warns of a publication that is gone, and of nothing else
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
}
_SET_BACK = {"DateStyle": ("ISO", b"SET DateStyle = 'ISO'"), "TimeZone": ("UTC", b"SET TimeZone = 'UTC'")}
"""What a session must report, up to a comma (behind it DateStyle has the order that dates are read in), and the
statement for one that reports another."""
_DEFAULTS = {
    "fallback_application_name": "tailrace",
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
    "gssencmode": "disable",  # psycopg warns of a login by Kerberos where none is said, be it libpq's own default
}
_UNKNOWN_OPTION = re.compile(r'invalid (?:URI query parameter|connection option)[^"]*"([A-Za-z_]+)"')


def parse(url: str) -> dict[str, str]:
    """The libpq options of a URI or conninfo string; `ConfigError`, without quoting it, when it is neither."""
    try:
        options = conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        unknown = _UNKNOWN_OPTION.search(str(error))
        reason = f"libpq knows no option {unknown[1]!r}" if unknown else "it is neither a URI nor a conninfo string"
        raise ConfigError(
            f"the url of a PostgreSQL server cannot be used: {reason}",
            hint="write it as postgresql://user@host:5432/database?sslmode=verify-full",
        ) from None
    return {key: str(value) for key, value in options.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Login:
    """Where to connect, and the command that prints the password, which is run at every connection."""

    url: str = field(repr=False)
    password_command: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        options = parse(self.url)
        if self.password_command is None:
            return
        if "password" in options:
            raise ConfigError("there is a password in the url and a password_command", hint="keep one of the two")
        password.parse(self.password_command)


def target(login: Login | str) -> str:
    """Where a url leads, for messages: host, port and database, never a user or a password."""
    options = resolved(login.url if isinstance(login, Login) else login)
    host = options.get("host") or options.get("hostaddr") or "the local socket"
    port = f":{options['port']}" if options.get("port") else ""
    return f"{host}{port}/{options.get('dbname') or options.get('user') or ''}"


def resolved(url: str) -> dict[str, str]:
    """The libpq options of `url` with what libpq takes from the environment and a service file where it is silent.

    libpq tells them of every connection, also of one that it refuses to begin: there is no such sslmode.
    """
    options = parse(url)
    refused = pq.PGconn.connect_start(conninfo.make_conninfo("", **{**options, "sslmode": "?"}).encode())
    try:
        known = {option.keyword.decode(): option.val.decode() for option in refused.info if option.val}
    finally:
        refused.finish()
    known.pop("sslmode", None)  # where a service is not known, nothing is, and connecting says so
    return {**known, **options}


def connect(login: Login | str) -> Connection:
    """An ordinary session in autocommit mode, all time-outs off, everything in UTC and UTF-8."""
    return _login(login)


def connect_plain(login: Login | str) -> Connection:
    """A session with the settings of its role and database: for statements that are not ours, nothing is read of it."""
    return _login(login, options=resolved(login.url if isinstance(login, Login) else login).get("options", ""))


def connect_replication(login: Login | str) -> Connection:
    """A session of a walsender, which takes commands of the streaming replication protocol and simple queries."""
    return _login(login, replication="database")


def fetch(
    connection: Connection, statement: str, params: Params = None, *, doing: str = "query the catalog"
) -> list[tuple[Any, ...]]:
    """Run one statement and return its rows; `doing` is what could not be done if it fails."""
    with told(doing):
        return connection.execute(statement.encode(), params).fetchall()


def run(connection: Connection, statement: sql.SQL | sql.Composed, doing: str) -> None:
    """Run one statement that returns nothing; `doing` is what could not be done if it fails."""
    with told(doing):
        connection.execute(statement)


def statement_text(statement: sql.Composable) -> str:
    """A statement as text, to show to a human."""
    return statement.as_string(None)


def _login(login: Login | str, **extra: str) -> Connection:
    login = login if isinstance(login, Login) else Login(login)
    if login.password_command is None:
        return _open(login.url, **extra)
    try:
        return _open(login.url, password=password.run(login.password_command), **extra)
    except ConfigError as error:
        if not of_password(error.__cause__):
            raise
    # It may have been changed between the two steps; a second refusal is final.
    return _open(login.url, password=password.run(login.password_command), **extra)


def _open(url: str, **extra: str) -> Connection:
    known = resolved(url)
    defaults = {name: known.get(name, value) for name, value in _DEFAULTS.items()}
    # Which sessions are a walsender's is our affair: such a one takes no statement with parameters.
    options = {name: value for name, value in parse(url).items() if name != "replication"}
    settings = {**defaults, **options, **extra, "client_encoding": "UTF8"}
    if "options" not in extra:
        ours = " ".join(f"-c {name}={value}" for name, value in _SETTINGS.items())
        settings["options"] = f"{known.get('options', '')} {ours}".strip()
    try:
        connection = psycopg.connect(autocommit=True, prepare_threshold=None, **settings)  # type: ignore[arg-type]
    except psycopg.Error as error:
        raise translate_connect(error, target(url)) from error
    try:
        for statement in _missing(connection, formats="options" not in extra):
            connection.execute(statement)
    except psycopg.Error as error:
        connection.close()
        raise translate_connect(error, target(url)) from error
    return connection


def _missing(connection: Connection, *, formats: bool) -> Iterator[bytes]:
    """What could not be asked for in the startup packet, or not so that it holds."""
    if connection.info.server_version >= 170000:  # unknown before
        yield b"SET transaction_timeout = 0"
    for name, (wanted, statement) in _SET_BACK.items() if formats else ():
        if (connection.info.parameter_status(name) or "").partition(",")[0] != wanted:
            yield statement
