"""Which types of PostgreSQL hold all values of which others: a closed list."""

from __future__ import annotations

import pytest

from tailrace.sink.postgres.evolve import canonical, fits

WIDER = [
    ("smallint", "integer"),
    ("integer", "bigint"),
    ("smallint[]", "bigint[]"),
    ("bigint", "numeric"),
    ("integer", "numeric(12,2)"),
    ("numeric(5,2)", "numeric(7,4)"),
    ("numeric(5,2)", "numeric"),
    ("real", "double precision"),
    ("character varying(5)", "character varying(9)"),
    ("character varying(5)", "character varying"),
    ("character varying(5)", "text"),
    ("character(3)", "character(5)"),
    ("character(3)", "text"),
    ("name", "text"),
    ("uuid", "text"),
    ("integer", "text"),
    ("timestamp(0) without time zone", "timestamp without time zone"),
    ("timestamp(0) with time zone", "timestamp(3) with time zone"),
    ("time(3) without time zone", "time(6) without time zone"),
    ("interval(2)", "interval"),
    ("bit(3)", "bit varying(5)"),
    ("bit varying(3)", "bit varying"),
    ("cidr", "inet"),
]
OTHER = [
    ("integer", "boolean"),
    ("text", "character varying(9)"),
    ("integer", "integer[]"),
    ("integer", "real"),
    ("bigint", "double precision"),
    ("bigint", "numeric(12,2)"),
    ("numeric(5,2)", "numeric(6,1)"),
    ("numeric", "numeric(5,2)"),
    ("numeric", "bigint"),
    ("character varying(9)", "character(9)"),
    ("timestamp without time zone", "timestamp with time zone"),
    ("date", "timestamp without time zone"),
    ("date", "text"),
    ("boolean", "text"),
    ("jsonb", "json"),
    ("bit(3)", "bit(5)"),
    ("inet", "cidr"),
    ("public.mood", "public.other"),
    ('public."integer"', "bigint"),
]


@pytest.mark.parametrize(("narrow", "wide"), WIDER)
def test_a_wider_type_holds_all_values_and_not_the_other_way_round(narrow: str, wide: str) -> None:
    assert fits(narrow, narrow)
    assert fits(narrow, wide)
    assert not fits(wide, narrow)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_any_other_type_does_not(one: str, other: str) -> None:
    assert not fits(one, other)


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("int8", "bigint"),
        ("int4[]", "integer[]"),
        ("varchar(9)", "character varying(9)"),
        ("timestamptz(3)[]", "timestamp(3) with time zone[]"),
        ("time", "time without time zone"),
        ("numeric(5,2)", "numeric(5,2)"),
        ("timestamp without time zone", "timestamp without time zone"),
        ('public."int8"', 'public."int8"'),
    ],
)
def test_short_names_are_spelled_as_the_server_does(short: str, long: str) -> None:
    assert canonical(short) == long
