"""Protobuf equals what Confluent's ProtobufConverter makes of the real Debezium's records: schemas and bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest

from servers import postgres
from servers import registry as servers_registry
from tailrace.error import Fatal
from tailrace.format import Format
from tests.conformance import binary, generated, sides
from tests.conformance import protobuf as oracle
from tests.conformance.binary import Both
from tests.conformance.cases import Case, Statements, Values
from tests.conformance.foreign import FOREIGN, UNKNOWN
from tests.conformance.modes import MODES
from tests.conformance.once import Once
from tests.conformance.shapes import SHAPES
from tests.conformance.values import VALUES
from tests.conftest import fresh

_ODD = '"We ird$.Näme"'
"""A table with column names that Protobuf does not allow."""
_LOST = ("dates_bc", "dates_infinite")
"""Tables with dates of which Confluent's converter loses the era."""
_NESTED = ("vector_arrays", "unknown_shape_arrays")
"""Tables with lists of lists."""
FAMILIES = frozenset(case.name for case in generated.families(seed=0))
"""Tables whose arrays have nulls at any place, which Protobuf has none for: `test_avro` has them."""


def whole(case: Case) -> Case:
    """A case without nulls in its arrays, which Protobuf has no place for."""

    def filled(statement: str) -> str:
        for null, rest in ((",NULL,", ","), (",NULL}", "}"), (", null, 'null'", ", 'null'"), ("[null", "['n'")):
            statement = statement.replace(null, rest)
        return statement.replace(", null", ", 'n'") if case.name == "g_texts" else statement

    if isinstance(case, Values):
        return replace(case, rows=tuple(map(filled, case.rows)))
    steps = (filled(step) if isinstance(step, str) else tuple(map(filled, step)) for step in case.run)
    return replace(case, create=tuple(map(filled, case.create)), run=tuple(steps))


CASES = [
    whole(case)
    for case in (*VALUES, *SHAPES, *FOREIGN, *UNKNOWN, *generated.cases(seed=20261128))
    if case.name not in (_ODD, *_NESTED)
]


def protobuf(registry: servers_registry.Server, **options: Any) -> Format:
    """The format of the tests here."""
    return Format(key_converter="protobuf", value_converter="protobuf", schema_registry_url=registry.url, **options)


both = partial(binary.both, form="protobuf", mask=oracle.mask)


@pytest.fixture(scope="module")
def compared(postgres18: postgres.Server, registry: servers_registry.Server, start_debezium: sides.Start) -> Both:
    """Both sides at their defaults, over all cases at once: one start of the engine is enough."""
    start = partial(start_debezium, forms=("protobuf",))
    with fresh(postgres18) as url:
        return both(*sides.watched(start, url, CASES, extended_headers_enabled="false"), protobuf(registry))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.strip('"'))
def test_schemas_and_bytes_equal_debeziums(case: Case, compared: Both) -> None:
    expected = [event for event in compared.debezium if event.table == case.name.strip('"')]
    found = [event for event in compared.tailrace if event.table == case.name.strip('"')]
    assert expected
    assert [event.key for event in found] == [event.key for event in expected]
    assert found == expected


@dataclass(frozen=True, slots=True)
class Mode:
    """Options of the converter, and those of one of `modes.MODES` with what is run under it."""

    name: str
    converter: Mapping[str, str]
    base: int

    @property
    def options(self) -> dict[str, str]:
        """What both sides are told of the events themselves."""
        return {name: text for name, text in MODES[self.base].options.items() if name != "schemas_enable"}

    @property
    def cases(self) -> list[Case]:
        """Without lists of lists, and without names that Protobuf does not allow unless they are scrubbed."""
        odd = () if "scrub_invalid_names" in self.converter else (_ODD,)
        return [whole(case) for case in MODES[self.base].cases if case.name not in {*odd, *_NESTED, *FAMILIES}]


