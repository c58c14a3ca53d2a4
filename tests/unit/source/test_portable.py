"""PostgreSQL's types to portable ones."""

from __future__ import annotations

import pytest

from tailrace.source.postgres.portable import Bottom, portable


def numeric(precision: int, scale: int) -> int:
    return (precision << 16 | scale & 0x7FF) + 4


@pytest.mark.parametrize(
    ("bottom", "expected"),
    [
        (Bottom("int4", "", "b", -1, 0), "int4"),
        (Bottom("int4", "", "b", -1, 1), "int4[]"),
        (Bottom("int4", "", "b", -1, 2), "other"),
        (Bottom("numeric", "", "b", -1, 0), "numeric"),
        (Bottom("numeric", "", "b", numeric(12, 2), 0), "numeric(12,2)"),
        (Bottom("numeric", "", "b", numeric(1000, -1000), 0), "numeric(1000,-1000)"),
        (Bottom("varchar", "", "b", 34, 1), "varchar(30)[]"),
        (Bottom("varchar", "", "b", -1, 0), "varchar"),
        (Bottom("bpchar", "", "b", 5, 0), "bpchar(1)"),
        (Bottom("bit", "", "b", 7, 0), "bit(7)"),
        (Bottom("varbit", "", "b", -1, 0), "varbit"),
        (Bottom("timestamptz", "", "b", -1, 0), "timestamptz"),
        (Bottom("timestamptz", "", "b", 6, 0), "timestamptz"),
        (Bottom("timestamp", "", "b", 0, 0), "timestamp(0)"),
        (Bottom("interval", "", "b", 0x7FFF0003, 0), "interval"),
        (Bottom("mood", "public", "e", -1, 1), "enum[]"),
        (Bottom("int4multirange", "", "m", -1, 0), "multirange"),
        (Bottom("hstore", "hstore", "b", -1, 0), "hstore"),
        (Bottom("hstore", "public", "b", -1, 0), "other"),
        (Bottom("vector", "vector", "b", 3, 0), "other"),
        (Bottom("text", "public", "b", -1, 0), "other"),
        (Bottom("int2vector", "", "b", -1, 0), "other"),
    ],
)
def test_a_type_becomes_its_portable_name(bottom: Bottom, expected: str) -> None:
    assert portable(bottom) == expected
