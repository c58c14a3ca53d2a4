"""Makes the types at the target that a table's columns need, and follows them as they grow. Never drops one.

A type keeps its schema and its name. What an extension brings must be installed; it may lie in another schema here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import product

from psycopg import sql

from tailrace.dialect.postgres.session import Connection, fetch, run
from tailrace.error import Fatal
from tailrace.model import Table, TypeDefinition
from tailrace.sink.postgres import ddl, query
from tailrace.sink.postgres.ddl import Spelling
from tailrace.sink.postgres.evolve import canonical, fits

__all__ = ["Definitions", "Spelled", "missing_extensions", "needed"]


@dataclass(frozen=True, slots=True)
class _Present:
    oid: int
    spelling: str
    kind: str
    labels: tuple[str, ...]
    parts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Spelled:
    """How the target writes the types of one table."""

    names: Mapping[TypeDefinition, str]

    def of(self, native: str) -> str:
        """The target's spelling of a type that the source writes as `native`; of one that is not known yet, text."""
        if native == "unknown":
            return "text"
        for definition, name in self.names.items():
            rest = _rest(native, definition)
            if rest is not None:
                return name + rest
        return canonical(native)

    def base(self, native: str) -> str:
        """As `of`, but of the type that a domain is made of, however deep."""
        for definition in self.names:
            if definition.kind == "domain" and _rest(native, definition) == "":
                return self.base(dict(definition.parts)["base"])
        return self.of(native)

    def labels(self, native: str) -> tuple[str, ...]:
        """The labels of the enum that the source writes as `native`; none for other types."""
        return next((d.labels for d in self.names if d.kind == "enum" and _rest(native, d) == ""), ())


def needed(table: Table) -> list[TypeDefinition]:
    """The definitions that columns of `table` need: a transform may have dropped those that needed the others."""
    natives = [column.native for column in table.columns]
    wanted: list[TypeDefinition] = []
    for definition in reversed(table.types):
        if any(_rest(native, definition) is not None for native in natives):
            wanted.append(definition)
            if definition.kind != "extension":
                natives += [type for _, type in definition.parts]
    return wanted[::-1]


def missing_extensions(connection: Connection, table: Table) -> list[str]:
    """Extensions that `table` needs and that are not installed."""
    needs = {dict(definition.parts)["extension"] for definition in needed(table) if definition.kind == "extension"}
    rows = fetch(connection, "SELECT extname FROM pg_extension WHERE extname = ANY (%(names)s)", {"names": list(needs)})
    return sorted(needs - {name for (name,) in rows})


