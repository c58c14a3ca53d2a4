"""Makes a session one that applies changes as a replica does, as far as its role may. Never touches a row.

As a replica: triggers and foreign keys do not fire (`session_replication_role`), and writes carry a replication origin,
so that a pipeline the other way can leave them out. Without the right to the first, constraints that can be deferred
are, and changes are applied in the order of the source.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

import psycopg
from psycopg import sql

from tailrace.dialect.postgres.fault import told, translate
from tailrace.dialect.postgres.origin import grant, origin_name
from tailrace.dialect.postgres.session import Connection, Login, connect, fetch
from tailrace.error import CheckFailed

__all__ = ["Standing", "drop_origins", "make_origin", "mark_writes", "open_session"]

log = logging.getLogger("tailrace.sink.postgres")

_SETTINGS = {
    # Rows are looked up by key: a plan that was made when the table was small must not outlive that.
    "enable_seqscan": "off",
    "enable_mergejoin": "off",
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
    # A lock that is held for longer is waited for in the next life, between which a stop is heard.
    "lock_timeout": "10s",
}
_FORBIDDEN = (psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectNotInPrerequisiteState)
_ORIGINS_SETTABLE = 180000
_KNOWN = "SELECT 1 FROM pg_catalog.pg_replication_origin WHERE roname = %(origin)s"


@dataclass(frozen=True, slots=True)
class Standing:
    """What the role may do: `replica`, keep triggers and foreign keys from firing."""

    replica: bool


def open_session(login: Login) -> tuple[Connection, Standing]:
    """A session for writing, and what it may do."""
    connection = connect(login)
    try:
        with told("prepare the session in the target"):
            for name, value in _SETTINGS.items():
                connection.execute(sql.SQL("SET {} = {}").format(sql.Identifier(name), sql.Literal(value)))
            # What is confirmed to the source must not be lost with the target's last half second.
            connection.execute(
                "SELECT pg_catalog.set_config('synchronous_commit', 'on', false)"
                " WHERE pg_catalog.current_setting('synchronous_commit') = 'off'"
            )
            try:
                connection.execute("SET session_replication_role = replica")
            except psycopg.errors.InsufficientPrivilege:
                # Before 15 a superuser can but set it for the role.
                [[role]] = connection.execute("SHOW session_replication_role").fetchall()
                return connection, Standing(replica=role == "replica")
    except BaseException:
        connection.close()
        raise
    return connection, Standing(replica=True)


def make_origin(connection: Connection, name: str) -> None:
    """Make the first origin of pipeline `name`, if there is none and the role may.

    Comes before the claim: a pipeline the other way takes one that has claimed and has no origin for one that writes
    without.
    """
    origin = origin_name(connection.info.dbname, name)
    try:
        _make(connection, origin)
    except _FORBIDDEN:  # `mark_writes` tells of it
        return
    except psycopg.Error as error:
        raise translate(error, f"make the replication origin {origin} in the target") from error


def mark_writes(connection: Connection, name: str) -> bool:
    """Let what this session writes carry an origin of pipeline `name`; False when the role may not.

    It is the first one that no other session has. `CheckFailed` when the server has no room for another origin, or the
    role lost the right to this one: what is marked today must not go unmarked tomorrow, or a pipeline the other way
    would send it back.
    """
    for member in count(1):
        origin = origin_name(connection.info.dbname, name, member)
        try:
            _take(connection, origin)
        except psycopg.errors.ObjectInUse:
            continue
        except psycopg.errors.ConfigurationLimitExceeded as error:
            setting = "max_active_replication_origins"
            if connection.info.server_version < _ORIGINS_SETTABLE:
                setting = "max_replication_slots"
            raise CheckFailed(
                f"no replication origin is free in the target for the pipeline {name!r}",
                hint=f"raise {setting} there and restart it, or let pipelines that are no more go: tailrace drop",
            ) from error
        except _FORBIDDEN as error:
            if fetch(connection, _KNOWN, {"origin": origin}, doing="look for the replication origin in the target"):
                [[role]] = fetch(connection, "SELECT current_user::text")
                raise CheckFailed(
                    f"the writes of pipeline {name!r} in the target carried a replication origin, and role {role} may"
                    " not use it any more: a pipeline the other way would send them back",
                    hint=grant(role),
                ) from error
            log.warning(
                "%s: writes in the target carry no replication origin (SQLSTATE %s): fine, unless a pipeline goes back"
                " from there; `tailrace check` says what is missing",
                name, error.sqlstate,
            )  # fmt: skip
            return False
        except psycopg.Error as error:
            raise translate(error, f"take the replication origin {origin} in the target") from error
        break
    return True


def _take(connection: Connection, name: str) -> None:
    """Make the origin where it is missing, and let this session have it; `ObjectInUse` when another has."""
    _make(connection, name)
    connection.execute("SELECT pg_catalog.pg_replication_origin_session_setup(%(origin)s)", {"origin": name})
    # Tried at once, not in the first transaction with rows.
    connection.execute("SELECT pg_catalog.pg_replication_origin_xact_setup('0/0', pg_catalog.now())")


def _make(connection: Connection, name: str) -> None:
    with suppress(psycopg.errors.UniqueViolation):  # another member makes it at this very moment
        connection.execute(
            "SELECT pg_catalog.pg_replication_origin_create(%(origin)s)"
            " WHERE pg_catalog.pg_replication_origin_oid(%(origin)s) IS NULL",
            {"origin": name},
        )


def drop_origins(connection: Connection, name: str) -> None:
    """Forget the origins of pipeline `name`, if there are some and the role may; `Retryable` while a member has one."""
    first = origin_name(connection.info.dbname, name)
    found = (
        "SELECT roname FROM pg_catalog.pg_replication_origin"
        " WHERE roname = %(first)s OR pg_catalog.starts_with(roname, %(first)s || '/')"
    )
    try:
        rows = connection.execute(found, {"first": first}).fetchall()
        if rows:
            connection.execute(
                "SELECT pg_catalog.pg_replication_origin_session_reset()"
                " WHERE pg_catalog.pg_replication_origin_session_is_setup()"
            )
        for (origin,) in rows:
            connection.execute("SELECT pg_catalog.pg_replication_origin_drop(%(origin)s)", {"origin": origin})
    except _FORBIDDEN as error:
        log.info("%s: its replication origin stays in the target (SQLSTATE %s)", name, error.sqlstate)
    except psycopg.Error as error:
        raise translate(error, f"drop the replication origins {first} in the target") from error
