"""Protobuf equals what Confluent's ProtobufConverter makes of the real Debezium's records: schemas and bytes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from servers import postgres
from servers import registry as servers_registry
from tailrace.error import Fatal
from tailrace.format import Format
from tests.conformance import binary, equal, sides
from tests.conformance import protobuf as oracle
from tests.conformance.binary import Both
from tests.conformance.cases import Case, Statements
from tests.conformance.formats import CONNECT, FORMATS, LOST, ODD, PROTOBUF_MODES, Converted
from tests.conformance.formats import PROTOBUF as CASES
from tests.conftest import _fresh

Told = Callable[[str, object], None]


def protobuf(registry: servers_registry.Server, **options: Any) -> Format:
    """The format of the tests here."""
    return Format(key_converter="protobuf", value_converter="protobuf", schema_registry_url=registry.url, **options)


both = partial(binary.both, form="protobuf", mask=oracle.mask)


@pytest.fixture(scope="module")
def compared(postgres18: postgres.Server, registry: servers_registry.Server, start_debezium: sides.Start) -> Both:
    """Both sides at their defaults, over all cases at once: one start of the engine is enough."""
    start = partial(start_debezium, forms=("protobuf",))
    (found,) = (
        both(*sides.watched(start, url, CASES, extended_headers_enabled="false"), protobuf(registry))
        for url in _fresh(postgres18)
    )
    return found


@equal.mark(FORMATS["protobuf"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.strip('"'))
def test_schemas_and_bytes_equal_debeziums(case: Case, compared: Both, record_property: Told) -> None:
    expected = [event for event in compared.debezium if event.table == case.name.strip('"')]
    found = [event for event in compared.tailrace if event.table == case.name.strip('"')]
    record_property("records", len(expected))
    assert expected
    assert [event.key for event in found] == [event.key for event in expected]
    assert found == expected


Compare = Callable[[Converted], Both]


@pytest.fixture(scope="module")
def compare(postgres18: postgres.Server, registry: servers_registry.Server, start_debezium: sides.Start) -> Compare:
    """Both sides over all cases of a mode at once; each mode is run once."""
    runs: dict[str, Both] = {}

    def compare(mode: Converted) -> Both:
        if mode.name not in runs:
            theirs = {f"protobuf.{name.replace('_', '.')}": text for name, text in mode.converter.items()}
            start = partial(start_debezium, forms=("protobuf",))
            format = protobuf(registry, **mode.converter, **mode.options)
            for url in _fresh(postgres18):
                found = sides.watched(
                    start, url, mode.cases, extended_headers_enabled="false", **mode.options, **theirs
                )
                runs[mode.name] = both(*found, format)
        return runs[mode.name]

    return compare


_CASES = [(mode, case) for mode in PROTOBUF_MODES for case in mode.compared]


@pytest.mark.parametrize(
    ("mode", "case"), _CASES, ids=[f"{mode.name}-{case.name.strip(chr(34))}" for mode, case in _CASES]
)
def test_options_of_the_converter_do_what_confluents_do(mode: Converted, case: Case, compare: Compare) -> None:
    topic = f"shop.public.{'We_ird_.N_me' if case.name == ODD else case.name}"
    ours, theirs = (
        [event for event in events if event.topic == topic]
        for events in (compare(mode).tailrace, compare(mode).debezium)
    )
    assert theirs or any(f"public.{case.name}," in reason for reason in compare(mode).refused)
    assert ours == theirs


def test_a_date_of_which_the_converter_loses_the_era_is_refused_with_its_column(compare: Compare) -> None:
    found = compare(CONNECT)
    reasons = [reason for reason in found.refused if any(f"public.{name}," in reason for name in LOST)]
    assert len(reasons) == 4
    assert all('column "d" (date): a date before Christ' in reason for reason in reasons)
    theirs = [record.forms["protobuf"].value for record in found.records if record.topic == "shop.public.dates_bc"]
    written = [form.bytes for form in theirs if form is not None]
    assert all(year in value for year, value in zip((b"\x08\x01\x10", b"\x08\xe9\x24\x10"), written, strict=True))


def test_what_a_timestamp_of_protobuf_cannot_hold_is_refused_where_the_converter_stops(compare: Compare) -> None:
    found = compare(CONNECT)
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