class Definitions:
    """The types of one target database. What it makes belongs to the transaction of its caller, save an enum's labels:
    the server lets nobody use one before it is committed, so they are added through a session `beside`."""

    def __init__(self, connection: Connection, beside: Callable[[], AbstractContextManager[Connection]]) -> None:
        self._connection = connection
        self._beside = beside
        self._lacking: dict[TypeDefinition, list[tuple[str, str]]] = {}
        """The attributes that composite types of the target do not have yet, in order."""

    def look(self, table: Table) -> Spelled:
        """How the target writes the types of `table` as it is; a type that is missing stays as the source writes it."""
        names: dict[TypeDefinition, str] = {}
        for definition in needed(table):
            found = self._spelling(definition)
            names[definition] = found if found is not None else str(definition)
            self._add_multirange(definition, names)
        return Spelled(names)

    def prepare(self, table: Table) -> Spelled:
        """Make what is missing and give enums their new labels; `Fatal` for what cannot follow.

        New attributes of a composite type wait for the first value that has them: see `grow`.
        """
        names: dict[TypeDefinition, str] = {}
        spelled = Spelled(names)
        for definition in needed(table):
            if definition.kind == "extension":
                found = self._spelling(definition)
                if found is None:
                    extension = dict(definition.parts)["extension"]
                    raise Fatal(
                        f"{table} needs the type {definition.name} of the extension {extension}, "
                        "which the target does not have",
                        hint=f"CREATE EXTENSION {sql.Identifier(extension).as_string(None)}",
                    )
                names[definition] = found
                continue
            present = self._present(definition)
            if present is None:
                fetch(self._connection, ddl.TURN, doing="wait for other pipelines")
                present = self._present(definition)
            if present is None:
                self._make(definition, spelled, table)
                present = self._present(definition)
                assert present is not None
            else:
                self._follow(definition, present, spelled, table=table)
            names[definition] = present.spelling
            self._add_multirange(definition, names)
        return spelled

    def read(self, text: str) -> Spelling:
        """A type's text for use in a statement: the target must read all of it as one type."""
        [[oid]] = fetch(self._connection, "SELECT to_regtype(%(text)s)::oid", {"text": text}, doing="read a type")
        if oid is None:
            raise Fatal(f"the target has no type {text}", hint="create it there, as it is at the source")
        return Spelling(text)

    def _spelling(self, definition: TypeDefinition) -> str | None:
        if definition.kind == "extension":
            params = {"extension": dict(definition.parts)["extension"], "name": definition.name}
            rows = fetch(self._connection, query.load("extension_type"), params)
            return str(rows[0][0]) if rows else None
        present = self._present(definition)
        return present.spelling if present is not None else None

    def _present(self, definition: TypeDefinition) -> _Present | None:
        params = {"schema": definition.schema, "name": definition.name}
        for oid, spelling, kind, labels, parts in fetch(self._connection, query.load("type"), params):
            return _Present(oid, spelling, kind, tuple(labels), dict(parts or ()))
        return None

    def _add_multirange(self, definition: TypeDefinition, names: dict[TypeDefinition, str]) -> None:
        """A multirange comes with its range, under a name that columns use."""
        if definition.kind != "range":
            return
        multirange = TypeDefinition(definition.schema, dict(definition.parts)["multirange"], "multirange")
        present = self._present(multirange)
        names[multirange] = present.spelling if present is not None else str(multirange)

    def _make(self, definition: TypeDefinition, spelled: Spelled, table: Table) -> None:
        parts = [(name, spelled.of(type)) for name, type in definition.parts]
        match definition.kind:
            case "enum":
                statement = ddl.create_enum(definition)
            case "domain":
                statement = ddl.create_domain(definition, self.read(dict(parts)["base"]))
            case "composite":
                statement = ddl.create_composite(definition, [(name, self.read(type)) for name, type in parts])
            case "range":
                multirange = dict(definition.parts)["multirange"]
                statement = ddl.create_range(definition, self.read(dict(parts)["subtype"]), multirange)
            case kind:
                raise Fatal(
                    f"{table} needs the type {definition}, which the target does not have "
                    f"and which cannot be made from here (it is a {kind} type)",
                    hint="create it at the target as it is at the source",
                )
        if not fetch(
            self._connection, "SELECT to_regnamespace(quote_ident(%(name)s))::oid", {"name": definition.schema}
        )[0][0]:
            run(self._connection, ddl.create_schema(definition.schema), f"create the schema {definition.schema}")
        run(self._connection, statement, f"create the type {definition}")

    def _follow(self, definition: TypeDefinition, present: _Present, spelled: Spelled, *, table: Table) -> None:
        if definition.kind not in {present.kind, "row", "base"}:
            raise Fatal(
                f"{table} needs the {definition.kind} type {definition}, which is a {present.kind} type at the target",
                hint="rename that one, or make the table at the target with a type that holds the values",
            )
        parts = {name: spelled.of(type) for name, type in definition.parts}
        if definition.kind == "enum":
            self._add_labels(definition, present)
        elif definition.kind == "composite":
            self._compare_attributes(definition, present, parts, table=table)
        elif definition.kind == "domain" and not fits(
            spelled.base(dict(definition.parts)["base"]), self._bottom(present)
        ):
            _differ(
                definition, table, f"it is made of {parts['base']} at the source, {present.parts['base']} at the target"
            )
        elif definition.kind == "range" and parts["subtype"] != present.parts["subtype"]:
            _differ(
                definition,
                table,
                f"its bounds are {parts['subtype']} at the source, {present.parts['subtype']} at the target",
            )

    def _bottom(self, present: _Present) -> str:
        """What a domain of the target is made of, however deep."""
        [[text]] = fetch(self._connection, query.load("bottom"), {"oid": present.oid})
        return str(text)

    def _add_labels(self, definition: TypeDefinition, present: _Present) -> None:
        labels = list(present.labels)
        missing = [label for label in definition.labels if label not in labels]
        if not missing:
            return
        with self._beside() as session:
            for label in missing:
                run(session, ddl.add_label(definition, label, labels), f"add a label to the type {definition}")
                labels.append(label)

    def lacks(self, table: Table) -> int:
        """How many attributes the composite types of `table` have had more than those of the target, when they were
        last prepared: the most that one of them lacks."""
        return max((len(self._lacking.get(definition, ())) for definition in needed(table)), default=0)

    def grow(self, table: Table) -> None:
        """Give each composite type of `table` that lacks attributes the next one of them."""
        for definition in needed(table):
            lacking = self._lacking.get(definition, [])
            if lacking:
                name, type = lacking.pop(0)
                doing = f"add an attribute to the type {definition}"
                run(self._connection, ddl.add_attribute(definition, name, self.read(type)), doing)

    def _compare_attributes(
        self, definition: TypeDefinition, present: _Present, parts: Mapping[str, str], *, table: Table
    ) -> None:
        """A composite value is written by place, so attributes may only have come behind those that are there.

        They are not added here: values from before them may still come, and have fewer.
        """
        ours = list(parts.items())
        for (name, type), (known, held) in zip(ours, present.parts.items(), strict=False):
            if name != known or type != held:
                _differ(definition, table, f"the attribute {name} {type} at the source is {known} {held} at the target")
        if len(ours) < len(present.parts):
            _differ(
                definition, table, f"it has {len(ours)} attributes at the source, {len(present.parts)} at the target"
            )
        self._lacking[definition] = ours[len(present.parts) :]


def _differ(definition: TypeDefinition, table: Table, what: str) -> None:
    raise Fatal(
        f"the type {definition}, which {table} needs, differs: {what}",
        hint="make them alike, or make the table at the target with a type that holds the values",
    )


def _rest(native: str, definition: TypeDefinition) -> str | None:
    """What follows the name of `definition` in a type that the source writes as `native`: its modifiers, or that it is
    an array; None when it is another type. The source quotes what needs it."""
    for schema, name in product(_written(definition.schema), _written(definition.name)):
        if native.startswith(f"{schema}.{name}"):
            rest = native[len(schema) + 1 + len(name) :]
            if not rest or rest[0] in "([":
                return rest
    return None


def _written(name: str) -> tuple[str, str]:
    return name, '"' + name.replace('"', '""') + '"'
