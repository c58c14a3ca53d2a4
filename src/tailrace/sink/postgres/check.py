"""What the target or the role lacks for a pipeline, each with the statement that mends it. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from psycopg import sql

from tailrace import identity
from tailrace.dialect.postgres import session
from tailrace.dialect.postgres.origin import FUNCTIONS
from tailrace.dialect.postgres.session import Connection, Login, fetch, statement_text
from tailrace.error import TailraceError
from tailrace.model import Finding, Severity, Table
from tailrace.sink.postgres import query
from tailrace.sink.postgres.clearing import Clearing
from tailrace.sink.postgres.definition import Definitions, missing_extensions
from tailrace.sink.postgres.difference import differences
from tailrace.sink.postgres.present import Present, find
from tailrace.sink.postgres.record import ADD_OID, Record, Records, State
from tailrace.sink.postgres.target import Placing

__all__ = ["check", "check_tables"]

_OLDEST, _GRANTABLE = 140000, 150000
_REPLICA = "triggers and foreign keys would act on replicated rows"


@dataclass(frozen=True, slots=True)
class _Facts:
    role: str
    database: str
    superuser: bool
    bypasses_rls: bool
    may_create: bool
    standby: bool
    read_only: bool
    encoding: str
    replica: bool
    has_schema: bool
    owns_schema: bool
    closed_tables: Sequence[str]
    closed_functions: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Rights:
    owner: bool
    usage: bool
    lacks: Sequence[str]
    row_security: bool
    triggers: Sequence[str]
    indexed: bool


def check(login: Login) -> list[Finding]:
    """What concerns the server and the role; just one finding when nothing can be reached."""
    try:
        connection = session.connect(login)
    except TailraceError as error:
        return [_error("connection", str(error.args[0]), error.hint)]
    with connection:
        try:
            return [_ok("connection", f"{session.target(login)} answers"), *_server(connection)]
        except TailraceError as error:
            return [_error("catalog", str(error.args[0]), error.hint)]


def check_tables(login: Login, name: str, placing: Placing, *, tables: Sequence[Table]) -> list[Finding]:
    """What concerns the targets of `tables` for pipeline `name`."""
    try:
        with session.connect(login) as connection:
            connection.execute("SET default_transaction_read_only = on")
            return [finding for table in tables for finding in _Look(connection, name, placing).table(table)]
    except TailraceError as error:
        return [_error("tables", str(error.args[0]), error.hint)]


def _facts(connection: Connection) -> _Facts:
    return _Facts(*fetch(connection, query.load("facts"), {"functions": list(FUNCTIONS)})[0])


def _server(connection: Connection) -> Iterator[Finding]:
    facts, version = _facts(connection), connection.info.server_version
    role = sql.Identifier(facts.role)
    if version < _OLDEST:
        yield _error("version", f"PostgreSQL {version // 10000} is too old: 14 is the oldest that works")
    else:
        yield _ok("version", f"PostgreSQL {version // 10000}")
    if facts.standby:
        yield _error("standby", "the server is a standby: use the address of its primary")
    elif facts.read_only:
        fix = sql.SQL("ALTER ROLE {} SET default_transaction_read_only = off").format(role)
        yield _error("read only", "sessions of this role may only read", statement_text(fix))
    if facts.encoding != "UTF8":
        yield _warning("encoding", f"{facts.encoding}: a character that it does not have stops the pipeline")
    yield _own_schema(facts)
    for table in facts.closed_tables:
        fix = sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {}").format(sql.SQL(table), role)
        yield _error(f"table {table}", f"role {facts.role} may not keep positions in it", statement_text(fix))
    records = State.of(connection)
    if records.made and not records.whole and not records.owned:
        what = f"an earlier release made tailrace.target, and role {facts.role} may not add the column that it lacks"
        yield _error("table tailrace.target", what, ADD_OID)
    yield _replica(connection, facts)
    if facts.closed_functions:
        functions = sql.SQL(", ").join(sql.SQL(name) for name in facts.closed_functions)
        fix = sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(functions, role)
        message = f"role {facts.role} may not mark what it writes: a pipeline the other way would send it back"
        yield _warning("replication origin", message, statement_text(fix))
    else:
        yield _ok("replication origin", f"role {facts.role} may mark what it writes")


def _own_schema(facts: _Facts) -> Finding:
    if facts.owns_schema or (not facts.has_schema and facts.may_create):
        return _ok("schema tailrace", "positions are kept there")
    role = sql.Identifier(facts.role)
    if facts.has_schema:
        fix = sql.SQL("GRANT USAGE, CREATE ON SCHEMA tailrace TO {}").format(role)
    else:
        fix = sql.SQL("CREATE SCHEMA tailrace AUTHORIZATION {}").format(role)
    return _error("schema tailrace", f"role {facts.role} may not keep positions there", statement_text(fix))


def _replica(connection: Connection, facts: _Facts) -> Finding:
    subject, role = "session_replication_role", sql.Identifier(facts.role)
    allowed = facts.superuser or facts.replica
    if not allowed and connection.info.server_version >= _GRANTABLE:
        [[allowed]] = fetch(connection, "SELECT has_parameter_privilege('session_replication_role', 'SET')")
    if allowed:
        return _ok(subject, f"role {facts.role} writes as a replica does")
    if connection.info.server_version >= _GRANTABLE:
        fix = sql.SQL("GRANT SET ON PARAMETER session_replication_role TO {}").format(role)
    else:
        fix = sql.SQL("ALTER ROLE {} SET session_replication_role = 'replica'").format(role)
    return _warning(subject, f"role {facts.role} may not set it: {_REPLICA}", statement_text(fix))


class _Look:
    """Looks at the targets of one pipeline."""

    def __init__(self, connection: Connection, name: str, placing: Placing) -> None:
        self._connection = connection
        self._facts = _facts(connection)
        self._role = sql.Identifier(self._facts.role)
        self._placing = placing
        self._records = Records(connection, name)
        self._clearing = Clearing(connection, name, placing.constants)
        self._definitions = Definitions(connection, lambda: connection)

    def table(self, table: Table) -> Iterator[Finding]:
        """Everything about one table, or that it can be filled."""
        place = self._placing.of(table)
        subject = f"table {'.'.join(place)}"
        found = [*self._extensions(table, subject)]
        present = find(self._connection, *place)
        held = {} if present is None else present.columns
        if all(column.name in held and held[column.name].generated for column in table.columns):
            message = "it has no column that could be written: leave it out of the source's tables, or with a transform"
            found.append(_error(subject, message))
        if present is None:
            found += self._make(place[0], subject)
        elif present.kind not in {"r", "p"}:
            found.append(_error(subject, "what has its name is not a table"))
        else:
            found += self._use(table, present, subject)
        if found:
            yield from found
        else:
            yield _ok(subject, "will be made" if present is None else "can be filled")

    def _extensions(self, table: Table, subject: str) -> Iterator[Finding]:
        for extension in missing_extensions(self._connection, table):
            fix = sql.SQL("CREATE EXTENSION {}").format(sql.Identifier(extension))
            yield _error(subject, f"it needs the extension {extension}", statement_text(fix))

    def _make(self, schema: str, subject: str) -> Iterator[Finding]:
        [[exists, inside, anywhere]] = fetch(self._connection, query.load("place"), {"schema": schema})
        if exists and not inside:
            fix = sql.SQL("GRANT USAGE, CREATE ON SCHEMA {} TO {}").format(sql.Identifier(schema), self._role)
            yield _error(subject, f"role {self._facts.role} may not make it", statement_text(fix))
        elif not exists and not anywhere:
            fix = sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(sql.Identifier(schema), self._role)
            yield _error(subject, f"role {self._facts.role} may not make its schema", statement_text(fix))

    def _use(self, table: Table, present: Present, subject: str) -> Iterator[Finding]:
        key = (*self._placing.constants, *table.key) if table.key else ()
        params = {"oid": present.oid, "key": list(key)}
        rights = _Rights(*fetch(self._connection, query.load("rights"), params)[0])
        yield from self._rights(present, rights, subject)
        yield from self._bystanders(present, rights, subject)
        if key and not rights.indexed:
            columns = sql.SQL(", ").join(map(sql.Identifier, key))
            fix = sql.SQL("CREATE UNIQUE INDEX ON {} ({})").format(present.name, columns)
            message = "no index finds a row by the source's key: each change would read the whole table"
            yield _warning(subject, message, statement_text(fix))
        if not rights.usage or "SELECT" in rights.lacks:
            return
        known = self._known(present)
        if known is not None:
            wrong = identity.doubt(table, known.source_oid, str(present))
            if wrong is not None:
                yield _error(subject, f"{wrong}; start again with a snapshot: tailrace reset")
            return
        for difference in differences(table, present, self._definitions.look(table), constants=self._placing.constants):
            yield _error(subject, difference.message, difference.fix)
        blind = rights.row_security and not self._facts.bypasses_rls
        if self._placing.existing != "refuse" or blind or self._lacks_constants(present):
            return
        if self._clearing.holds_rows(present):
            message = 'it holds rows that this pipeline did not write: set existing = "append" or "replace", or'
            yield _error(subject, message, self._clearing.statement(present))

    def _known(self, present: Present) -> Record | None:
        return self._records.get(present.schema, present.table) if State.of(self._connection).made else None

    def _lacks_constants(self, present: Present) -> bool:
        return any(constant not in present.columns for constant in self._placing.constants)

    def _rights(self, present: Present, rights: _Rights, subject: str) -> Iterator[Finding]:
        if not rights.usage:
            fix = sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(present.schema), self._role)
            yield _error(subject, f"role {self._facts.role} may not use its schema", statement_text(fix))
        if rights.lacks:
            what = sql.SQL(", ").join(sql.SQL(right) for right in rights.lacks)
            fix = sql.SQL("GRANT {} ON {} TO {}").format(what, present.name, self._role)
            message = f"role {self._facts.role} lacks the right to {', '.join(rights.lacks)}"
            yield _error(subject, message, statement_text(fix))
        if not rights.owner:
            fix = sql.SQL("ALTER TABLE {} OWNER TO {}").format(present.name, self._role)
            message = (
                f"role {self._facts.role} does not own it: a column that is added at the source stops the pipeline"
            )
            yield _warning(subject, message, statement_text(fix))

    def _bystanders(self, present: Present, rights: _Rights, subject: str) -> Iterator[Finding]:
        if rights.row_security and not self._facts.bypasses_rls:
            fix = sql.SQL("ALTER ROLE {} BYPASSRLS").format(self._role)
            yield _error(subject, "row security would hide rows from us or refuse ours", statement_text(fix))
        for trigger in rights.triggers:
            fix = sql.SQL("ALTER TABLE {} ENABLE TRIGGER {}").format(present.name, sql.Identifier(trigger))
            yield _warning(subject, f"the trigger {trigger} acts on replicated rows too", statement_text(fix))


def _ok(subject: str, message: str) -> Finding:
    return Finding(Severity.OK, subject, message)


def _warning(subject: str, message: str, fix: str | None = None) -> Finding:
    return Finding(Severity.WARNING, subject, message, fix)


def _error(subject: str, message: str, fix: str | None = None) -> Finding:
    return Finding(Severity.ERROR, subject, message, fix)
