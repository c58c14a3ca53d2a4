"""What the server or the role lacks for a pipeline, each with the statement that mends it. Changes nothing.

One function a subject; every one says something, so that the reader sees what was looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import sql

from tailrace.dialect.postgres import session
from tailrace.dialect.postgres.session import Connection, fetch, statement_text
from tailrace.error import ConfigError, TailraceError
from tailrace.model import Finding
from tailrace.source.postgres import availability, heartbeat, loop, pattern, publication, query, resume, slot
from tailrace.source.postgres.fault import WAL_LEVEL_FIX
from tailrace.source.postgres.finding import error as _error
from tailrace.source.postgres.finding import failed as _failed
from tailrace.source.postgres.finding import ok as _ok
from tailrace.source.postgres.finding import some
from tailrace.source.postgres.finding import warning as _warning
from tailrace.source.postgres.host import STANDBYS
from tailrace.source.postgres.pattern import Relation
from tailrace.source.postgres.place import format_lsn
from tailrace.source.postgres.publication import Wanted

if TYPE_CHECKING:
    from tailrace.source.postgres.config import Postgres

_ANY_PIPELINE = "tailrace_pipeline"
_RESTART = "; -- then restart the server"
_RELOAD = "; SELECT pg_reload_conf()"
_OLDEST, _ORIGINS = 140000, 160000
_OLD_S = 60.0
"""A transaction that is open for longer is told of: a new slot waits for it."""


@dataclass(frozen=True, slots=True)
class _Facts:
    role: str
    database: str
    backend_pid: int
    replication: bool
    bypasses_rls: bool
    may_create: bool
    superuser: bool
    wal_level: str
    slots_max: int
    slots: int
    senders_max: int
    senders: int
    keep_size: str
    idle_timeout: str | None
    standby: bool
    encoding: str
    encrypted: bool
    local: bool


@dataclass(frozen=True, slots=True)
class _Rights:
    oid: int
    select: bool
    owner: bool
    row_security: bool


def check(source: Postgres) -> list[Finding]:
    """All findings, in the order in which a pipeline would trip over them; just one when nothing can be reached.

    Where `source` names no slot and publication the pipeline's are not known, and nothing is said of them.
    """
    where = session.target(source.url)
    try:
        connection = session.connect(source.login)
    except TailraceError as error:
        return [_failed("connection", error)]
    with connection:
        connection.execute("SET default_transaction_read_only = on")
        try:
            return [_ok("connection", f"{where} answers"), *_findings(source, connection)]
        except TailraceError as error:
            return [_failed("catalog", error)]


def _findings(source: Postgres, connection: Connection) -> Iterator[Finding]:
    facts = _Facts(*fetch(connection, query.load("facts"))[0])
    version = connection.info.server_version
    yield _version(source, version)
    yield from _pooler(connection, facts)
    yield from _role(source, facts)
    yield from _server(connection, facts)
    yield from availability.failover(source, connection)
    yield from _room(source, connection, facts)
    yield from _retention(facts)
    yield from _slot(source, connection, facts)
    if source.origin == "none":
        yield from _origins(connection)
    yield from _tables(source, connection, facts)
    if source.heartbeat_action_query is not None:
        yield from heartbeat.check(source.login, source.heartbeat_action_query, standby=facts.standby)
    for pid, seconds in fetch(connection, query.load("elders"), {"older_s": _OLD_S}):
        yield _warning(
            "transactions",
            f"PID {pid} has had a transaction open for {seconds} s: a new slot waits for it to end",
            f"SELECT pg_terminate_backend({pid})",
        )
    for gid, database, seconds, literal in fetch(connection, query.load("prepared"), {"older_s": _OLD_S}):
        yield _warning(
            "transactions",
            f"{gid!r} of database {database} was prepared {seconds} s ago: a new slot waits for it to end",
            _comment(
                f"whoever coordinates it decides which of the two, in database {database}:\n"
                f"COMMIT PREPARED {literal};\nROLLBACK PREPARED {literal};"
            ),
        )


def _comment(text: str) -> str:
    """So that nothing of it is run when all is pasted."""
    return "\n".join(f"-- {line}" for line in text.splitlines())


def _version(source: Postgres, version: int) -> Finding:
    major = version // 10000
    if version < _OLDEST:
        return _error("version", f"PostgreSQL {major} is too old: 14 is the oldest that works")
    if source.origin == "none" and version < _ORIGINS:
        return _error("version", f'origin = "none" needs PostgreSQL 16, the server is {major}')
    return _ok("version", f"PostgreSQL {major}")


def _pooler(connection: Connection, facts: _Facts) -> Iterator[Finding]:
    if connection.pgconn.backend_pid != facts.backend_pid:
        yield _error("pooler", "a connection pooler stands in between: use the address of PostgreSQL itself")


def _role(source: Postgres, facts: _Facts) -> Iterator[Finding]:
    try:
        session.connect_replication(source.login).close()
    except TailraceError as error:
        fix = (
            None
            if facts.replication
            else statement_text(sql.SQL("ALTER ROLE {} REPLICATION").format(sql.Identifier(facts.role)))
        )
        yield _error("replication", f"role {facts.role} gets no replication connection: {error.args[0]}", fix)
    else:
        yield _ok("replication", f"role {facts.role} may replicate")


def _server(connection: Connection, facts: _Facts) -> Iterator[Finding]:
    version = connection.info.server_version
    if facts.wal_level == "logical":
        yield _ok("wal_level", "logical")
    else:
        yield _error("wal_level", f"{facts.wal_level}: the log lacks what decoding needs", WAL_LEVEL_FIX)
    if facts.standby and version < STANDBYS:
        yield _error("standby", "the server is a standby; before PostgreSQL 16 only a primary decodes its log")
    elif facts.standby:
        yield from availability.standby(connection)
    if facts.encoding == "SQL_ASCII":
        yield _warning("encoding", "SQL_ASCII: text that is not UTF-8 will stop the pipeline")
    if not facts.encrypted and not facts.local:
        yield _warning("encryption", "the connection is not encrypted: add sslmode=verify-full to the url")


def _room(source: Postgres, connection: Connection, facts: _Facts) -> Iterator[Finding]:
    has_slot = source.slot is not None and slot.load(connection, source.slot) is not None
    if facts.slots < facts.slots_max or has_slot:
        yield _ok("slots", f"{facts.slots} of max_replication_slots = {facts.slots_max} are used")
    else:
        fix = f"ALTER SYSTEM SET max_replication_slots = {facts.slots_max + 5}{_RESTART}"
        yield _error("slots", f"all {facts.slots_max} of max_replication_slots are used", fix)
    if facts.senders < facts.senders_max:
        yield _ok("walsenders", f"{facts.senders} of max_wal_senders = {facts.senders_max} are used")
    else:
        fix = f"ALTER SYSTEM SET max_wal_senders = {facts.senders_max + 5}{_RESTART}"
        yield _error("walsenders", f"all {facts.senders_max} of max_wal_senders are used", fix)


def _retention(facts: _Facts) -> Iterator[Finding]:
    if facts.keep_size == "-1":
        yield _warning(
            "max_slot_wal_keep_size",
            "unlimited: while the pipeline stands still, the log may fill the server's disk",
            f"ALTER SYSTEM SET max_slot_wal_keep_size = '64GB'{_RELOAD}",
        )
    else:
        yield _ok("max_slot_wal_keep_size", f"a pipeline that falls more than {facts.keep_size} behind loses its slot")
    if facts.idle_timeout not in (None, "0"):
        yield _warning(
            "idle_replication_slot_timeout",
            f"a pipeline that stands still for {facts.idle_timeout} loses its slot",
            f"ALTER SYSTEM SET idle_replication_slot_timeout = 0{_RELOAD}",
        )


def _slot(source: Postgres, connection: Connection, facts: _Facts) -> Iterator[Finding]:
    found = slot.load(connection, source.slot) if source.slot is not None else None
    if found is None:
        if source.takeover is not None:
            yield _error(f"slot {source.slot}", "it does not exist, so it cannot be taken over: remove takeover")
        return
    subject = f"slot {found.name}"
    try:
        resume.check_slot(found, facts.database)
    except ConfigError as error:
        yield _error(subject, str(error.args[0]))
        return
    takeover = source.takeover
    if takeover is not None and not takeover.trust_slot and (found.confirmed or 0) > takeover.delivered:
        beyond = (
            f"confirmed up to {format_lsn(found.confirmed or 0)}, beyond {format_lsn(takeover.delivered)} of takeover"
        )
        yield _warning(subject, f"{beyond}: it can only be gone on with, if a position is saved, and not be taken over")
    retained = f"{(found.retained or 0) / 2**20:.0f} MiB of log are kept for it"
    if found.invalidation is not None:
        fix = f"SELECT pg_drop_replication_slot('{found.name}')"
        yield _error(subject, f"invalidated by the server ({found.invalidation}): run `tailrace reset`", fix)
    elif found.wal_status == "unreserved":
        yield _warning(subject, f"about to be invalidated; {retained}")
    elif found.active_pid is not None:
        yield _ok(subject, f"in use by PID {found.active_pid}; {retained}")
    else:
        yield _ok(subject, retained)


def _origins(connection: Connection) -> Iterator[Finding]:
    found = loop.unmarked(connection)
    for each in found:
        yield _error("origin", f'{each.reason}: origin = "none" would send it back', each.fix)
    if not found:
        yield _ok("origin", "whatever pipelines write into this database is marked and left out")


def _tables(source: Postgres, connection: Connection, facts: _Facts) -> Iterator[Finding]:
    if source.no_tables:
        yield _without_tables(source, connection, facts)
        return
    try:
        there = publication.relations(connection)
        chosen = pattern.choose(source.tables, there)
    except ConfigError as error:
        yield _failed("tables", error)
        return
    found = None if source.publication is None else publication.load(connection, source.publication)
    if not chosen and not (source.all_tables if found is None else found.all_tables):
        yield _failed("tables", pattern.unmatched(source.tables, facts.database))
        return
    oids = {"oids": [relation.oid for relation in chosen]}
    rights = {row[0]: _Rights(*row) for row in fetch(connection, query.load("rights"), oids)}
    if found is not None:
        absent = publication.absent(connection, found, chosen)
        extends = found.ours and source.create and not facts.standby
        if absent:
            yield _absent(found, absent, extends=extends, named=any(str(each) in source.tables for each in absent))
            # What is not sent is not read.
            chosen = chosen if extends else [each for each in chosen if each not in absent]
        yield from _contents(connection, found)
        yield from _partitions(source, connection, found)
    else:
        foreign = [str(relation) for relation in chosen if not rights[relation.oid].owner]
        wanted = source.wanted("", source.publication or _ANY_PIPELINE)
        statement = publication.create_statement(wanted, chosen, connection.info.server_version)
        yield _creation(wanted, statement, facts=facts, foreign=foreign)
    for relation in there:
        if relation.unlogged and pattern.matches(str(relation), source.tables):
            fix = sql.SQL("ALTER TABLE {} SET LOGGED").format(sql.Identifier(relation.schema, relation.name))
            yield _warning(f"table {relation}", "it is unlogged: none of its changes come", statement_text(fix))
    for relation in chosen:
        yield from _table(relation, rights[relation.oid], facts, snapshot=source.snapshot != "never")


def _without_tables(source: Postgres, connection: Connection, facts: _Facts) -> Finding:
    found = None if source.publication is None else publication.load(connection, source.publication)
    if found is not None:
        inside = publication.published(connection, found.name)
        return _ok(f"publication {found.name}", f"contains {len(inside)} table(s), and no_tables = true adds none")
    wanted = source.wanted("", source.publication or _ANY_PIPELINE)
    statement = publication.create_statement(wanted, (), connection.info.server_version)
    return _creation(wanted, statement, facts=facts, foreign=())


def _creation(wanted: Wanted, statement: str, *, facts: _Facts, foreign: Sequence[str]) -> Finding:
    if facts.standby:
        message = f"a standby cannot make {wanted.name}: it must be made on the primary"
        # Without a name of its own the pipeline's decides, which is not known here.
        named = wanted.name != _ANY_PIPELINE
        return (_error if named else _warning)("publication", message, statement)
    if not wanted.create:
        return _error("publication", f"{wanted.name} does not exist and create = false", statement)
    if wanted.all_tables:
        if not facts.superuser:
            return _error(
                "publication", f"only a superuser makes one of all tables, and {facts.role} is none", statement
            )
    elif foreign:
        message = f"role {facts.role} does not own {some(foreign)}: let their owner make it"
        return _error("publication", message, statement)
    if not facts.may_create:
        fix = sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(*map(sql.Identifier, (facts.database, facts.role)))
        return _error("publication", f"role {facts.role} may not create one", statement_text(fix))
    return _ok("publication", "will be made when the pipeline starts")


def _absent(found: publication.Publication, absent: Sequence[Relation], *, extends: bool, named: bool) -> Finding:
    """What is not in it. The start `extends` one that is ours, and is refused over a table that is `named`."""
    subject, listed = f"publication {found.name}", some([str(relation) for relation in absent])
    if extends:
        return _warning(subject, f"the start adds {listed}: streamed from then on, rows from before are not in")
    tables = sql.SQL(", ").join(sql.Identifier(relation.schema, relation.name) for relation in absent)
    fix = sql.SQL("ALTER PUBLICATION {} ADD TABLE {}").format(sql.Identifier(found.name), tables)
    return (_error if named else _warning)(subject, f"does not contain {listed}", statement_text(fix))


def _contents(connection: Connection, found: publication.Publication) -> Iterator[Finding]:
    """What is in it, and what is not of it."""
    subject = f"publication {found.name}"
    inside = publication.published(connection, found.name)
    name = statement_text(sql.SQL("{}").format(sql.Identifier(found.name)))
    if not found.rows or not found.truncates:
        fix = f"ALTER PUBLICATION {name} SET (publish = 'insert, update, delete, truncate')"
        yield _warning(subject, "does not publish every kind of change", fix)
    for what in publication.thinned(connection, found.name) if found.ours else ():
        yield _warning(subject, f"somebody has made it leave out {what}", _comment(publication.WHOLE))
    if inside:
        yield _ok(subject, f"contains {len(inside)} table(s)")
    else:
        yield _error(subject, "contains no table", f"ALTER PUBLICATION {name} ADD TABLE ...")


def _partitions(source: Postgres, connection: Connection, found: publication.Publication) -> Iterator[Finding]:
    """Partitions that are sent in their own names, though the source wants those of the tables above them."""
    if found.via_root or not source.publish_via_partition_root:
        return
    inside = {table.oid for table in publication.published(connection, found.name)}
    parts = [str(r) for r in publication.relations(connection) if r.oid in inside and r.ancestors]
    if parts:
        fix = sql.SQL("ALTER PUBLICATION {} SET (publish_via_partition_root = true)").format(sql.Identifier(found.name))
        message = f"sends partitions as tables of their own: {some(parts)}; a target gets one for each of them"
        yield _warning(f"publication {found.name}", message, statement_text(fix))


def _table(relation: Relation, rights: _Rights, facts: _Facts, *, snapshot: bool) -> Iterator[Finding]:
    subject = f"table {relation}"
    named = sql.Identifier(relation.schema, relation.name)
    role = sql.Identifier(facts.role)
    before = None
    if snapshot and not rights.select:
        fix = sql.SQL("GRANT USAGE ON SCHEMA {} TO {}; GRANT SELECT ON {} TO {}").format(
            sql.Identifier(relation.schema), role, named, role
        )
        before = _error(subject, f"role {facts.role} may not read it", statement_text(fix))
    elif snapshot and rights.row_security and not facts.bypasses_rls:
        fix = sql.SQL("ALTER ROLE {} BYPASSRLS").format(role)
        before = _error(subject, "row security would hide rows from the snapshot", statement_text(fix))
    if before is not None:
        yield before
    if not relation.identified:
        message = "it has no replica identity: once published, the server refuses UPDATE and DELETE of it"
        fix = sql.SQL("ALTER TABLE {} REPLICA IDENTITY {}").format(named, sql.SQL(relation.identity))
        yield _warning(subject, message, statement_text(fix))
    elif before is None:
        yield _ok(subject, "can be captured")
