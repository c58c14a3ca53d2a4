"""Columns with defaults: what Debezium reads of them shows in schemas, and in old rows that hold only their key."""

from __future__ import annotations

from collections.abc import Collection

from tests.conformance.cases import Statements

_COLUMNS = (
    "b bool DEFAULT true",
    "i2 int2 DEFAULT 5",
    "i4 int DEFAULT -7",
    "i8 bigint DEFAULT 9223372036854775807",
    "s serial",
    "bs bigserial",
    "f4 real DEFAULT 1.5",
    "f8 float8 DEFAULT 1e10",
    "fn float8 DEFAULT -2.5",
    "n numeric DEFAULT 1.10",
    "n2 numeric(10, 2) DEFAULT 1.5",
    "n3 numeric(10, 2) DEFAULT 3",
    "n4 numeric(5, 1) DEFAULT 1.234",
    "nr numeric(10, 2) DEFAULT pi()",
    "nz numeric DEFAULT pi()",
    "m money DEFAULT 1",
    "t text DEFAULT 'abc'",
    "te text DEFAULT ''",
    "tq text DEFAULT 'it''s'",
    "tb text DEFAULT E'a\\\\b'",
    "lo text DEFAULT lower('ABC')",
    "v varchar(9) DEFAULT 'vc'",
    "c char(5) DEFAULT 'ab'",
    "by bytea DEFAULT '\\x01'",
    "d date DEFAULT '2024-02-29'",
    "dn date DEFAULT to_date('2024', 'YYYY')",
    "ti time DEFAULT '12:34:56.123456'",
    "t3 time(3) DEFAULT '01:02:03.5'",
    "tz timetz DEFAULT '01:00+00'",
    "ts timestamp DEFAULT '2024-02-29 12:34:56.123456'",
    "ts3 timestamp(3) DEFAULT '2024-02-29 12:34:56.5'",
    "tsz timestamptz DEFAULT '2024-02-29 12:34:56.5+02'",
    "tszn timestamptz DEFAULT to_timestamp(0)",
    "tsz3 timestamptz(3) DEFAULT '2024-02-29 12:34:56.5+02'",
    "iv interval DEFAULT '1 day 02:00'",
    "ivn interval DEFAULT justify_days('40 days')",
    "u uuid DEFAULT 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
    "un uuid DEFAULT uuid_in('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11')",
    "j json DEFAULT '{\"a\": 1}'",
    "jb jsonb DEFAULT '{}'",
    "jn jsonb DEFAULT jsonb_build_object()",
    "e mood DEFAULT 'ok'",
    "b1 bit DEFAULT '1'",
    "b3 bit(3) DEFAULT '101'",
    "vb varbit DEFAULT '10'",
    "v5 varbit(5) DEFAULT B'11'",
    "ine inet DEFAULT '10.0.0.1'",
    "p point DEFAULT '(1,1)'",
    "r int4range DEFAULT '[1,2)'",
    "h hstore DEFAULT 'a=>1'",
    "lt ltree DEFAULT 'a.b'",
    "ct citext DEFAULT 'Ci'",
    "ia int[] DEFAULT '{1}'",
    "ta text[] DEFAULT '{}'",
    "po positive DEFAULT 5",
    "ch \"char\" DEFAULT 'q'",
    "ex int DEFAULT 1 + 2",
    "o oid DEFAULT 5",
    "tsv tsvector DEFAULT 'a'",
)

_FUNCTIONS = (
    "a timestamptz DEFAULT now()",
    "b timestamptz DEFAULT CURRENT_TIMESTAMP",
    "c date DEFAULT CURRENT_DATE",
    "d timestamp DEFAULT LOCALTIMESTAMP",
    "e uuid DEFAULT gen_random_uuid()",
    "f timestamp DEFAULT timezone('utc', now())",
    "g timestamptz DEFAULT clock_timestamp()",
    "h text DEFAULT NULL",
    "i text DEFAULT NULL::text",
    "j numeric(10, 2) DEFAULT -1.5",
    "k numeric DEFAULT '-7'",
    "m timestamptz DEFAULT '-infinity'",
    "n int GENERATED ALWAYS AS IDENTITY",
    "o mood[] DEFAULT '{ok}'",
    "p int[] DEFAULT ARRAY[1, 2]",
    "q float8 DEFAULT random()",
    "nan float8 DEFAULT 'NaN'",
    "t int DEFAULT (1)",
    "u bigint DEFAULT -5",
    "v jsonb DEFAULT '[]'::jsonb",
    "w varchar(9) DEFAULT 'a'::text",
    "x interval DEFAULT '00:00:00'",
    "y time DEFAULT LOCALTIME",
)


def defaults(*, without: Collection[str] = ()) -> tuple[Statements, ...]:
    """Tables with all of these columns, but for those of the names `without`."""
    columns = [column for column in _COLUMNS if column.split()[0] not in without]
    functions = ", ".join(column for column in _FUNCTIONS if column.split()[0] not in without)

    def table(name: str, suffix: str, *more: str) -> Statements:
        listed = ", ".join(column + suffix for column in columns)
        comment = f"COMMENT ON COLUMN {name}.t IS 'of no effect on the schema'"
        create = f"CREATE TABLE {name} (id serial PRIMARY KEY, {listed})"
        return Statements(name, (create, comment), (f"INSERT INTO {name} DEFAULT VALUES", *more))

    return (
        table("defaults", ""),
        Statements(
            "defaults_of_functions",
            (f"CREATE TABLE defaults_of_functions (id int PRIMARY KEY, {functions})",),
            ("INSERT INTO defaults_of_functions VALUES (1)",),
        ),
        table("defaults_not_null", " NOT NULL", "UPDATE defaults_not_null SET id = 9", "DELETE FROM defaults_not_null"),
    )


DEFAULTS = defaults()
