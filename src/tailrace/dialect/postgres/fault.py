"""Turns what libpq and the server report into Tailrace's errors. Never lets a password or a row value through.

Inside a session the SQLSTATE decides (PostgreSQL manual, appendix A). While connecting libpq gives only text, so its
English phrases are matched; what is not recognised there passes by itself more often than not and is `Retryable`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tailrace.error import CheckFailed, ConfigError, Fatal, Retryable, TailraceError

PROTOCOL_VIOLATION = "08P01"
"""What a server says of a message that it cannot read; the session goes on."""
_FULL = (
    *("too many clients already", "remaining connection slots", "too many connections for"),
    "no more connections allowed",  # a pooler's own limit
)
_RETRYABLE = ("08", "40", "53", "57")
_LIMIT_HINT = "raise max_replication_slots or max_wal_senders and restart the server, or drop a slot that nobody reads"
_ENCODING = {
    "22021": "its texts are in another encoding than its database says: mend them there, or leave the table out",
    "22P05": "one database has no such character in its encoding: UTF8 has all of them",
}
"""What to do about character_not_in_repertoire and untranslatable_character, whose messages quote bytes of the text."""
_READ_ONLY = (
    "is it a standby? else default_transaction_read_only is on for the role, the database or the server: set it off, or"
    " put options=-c%20default_transaction_read_only%3Doff into the url"
)
_QUOTED_BYTES = re.compile(r"0x[0-9a-f]{2}(?: 0x[0-9a-f]{2})*")
_LOCKED_HINT = "another session has locked a table, as ALTER TABLE and VACUUM do: it goes on when that has ended"
_NAMES = re.compile(r""""[^"\n]*"|(?<=host )'[^'\n]*'|(?<=host: )'[^'\n]*'""")
"""Of hosts, users, files and so on: what stands in libpq's quotes, and the hosts in psycopg's own."""
_NO_GSSAPI = "this libpq was built without GSSAPI: pip install 'psycopg[binary]' brings one that has it"
_NOT_ADMITTED = (
    "the server's pg_hba.conf must admit this user, database and address, encrypted (sslmode, gssencmode) or not"
)
_TICKET = "run kinit, or name a keytab with the principal's key in KRB5_CLIENT_KTNAME"
_RIGHTS_HINT = "run `tailrace check`: it prints the statement that grants what is missing"
_WRONG_PASSWORD = "password authentication failed"
"""That an old ticket lies about beside a password that is wrong matters not."""
_CONNECT_CONFIG = {
    # OpenSSL's words for what the server said of our certificate, and libpq's for the files and the server's own.
    "alert certificate expired": "the client certificate (sslcert) has expired: put a renewed one in its place",
    "alert certificate revoked": "the client certificate (sslcert) was revoked: put another one in its place",
    "alert unknown ca": "the server does not trust who signed the client certificate (sslcert): see its ssl_ca_file",
    "requires a valid client certificate": "name the files of one that is there in the url: sslcert and sslkey",
    "private key file": "check sslkey in the url: the key of the certificate in sslcert, in a file of mode 0600",
    "certificate verify failed": "the server's certificate expired, is in sslcrl, or is none that sslrootcert trusts",
    "does not match host name": "the server's certificate is for other hosts: check host in the url",
    "weak sslmode": "sslrootcert=system needs sslmode=verify-full in the url, sslnegotiation=direct require or more",
    "any ssl protocol version": "check ssl_min_protocol_version and ssl_max_protocol_version in the url",
    "only supports protocol version": "lower min_protocol_version in the url: the server's release is older",
    "authentication method requirement": "the server asks for another login than require_auth in the url allows",
    "require_auth method": "check require_auth in the url",
    "channel binding": "channel_binding=require in the url needs TLS, and a password that the server checks by SCRAM",
    "gssapi support is not compiled in": _NO_GSSAPI,
    "gssapi authentication not supported": _NO_GSSAPI,
    "gssapi encryption": f"gssencmode=require in the url needs a server that knows Kerberos, and a ticket: {_TICKET}",
    "gssapi authentication failed": "see klist: the server's pg_hba.conf must let that principal in as this user",
    "no kerberos credentials": f"get a ticket: {_TICKET}",
    "cannot find kdc": "krb5.conf (KRB5_CONFIG) or the DNS must say where the realm's KDC is",
    "not found in kerberos database": "check host and krbsrvname in the url, and whose keytab KRB5_CLIENT_KTNAME names",
    "requirepeer": "the server behind this socket runs as another user than requirepeer in the url says",
    "oauth": "log in another way: the libpq of psycopg has no OAuth client",
    "could not match": "name one port for all hosts in the url or one each, and as many addresses (hostaddr) as hosts",
    _WRONG_PASSWORD: "check user and password in the url, PGPASSWORD or ~/.pgpass",
    "no password supplied": "give a password in the url, PGPASSWORD or ~/.pgpass",
    "authentication failed": "check the user, its password or certificate, and the server's pg_hba.conf",
    "no pg_hba.conf entry": _NOT_ADMITTED,
    "pg_hba.conf rejects": _NOT_ADMITTED,
    "certificate": "check sslmode, sslrootcert and the host name in the url",
    "does not support ssl": "set sslmode=prefer in the url, or turn on TLS on the server",
    "is not permitted to log in": "ALTER ROLE ... LOGIN",
    "does not exist": "check database and user in the url",
    "unsupported startup parameter": "a pooler stands in between: connect to PostgreSQL itself, replication needs that",
    "permission denied for database": "GRANT CONNECT ON DATABASE ... TO the user of the url",
    "definition of service": "name a service of ~/.pg_service.conf or PGSERVICEFILE",
    "invalid ": "check the options of the url",
}
_CONNECT_TICKET = {
    "ticket expired": "kinit renews it; a keytab in KRB5_CLIENT_KTNAME does so by itself",
    "cannot contact any kdc": "does the realm's KDC run, and does krb5.conf (KRB5_CONFIG) say where?",
    "clock skew": "set the clocks of this machine, of the server and of the KDC",
}
"""Faults of Kerberos that pass. With gssencmode=prefer libpq tries without encryption next, and ends with the server's
word on that."""
_CONNECT_FOREIGN = "received invalid response to"
"""libpq of whoever answers its request for TLS or GSSAPI with none of the bytes of the protocol."""
_CONNECT_LACKS = {
    "must be superuser or replication role": "ALTER ROLE ... REPLICATION",
    "permission denied to start wal sender": "ALTER ROLE ... REPLICATION",
}
_CONNECT_PASSING = {
    "connection refused": "is the server running, and does it listen on this host and port?",
    "no such file or directory": "is the server running here? give a host in the url if it is elsewhere",
    "could not translate host name": "check host in the url, or the network's name service",
    "failed to resolve host": "check host in the url, or the network's name service",
    "timeout expired": "does a firewall drop what goes to this host and port?",
    "unexpected eof": "does the server speak TLS? sslnegotiation=direct needs PostgreSQL 17",
    _CONNECT_FOREIGN: "what answers there is no PostgreSQL server: a proxy without one behind it, or another service",
    "too many clients": "raise max_connections and restart the server, or close sessions that nobody uses",
}


