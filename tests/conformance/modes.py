"""Options: the same comparison with each of them other than its default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.conformance.cases import Case, Statements, Values
from tests.conformance.shapes import SHAPES
from tests.conformance.values import VALUES

_NUMBERS = (
    Values(
        "numerics",
        "n numeric, n2 numeric(12, 2), n0 numeric(5), ns numeric(3, 5), m money",
        (
            "1.10, 1.10, 12345, 0.00123, '$1,234.56'",
            "-0.5, -0.01, -1, -0.00001, '-$0.01'",
            "12345678901234567890.123456789, 9999999999.99, 0, 0, 0",
            "1e30, 1e9, null, null, '-92233720368547758.08'",
            "0.0000001, 10000000, null, null, '12'",
            "1e-10, 100000, null, null, null",
        ),
    ),
    Values("not_numbers", "n numeric, n2 numeric(12, 2)", ("'NaN', 'NaN'", "'inf', null", "'-inf', null")),
    Values("arrays", "n numeric[], n2 numeric(10, 2)[]", ("'{1.10,100,1e20,0.000,NULL}', '{1.5}'",)),
    Statements(
        "keys",
        (
            "CREATE TABLE keys (n numeric(10, 2) PRIMARY KEY, v numeric NOT NULL, w numeric(5, 3) NOT NULL,"
            " m money NOT NULL)",
        ),
        ("INSERT INTO keys VALUES (1.5, 1, 1, 1)", "UPDATE keys SET n = 2", "DELETE FROM keys"),
    ),
)
_ROWS = (
    Statements(
        "rows",
        ("CREATE TABLE rows (id int PRIMARY KEY, t text)", "ALTER TABLE rows ALTER t SET STORAGE EXTERNAL"),
        (
            "INSERT INTO rows VALUES (1, repeat('x', 9000))",
            "UPDATE rows SET id = 2",
            "DELETE FROM rows",
            "INSERT INTO rows VALUES (3, 'y')",
            "TRUNCATE rows RESTART IDENTITY CASCADE",
        ),
    ),
    Statements(
        "pairs",
        (
            "CREATE TABLE pairs (id int PRIMARY KEY)",
            "CREATE TABLE more_pairs (id int PRIMARY KEY REFERENCES pairs)",
        ),
        ("TRUNCATE pairs CASCADE",),
    ),
)


@dataclass(frozen=True, slots=True)
class Mode:
    """Options that both sides take by the same names, and what is run under them."""

    name: str
    cases: tuple[Case, ...]
    options: Mapping[str, str]


_NOT_IN_SCHEMAS = ("serials", "array_enums")  # defaults; an element that may be null, which Debezium denies

MODES = (
    Mode(
        "a schema before every key and value",
        (*(case for case in VALUES if case.name not in _NOT_IN_SCHEMAS), *SHAPES, *_NUMBERS[1:]),
        {"schemas_enable": "true"},
    ),
    Mode(
        "decimals as text",
        (*_NUMBERS, *_ROWS),
        {"decimal_handling_mode": "string", "skipped_operations": "none"},
    ),
    Mode(
        "decimals as doubles, no tombstones, another placeholder",
        (*_NUMBERS, *_ROWS),
        {
            "decimal_handling_mode": "double",
            "tombstones_on_delete": "false",
            "unavailable_value_placeholder": 'n/a "é"',
            "skipped_operations": "u,t",
        },
    ),
)