_CONNECT = Mode("wrappers, Connect's times", {"wrapper_for_nullables": "true"}, 2)
_MODES = [
    Mode("columns with defaults", {}, 0),
    Mode("optional fields, times as text, maps", {"optional_for_nullables": "true"}, 1),
    _CONNECT,
    Mode(
        "optional fields with wrappers, names scrubbed, nanoseconds",
        {
            "optional_for_nullables": "true",
            "wrapper_for_nullables": "true",
            "scrub_invalid_names": "true",
            "enhanced_protobuf_schema_support": "true",
        },
        4,
    ),
]
Compare = Callable[[Mode], Both]


@pytest.fixture(scope="module")
def compare(postgres18: postgres.Server, registry: servers_registry.Server, start_debezium: sides.Start) -> Compare:
    """Both sides over all cases of a mode at once; each mode is run once."""
    runs = Once[Both]()

    def made(mode: Mode) -> Both:
        theirs = {f"protobuf.{name.replace('_', '.')}": text for name, text in mode.converter.items()}
        options = {"extended_headers_enabled": "false", **mode.options, **theirs}
        start = partial(start_debezium, forms=("protobuf",))
        format = protobuf(registry, **mode.converter, **mode.options)
        with fresh(postgres18) as url:
            return both(*sides.watched(start, url, mode.cases, **options), format)

    return lambda mode: runs.get(mode.name, lambda: made(mode))


_CASES = [(mode, case) for mode in _MODES for case in mode.cases if mode != _CONNECT or case.name not in _LOST]


@pytest.mark.parametrize(
    ("mode", "case"), _CASES, ids=[f"{mode.name}-{case.name.strip(chr(34))}" for mode, case in _CASES]
)
def test_options_of_the_converter_do_what_confluents_do(mode: Mode, case: Case, compare: Compare) -> None:
    topic = "shop.message" if case.name == "message" else f"shop.public.{case.name}"
    if case.name == _ODD:
        topic = "shop.public.We_ird_.N_me"
    ours, theirs = (
        [event for event in events if event.topic == topic]
        for events in (compare(mode).tailrace, compare(mode).debezium)
    )
    assert theirs or any(f"public.{case.name}," in reason for reason in compare(mode).refused)
    assert ours == theirs


def test_a_date_of_which_the_converter_loses_the_era_is_refused_with_its_column(compare: Compare) -> None:
    found = compare(_CONNECT)
    reasons = [reason for reason in found.refused if any(f"public.{name}," in reason for name in _LOST)]
    assert len(reasons) == 4
    assert all('column "d" (date): a date before Christ' in reason for reason in reasons)
    theirs = [record.forms["protobuf"].value for record in found.records if record.topic == "shop.public.dates_bc"]
    written = [form.bytes for form in theirs if form is not None]
    assert all(year in value for year, value in zip((b"\x08\x01\x10", b"\x08\xe9\x24\x10"), written, strict=True))


def test_what_a_timestamp_of_protobuf_cannot_hold_is_refused_where_the_converter_stops(compare: Compare) -> None:
    found = compare(_CONNECT)
    for table, columns in (("timestamps", ("t", "t0", "t3")), ("more_times", ("ts",))):
        theirs = [record for record in found.records if record.topic == f"shop.public.{table}"]
        refused = [form for form in (record.forms["protobuf"].value for record in theirs) if form and form.refused]
        reasons = [reason for reason in found.refused if f"public.{table}," in reason]
        assert len(reasons) == len(refused) > 0
        assert all("Timestamp is not valid" in form.refused for form in refused)
        assert {reason.split('"')[1] for reason in reasons} <= set(columns)


def test_a_null_in_an_array_is_refused_with_its_column_where_the_converter_stops(
    database: str, registry: servers_registry.Server, start_debezium: sides.Start
) -> None:
    create = "CREATE TABLE nulls (id int PRIMARY KEY, a int[], t text[])"
    rows = [
        f"INSERT INTO nulls VALUES ({row})" for row in ("1, '{1,NULL}', '{a}'", "2, '{1}', '{b}'", "3, null, '{NULL}'")
    ]
    start = partial(start_debezium, forms=("protobuf",))
    watched = sides.watched(
        start, database, [Statements("nulls", (create,), tuple(rows))], extended_headers_enabled="false"
    )
    values = [record.forms["protobuf"].value for record in watched[1] if record.topic == "shop.public.nulls"]
    assert [form and form.refused for form in values] == [
        "java.lang.NullPointerException",
        "",
        "java.lang.NullPointerException",
    ]
    found = both(*watched, protobuf(registry))
    assert found.tailrace == found.debezium
    assert found.refused == [
        f"public.nulls, column {column}: a null in an array, which Protobuf has no place for"
        for column in ('"a" (int4[])', '"t" (text[])')
    ]


