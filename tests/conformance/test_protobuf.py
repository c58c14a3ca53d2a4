"""Protobuf equals what Confluent's ProtobufConverter makes of the real Debezium's records: schemas and bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import psycopg
import pytest

from servers import postgres
from servers import registry as servers_registry
from tailrace.error import Fatal
from tailrace.format import Format
from tests.conformance import binary, generated, modes, sides
from tests.conformance import protobuf as oracle
from tests.conformance.binary import Both
from tests.conformance.cases import Case, Statements, Values
from tests.conformance.foreign import FOREIGN, UNKNOWN
from tests.conformance.shapes import SHAPES
from tests.conformance.values import VALUES
from tests.conftest import _fresh

_ODD = '"We ird$.Näme"'
"""A table with column names that Protobuf does not allow."""
_NESTED = ("vector_arrays", "unknown_shape_arrays")
"""Tables with lists of lists."""


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
    (found,) = (
        both(*sides.watched(start, url, CASES, extended_headers_enabled="false"), protobuf(registry))
        for url in _fresh(postgres18)
    )
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.strip('"'))
def test_schemas_and_bytes_equal_debeziums(case: Case, compared: Both) -> None:
    expected = [event for event in compared.debezium if event.table == case.name.strip('"')]
    found = [event for event in compared.tailrace if event.table == case.name.strip('"')]
    assert expected
    assert [event.key for event in found] == [event.key for event in expected]
    assert found == expected
