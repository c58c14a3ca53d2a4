"""What is lacking for a failover that loses nothing, and for a standby as the source. Changes nothing.

Standbys are asked themselves, where the url names them. `primary_conninfo` may hold a password: it is never shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from psycopg import ProgrammingError, conninfo, sql

from tailrace.dialect.postgres import session
from tailrace.dialect.postgres.session import Connection, Login, fetch, statement_text
from tailrace.error import TailraceError
from tailrace.model import Finding
from tailrace.source.postgres import host, slot
from tailrace.source.postgres.finding import error, ok, warning
from tailrace.source.postgres.host import Host

if TYPE_CHECKING:
    from tailrace.source.postgres.config import Postgres

_STANDBY = "read from: its slot waits until the primary logs a snapshot, as SELECT pg_log_standby_snapshot() does"
_RELOAD = "; SELECT pg_reload_conf()"
_FAILOVER = 170000
_PRIMARY_ATTRS = ("read-write", "primary")
_NAMED = "SELECT current_setting('synchronized_standby_slots')"
_PHYSICAL = "SELECT slot_name, active FROM pg_replication_slots WHERE slot_type = 'physical' ORDER BY slot_name"
_SETTINGS = (
    "SELECT name, setting FROM pg_settings WHERE name IN"
    " ('sync_replication_slots', 'hot_standby_feedback', 'primary_slot_name', 'primary_conninfo')"
)


def failover(source: Postgres, connection: Connection) -> Iterator[Finding]:
    """What `failover = true` needs of the primary, the standbys and the url."""
    if not source.failover:
        return
    version = connection.info.server_version
    here = host.load(connection)
    if version < _FAILOVER:
        yield error("failover", f"failover = true needs PostgreSQL 17, the server is {version // 10000}")
        return
    if here.standby:
        yield error("failover", "a standby was reached: add target_session_attrs=read-write to the url")
        return
    yield from _named_standbys(connection)
    hosts = _hosts(source.url)
    if len(hosts) < 2:
        yield warning("failover", "the url names one host: name the standbys too, or one that follows the primary")
    elif session.resolved(source.url).get("target_session_attrs") not in _PRIMARY_ATTRS:
        yield warning("failover", "the url names several hosts: add target_session_attrs=read-write to take a primary")
    else:
        yield ok("failover", f"the url names {len(hosts)} hosts, of which a primary is taken")
    for name, url in hosts.items() if len(hosts) > 1 else ():
        yield from _other(source, name, url, here=here)


def standby(connection: Connection) -> Iterator[Finding]:
    """What a standby needs to be read from, beside its version."""
    settings = _settings(connection)
    yield ok("standby", _STANDBY)
    yield from _feedback("standby", settings)


def _named_standbys(connection: Connection) -> Iterator[Finding]:
    ((text,),) = fetch(connection, _NAMED)
    named = [name.strip().strip('"') for name in text.split(",") if name.strip()]
    streaming = dict(fetch(connection, _PHYSICAL))
    subject = "synchronized_standby_slots"
    if not named:
        active = ", ".join(name for name, active in streaming.items() if active)
        yield warning(
            subject,
            "empty: the stream may run ahead of a standby, which is refused when it is promoted without the rest",
            f"ALTER SYSTEM SET {subject} = '{active}'{_RELOAD}" if active else None,
        )
    for name in named:
        if name not in streaming:
            yield error(subject, f"names slot {name}, which does not exist: every change is held back")
        elif not streaming[name]:
            yield warning(subject, f"no standby streams through slot {name}: changes are held back until one does")
        else:
            yield ok(subject, f"the stream waits for the standby of slot {name}")


def _other(source: Postgres, name: str, url: str, *, here: Host) -> Iterator[Finding]:
    subject = f"standby {name}"
    try:
        with closing(session.connect(Login(url, source.password_command))) as connection:
            there = host.load(connection)
            if there == here:
                return
            if not there.standby:
                yield error(subject, "it is a primary as well: whichever is not the real one must not be in the url")
                return
            yield from _standby(source, subject, connection)
    except TailraceError as unreachable:
        yield warning(subject, str(unreachable.args[0]))


def _standby(source: Postgres, subject: str, connection: Connection) -> Iterator[Finding]:
    settings = _settings(connection)
    if settings.get("sync_replication_slots") != "on":
        fix = f"ALTER SYSTEM SET sync_replication_slots = on{_RELOAD}"
        yield warning(subject, "sync_replication_slots is off: it will not have the slot when it is promoted", fix)
    yield from _feedback(subject, settings)
    yield from _database(subject, settings, connection)
    found = slot.load(connection, source.slot) if source.slot is not None else None
    if found is not None and not found.synced:
        fix = f"SELECT pg_drop_replication_slot('{found.name}')"
        yield warning(subject, f"a slot {found.name} of its own is in the way of the one to be synchronised", fix)
    elif found is not None and not found.temporary:
        yield ok(subject, f"slot {found.name} is synchronised")
    elif source.slot is not None:
        yield warning(subject, f"slot {source.slot} is not synchronised yet")


def _feedback(subject: str, settings: dict[str, str]) -> Iterator[Finding]:
    if settings.get("hot_standby_feedback") == "on":
        yield ok(subject, "hot_standby_feedback is on")
    else:
        message = "hot_standby_feedback is off: the primary removes rows that the slot needs, which invalidates it"
        yield warning(subject, message, f"ALTER SYSTEM SET hot_standby_feedback = on{_RELOAD}")
    if not settings.get("primary_slot_name"):
        message = "primary_slot_name is empty: the primary forgets what is needed here while the connection is cut"
        yield warning(subject, message, f"ALTER SYSTEM SET primary_slot_name = '...'{_RELOAD}")


def _database(subject: str, settings: dict[str, str], connection: Connection) -> Iterator[Finding]:
    text = settings.get("primary_conninfo")
    if text is None:
        user = sql.Identifier(connection.info.user)
        fix = statement_text(sql.SQL("GRANT pg_read_all_settings TO {}").format(user))
        yield warning(subject, "primary_conninfo cannot be looked at: it must name a dbname", fix)
        return
    try:
        named = conninfo.conninfo_to_dict(text).get("dbname")
    except ProgrammingError:
        named = None
    if not named:
        yield warning(subject, "primary_conninfo names no dbname, without which no slot is synchronised: add one")


def _settings(connection: Connection) -> dict[str, str]:
    """What the role may see of them."""
    return dict(fetch(connection, _SETTINGS))


def _hosts(url: str) -> dict[str, str]:
    """Each host that the url names, with a url for it alone."""
    options = session.resolved(url)
    names = (options.get("host") or options.get("hostaddr") or "").split(",")
    ports = (options.get("port") or "").split(",")
    ports = ports * len(names) if len(ports) == 1 else ports
    kind = "host" if options.get("host") else "hostaddr"
    alone = {"hostaddr": None, "target_session_attrs": "any"}
    return {
        f"{name}:{port}" if port else name: conninfo.make_conninfo(url, **{**alone, kind: name, "port": port or None})
        for name, port in zip(names, ports, strict=False)
        if name
    }