@pytest.mark.parametrize(
    ("column", "theirs", "ours"),
    [
        ('"a b" int', "not a valid identifier", r'"a b" is no name .*scrub_invalid_names'),
        ("a int[], _a int[], v halfvec(2)[]", "cannot be nested", 'field "v": a list of lists'),
        ('"VariableScaleDecimal" int, n numeric', "already defined", r'"VariableScaleDecimal" is twice the name'),
    ],
)
def test_what_has_no_schema_in_protobuf_is_an_error_that_names_it(
    column: str, theirs: str, ours: str, database: str, registry: servers_registry.Server, start_debezium: sides.Start
) -> None:
    create = f"CREATE TABLE odd (id int PRIMARY KEY, {column})"
    case = Statements("odd", (create,), ("INSERT INTO odd VALUES (1)",))
    start = partial(start_debezium, forms=("protobuf",))
    batches, records = sides.watched(start, database, [case], extended_headers_enabled="false")
    value = records[-1].forms["protobuf"].value
    assert value is not None and theirs in value.refused
    with pytest.raises(Fatal, match=r"shop\.public\.odd: .*" + ours):
        both(batches, [], protobuf(registry))


def test_an_optional_field_may_have_the_name_that_another_ones_presence_goes_by(
    database: str, registry: servers_registry.Server, start_debezium: sides.Start
) -> None:
    create = "CREATE TABLE presence (id int PRIMARY KEY, a int, _a int, __a text)"
    case = Statements("presence", (create,), ("INSERT INTO presence VALUES (1, 0, null, '')",))
    start = partial(start_debezium, forms=("protobuf",))
    options = {"extended_headers_enabled": "false", "protobuf.optional.for.nullables": "true"}
    found = both(*sides.watched(start, database, [case], **options), protobuf(registry, optional_for_nullables="true"))
    assert len(found.debezium) == 1
    assert found.tailrace == found.debezium


def test_a_package_with_names_of_messages_does_not_move_a_records_index(
    database: str, registry: servers_registry.Server, start_debezium: sides.Start
) -> None:
    create = ('CREATE SCHEMA "Envelope"', 'CREATE TABLE "Envelope"."Value" (id int PRIMARY KEY)')
    case = Statements("Value", create, ('INSERT INTO "Envelope"."Value" VALUES (1)',))
    start, source = partial(start_debezium, forms=("protobuf",)), {"tables": ["public.*", "Envelope.*"]}
    batches, records = sides.watched(start, database, [case], source=source, extended_headers_enabled="false")
    (theirs,) = (record.forms["protobuf"].value for record in records)
    (ours,) = both(batches, [], protobuf(registry)).tailrace
    # Confluent's converter finds `Envelope` and `Value` in the package, and takes the event for its own row.
    assert theirs is not None and theirs.bytes[5:8] == b"\x04\0\0"
    assert ours.value is not None and ours.value.data[0] == 0 and ours.value.schema == theirs.schema


def test_a_default_that_is_no_number_is_the_same_in_both_images(
    database: str, registry: servers_registry.Server, start_debezium: sides.Start
) -> None:
    create = "CREATE TABLE numberless (id int PRIMARY KEY, a float8 DEFAULT 'NaN', b real DEFAULT 'NaN')"
    case = Statements("numberless", (create,), ("INSERT INTO numberless VALUES (1)", "UPDATE numberless SET b = 1"))
    start = partial(start_debezium, forms=("protobuf",))
    found = both(*sides.watched(start, database, [case], extended_headers_enabled="false"), protobuf(registry))
    assert len(found.debezium) == 2
    assert found.tailrace == found.debezium