@contextmanager
def told(doing: str) -> Iterator[None]:
    """Raise any error of psycopg inside as one of ours; `doing` says what could not be done, and where."""
    try:
        yield
    except psycopg.Error as error:
        raise translate(error, doing) from error


def translate(error: psycopg.Error, doing: str) -> TailraceError:
    """The error that says what the runtime does next about `error`."""
    state = error.sqlstate
    text = first_line(error)
    message = f"cannot {doing}: {text}"
    if state is None:
        return Retryable(message)
    if state == "42501":
        return CheckFailed(message, hint=_hint(error) or _RIGHTS_HINT)
    if state == "53400":
        return CheckFailed(message, hint=_LIMIT_HINT)
    if state.startswith("28") or state == "3D000":
        return ConfigError(message)
    if state == "55P03":
        return Retryable(message, hint=_LOCKED_HINT)
    if state[:2] in _RETRYABLE or state == "55006":
        return Retryable(message, hint=_hint(error))
    hint = _READ_ONLY if state == "25006" else _ENCODING.get(state)
    return Fatal(f"{message} (SQLSTATE {state})", hint=_hint(error) or hint)


def translate_connect(error: psycopg.Error, target: str) -> TailraceError:
    """The error for a connection that was not made; `target` is where to, without secrets."""
    text = first_line(error)
    words = _words(error)
    for phrase, advice in _CONNECT_LACKS.items():
        if phrase in words:
            return CheckFailed(f"cannot connect to {target}: {text}", hint=advice)
    for phrase, advice in _CONNECT_TICKET.items():
        if phrase in words and _WRONG_PASSWORD not in words:
            return Retryable(f"cannot connect to {target}: {_line_with(phrase, error)}", hint=advice)
    ours = words.replace(_CONNECT_FOREIGN, "")  # of several hosts one may say that, and another what is to be mended
    for phrase, advice in _CONNECT_CONFIG.items():
        if phrase in ours:
            return ConfigError(f"cannot connect to {target}: {text}", hint=advice)
    if isinstance(error, psycopg.ProgrammingError):  # psycopg's own opinion of an option
        return ConfigError(f"cannot connect to {target}: {text}", hint="check the options of the url")
    hint = next((hint for phrase, hint in _CONNECT_PASSING.items() if phrase in words), None)
    return Retryable(f"cannot connect to {target}: {text}", hint=hint)


def of_password(error: BaseException | None) -> bool:
    """Whether a connection was not made for its password, as far as libpq and the server tell."""
    return isinstance(error, psycopg.Error) and "password" in _words(error)


def lost(error: BaseException | None) -> psycopg.Error | None:
    """The error that says that the connection is gone, whoever ended it (08, 57P0x, or libpq alone), if it is one."""
    if isinstance(error, psycopg.OperationalError):
        state = error.sqlstate or ""
        if not state or (state.startswith(("08", "57P")) and state != PROTOCOL_VIOLATION):
            return error
    return None


def full(error: BaseException | None) -> bool:
    """Whether a server that is there has no room for another session (53300), in its English words.

    What a pooler in front of a dead server says is FATAL too, and so is what a server says that begins or ends.
    """
    return isinstance(error, psycopg.Error) and any(words in str(error) for words in _FULL)


def _words(error: psycopg.Error) -> str:
    """What libpq, the server and psycopg said, in lower case and without the names in it."""
    return _NAMES.sub("", str(error)).lower()


def first_line(error: psycopg.Error) -> str:
    """What the server or libpq said, without DETAIL and bytes of a text, which quote values."""
    primary = error.diag.message_primary
    if primary:
        return _QUOTED_BYTES.sub("…", primary) if error.sqlstate in _ENCODING else primary
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    fatal = next((line.partition("FATAL:")[2] for line in lines if "FATAL:" in line), None)
    return (fatal or (lines[0] if lines else type(error).__name__)).strip()


def _line_with(phrase: str, error: psycopg.Error) -> str:
    lines = str(error).splitlines()
    return next((line.strip() for line in lines if phrase in line.lower()), first_line(error))


def _hint(error: psycopg.Error) -> str | None:
    return error.diag.message_hint
