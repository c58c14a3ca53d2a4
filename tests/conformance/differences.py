"""Where Tailrace does not write what Debezium writes, each with its reason. `docs/reference/debezium.md` lists them;
its table is made by `python -m tests.conformance.differences`.

Debezium's side is a pattern, because some of it is random. Both are looked for in the event's value; of a `Statements`
the last event counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance.cases import Case, Statements, Values


@dataclass(frozen=True, slots=True)
class Difference:
    """One place, in words and in bytes."""

    place: str
    reason: str
    case: Case
    debezium: str
    tailrace: str
    options: Mapping[str, str] = field(default_factory=dict)


def _value(name: str, column: str, value: str, *phases: str) -> Values:
    return Values(name, column, (value,), phases or ("snapshot", "stream"))


def _toasted(name: str, kind: str, value: str) -> Statements:
    create = f"CREATE TABLE {name} (id int PRIMARY KEY, x int, c {kind})"
    storage = f"ALTER TABLE {name} ALTER c SET STORAGE EXTERNAL"
    return Statements(
        name, (create, storage), (f"INSERT INTO {name} VALUES (1, 1, {value})", f"UPDATE {name} SET x = 2")
    )


_PLACEHOLDER = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="

_TEXTS = {
    "schemas_enable": "true",
    "time_precision_mode": "isostring",
    "interval_handling_mode": "string",
    "binary_handling_mode": "base64",
    "include_unknown_datatypes": "true",
}

_COLUMNS = {
    "schemas_enable": "true",
    "column_exclude_list": "public.d_key_left_out.id",
    "column_propagate_source_type": "public.d_hashed.c,public.d_serial.id,public.d_numeric_length.c",
    "column_mask_hash_v2_SHA-256_with_salt_s": "public.d_hashed.c",
}

DIFFERENCES = (
    Difference(
        "`name` while streaming",
        "Debezium writes null (and the text in a snapshot)",
        _value("d_name", "c name", "'n'", "stream"),
        '"c":null',
        '"c":"n"',
    ),
    Difference(
        "`numeric(p,s)` with a negative scale",
        "Debezium takes scale -2 for 65534 and writes thousands of meaningless digits",
        _value("d_scale", "c numeric(5, -2)", "12300"),
        r'"c":"[A-Za-z0-9+/=]{1000,}"',
        '"c":"ew=="',
    ),
    Difference(
        "`numeric[]` with NaN or an infinity, mode `precise`",
        "Debezium writes null for the whole array",
        _value("d_nan", "c numeric[]", "'{1,NaN}'"),
        '"c":null',
        '"c":[{"scale":0,"value":"AQ=="},null]',
    ),
    Difference(
        "`date` before our era, or from 5 to 14 October 1582, in a snapshot",
        "Debezium is off by days or years there, and right while streaming",
        _value("d_bc", "c date", "'0001-01-01 BC'", "snapshot"),
        '"c":-719162',
        '"c":-719528',
    ),
    Difference(
        "infinite `date` in a snapshot",
        "Debezium writes other numbers than while streaming",
        _value("d_infinite_date", "c date", "'infinity'", "snapshot"),
        '"c":-622191234',
        '"c":-2147472692',
    ),
    Difference(
        "`time[]` finer than milliseconds",
        "Debezium cuts the digits off",
        _value("d_time_array", "c time[]", "'{12:34:56.123456}'"),
        r'"c":\[45296123000\]',
        '"c":[45296123456]',
    ),
    Difference(
        "`timetz[]` with a fraction of a second",
        "Debezium cuts it off",
        _value("d_timetz_array", "c timetz[]", "'{12:34:56.5+02}'"),
        r'"c":\["10:34:56Z"\]',
        '"c":["10:34:56.5Z"]',
    ),
    Difference(
        "`timetz` with seconds in its offset, in a snapshot",
        "Debezium writes null (and its engine stops while streaming)",
        _value("d_timetz_seconds", "c timetz", "'12:00:00+01:02:03'", "snapshot"),
        '"c":null',
        '"c":"10:57:57Z"',
    ),
    Difference(
        "array of an enum with a null element",
        "Debezium writes null for the whole array",
        _value("d_enum_array", "c mood[]", "'{sad,NULL}'"),
        '"c":null',
        '"c":["sad",null]',
    ),
    Difference(
        "array of `ltree` with a null element",
        "Debezium writes null for the whole array",
        _value("d_tree_array", "c ltree[]", "'{a.b,NULL}'"),
        '"c":null',
        '"c":["a.b",null]',
    ),
    Difference(
        "`bit(n)[]`",
        "Debezium writes null",
        _value("d_bit_array", "c bit(3)[]", "'{101}'"),
        '"c":null',
        '"c":["BQ=="]',
    ),
    Difference(
        "array of a domain",
        "Debezium leaves the column out",
        _value("d_domain_array", "c positive[]", "'{1,2}'"),
        r'"after":\{"id":\d+\}',
        '"c":[1,2]',
    ),
    Difference(
        "array of more than one dimension",
        "Debezium writes nulls or Java object names for the inner arrays; Tailrace writes lists in lists",
        _value("d_nested", "c int[]", "'{{1,2},{3,4}}'"),
        r'"c":\[null,null\]',
        '"c":[[1,2],[3,4]]',
    ),
    Difference(
        "array of text of more than one dimension",
        "as above",
        _value("d_nested_text", "c text[]", "'{{a,b},{c,NULL}}'"),
        r'"c":\["\[Ljava.lang.String;@',
        '"c":[["a","b"],["c",null]]',
    ),
    Difference(
        "`interval` with a fraction of a second, or beyond 285 years",
        "Debezium computes in floating point and cuts off: about one in a hundred is a microsecond off",
        _value("d_interval", "c interval", "'1.001 seconds'"),
        '"c":1000999',
        '"c":1001000',
    ),
    Difference(
        "infinite `interval`",
        "Debezium writes 0; Tailrace the largest or smallest number, as both do for intervals out of range",
        _value("d_infinite_interval", "c interval", "'infinity'", "stream"),
        '"c":0',
        '"c":9223372036854775807',
    ),
    Difference(
        "null in a column that has a default",
        "Debezium (Kafka's and Confluent's converters) writes the default in place of null; null is what the row holds",
        _value("d_default", "c text DEFAULT 'd'", "null"),
        '"c":"d"',
        '"c":null',
    ),
    Difference(
        "some `double precision` and `real` values",
        "Debezium on a JDK before 19 prints more digits than needed, Tailrace what later ones do, the same number",
        _value("d_double", "c float8", "2e23"),
        r'"c":(1\.9999999999999998E23|2\.0E23)',
        '"c":2.0E23',
    ),
    Difference(
        "unchanged TOAST of `numeric`",
        "Debezium writes null, which says that the value is gone; Tailrace writes the placeholder's bytes",
        _toasted("d_toast_numeric", "numeric", "repeat('1', 9000)::numeric"),
        '"c":null',
        f'"c":{{"scale":0,"value":"{_PLACEHOLDER}"}}',
    ),
    Difference(
        "unchanged TOAST of bit strings",
        "as above",
        _toasted("d_toast_bits", "varbit", "repeat('1', 30000)::varbit"),
        '"c":null',
        f'"c":"{_PLACEHOLDER}"',
    ),
    Difference(
        "unchanged TOAST of arrays of other types than text, uuid, json, bytea, int4, int8 and date",
        "as above, a number for each byte of the placeholder of numbers (`bool[]` and `bit(1)[]` stay null)",
        _toasted("d_toast_floats", "float8[]", "array_fill(1.5::float8, ARRAY[1000])"),
        '"c":null',
        '"c":[95.0,95.0,100.0,',
    ),
    Difference(
        "unchanged TOAST of arrays of ranges, networks, timestamptz",
        "as above, the placeholder as the only element",
        _toasted("d_toast_ranges", "int4range[]", "array_fill('[1,2)'::int4range, ARRAY[1000])"),
        '"c":null',
        '"c":["__debezium_unavailable_value"]',
    ),
    Difference(
        "generated columns (PostgreSQL 18)",
        "Debezium does not ask for them; `publish_generated_columns = false` on the source leaves them out",
        Statements(
            "d_generated",
            ("CREATE TABLE d_generated (id int PRIMARY KEY, c int GENERATED ALWAYS AS (id * 2) STORED)",),
            ("INSERT INTO d_generated VALUES (1)", "UPDATE d_generated SET id = 2"),
        ),
        r'"after":\{"id":2\}',
        '"after":{"id":2,"c":4}',
    ),
    Difference(
        "key of a table with a primary key and REPLICA IDENTITY USING another INDEX",
        "Debezium's key is the primary key, which old rows lack: it invents 0; Tailrace's key is the index's columns",
        Statements(
            "d_identity",
            (
                "CREATE TABLE d_identity (id int PRIMARY KEY, c int NOT NULL)",
                "CREATE UNIQUE INDEX d_identity_c ON d_identity (c)",
                "ALTER TABLE d_identity REPLICA IDENTITY USING INDEX d_identity_c",
            ),
            ("INSERT INTO d_identity VALUES (1, 2)", "DELETE FROM d_identity"),
        ),
        r'^\{"id":0\} \{"before":\{"id":0,"c":2\}',
        '{"c":2} {"before":{"id":0,"c":2}',
    ),
    Difference(
        "key of a table with no other key than a unique index over a nullable column",
        "Debezium makes a key of it, null in places; Tailrace does not: nulls are not unique",
        Statements(
            "d_nullable_key",
            ("CREATE TABLE d_nullable_key (c int UNIQUE)",),
            ("INSERT INTO d_nullable_key VALUES (null)",),
        ),
        r'^\{"c":null\} ',
        'null {"before":null',
    ),
    Difference(
        "key of a table with no other key than a unique index of some of its rows (`WHERE`)",
        "Debezium makes a key of it; Tailrace does not: it is not unique",
        Statements(
            "d_partial_key",
            (
                "CREATE TABLE d_partial_key (c int NOT NULL)",
                "CREATE UNIQUE INDEX ON d_partial_key (c) WHERE c > 0",
            ),
            ("INSERT INTO d_partial_key VALUES (1)",),
        ),
        r'^\{"c":1\} ',
        'null {"before":null',
    ),
    Difference(
        "key of a table with no other key than a deferrable unique constraint",
        "Debezium makes a key of it; Tailrace does not, as the server does not: within a transaction it is not unique",
        Statements(
            "d_deferred_key",
            ("CREATE TABLE d_deferred_key (c int NOT NULL UNIQUE DEFERRABLE)",),
            ("INSERT INTO d_deferred_key VALUES (1)",),
        ),
        r'^\{"c":1\} ',
        'null {"before":null',
    ),
    Difference(
        "key of a unique index that includes other columns (`INCLUDE`)",
        "Debezium takes these for a part of the key, and a row that changes them for another row; Tailrace does not",
        Statements(
            "d_include_key",
            (
                "CREATE TABLE d_include_key (c int NOT NULL, d int NOT NULL)",
                "CREATE UNIQUE INDEX ON d_include_key (c) INCLUDE (d)",
            ),
            ("INSERT INTO d_include_key VALUES (1, 2)",),
        ),
        r'^\{"c":1,"d":2\} ',
        '{"c":1} {"before":null',
    ),
    Difference(
        "partitioned tables",
        "Debezium's default is one topic a partition; Tailrace's (`publish_via_partition_root`) one for the table",
        Statements(
            "d_parts",
            (
                "CREATE TABLE d_parts (id int PRIMARY KEY) PARTITION BY RANGE (id)",
                "CREATE TABLE d_parts_one PARTITION OF d_parts FOR VALUES FROM (0) TO (9)",
            ),
            ("INSERT INTO d_parts VALUES (1)",),
        ),
        '"table":"d_parts_one"',
        '"table":"d_parts"',
    ),
    Difference(
        "`int2vector` and `oidvector`",
        "Debezium writes an empty list",
        _value("d_vectors", "c int2vector", "'1 2'"),
        r'"c":\[\]',
        '"c":[1,2]',
    ),
    Difference(
        "`sparsevec` of more than 32767 dimensions",
        "Debezium's schema has 16 bits for them, and it writes null; Tailrace refuses them where there is a schema",
        _value("d_sparse", "c sparsevec", "'{40000:1}/50000'"),
        '"c":null',
        '"c":{"dimensions":50000,"vector":[[40000,1.0]]}',
    ),
    Difference(
        "unchanged TOAST of `vector` and `halfvec`",
        "Debezium writes null, which says that the value is gone; Tailrace writes a number a byte of the placeholder",
        _toasted("d_toast_vector", "vector", "(SELECT array_agg(i) FROM generate_series(1, 5000) AS i)::vector"),
        '"c":null',
        '"c":[95.0,95.0,100.0,',
    ),
    Difference(
        "schema of `bit(n)[]`",
        "Debezium calls it a single bit string",
        _value("d_bits_schema", "c bit(3)[]", "'{101}'"),
        r'\{"type":"bytes","optional":true,"name":"io.debezium.data.Bits","version":1,[^}]*\},"field":"c"',
        '{"type":"array","items":{"type":"bytes","optional":true,"name":"io.debezium.data.Bits","version":1,',
        _TEXTS,
    ),
    Difference(
        "array of a domain, `include_unknown_datatypes`",
        "Debezium writes the bytes of each element's text, Tailrace the elements",
        _value("d_domain_unknown", "c positive[]", "'{1,2}'"),
        r'"c":\["MQ==","Mg=="\]',
        '"c":[1,2]',
        _TEXTS,
    ),
    Difference(
        "unchanged TOAST of `bytea`, mode `base64` or `base64-url-safe`",
        "Debezium writes null, which says that the value is gone; Tailrace writes the placeholder in base64",
        _toasted("d_toast_base64", "bytea", "decode(repeat('ab', 9000), 'hex')"),
        '"c":null',
        f'"c":"{_PLACEHOLDER}"',
        _TEXTS,
    ),
    Difference(
        "unchanged TOAST of `bytea[]`, any mode but `bytes`",
        "as above, the placeholder as the only element",
        _toasted("d_toast_bytes", "bytea[]", "array_fill('abc'::bytea, ARRAY[1000])"),
        '"c":null',
        f'"c":["{_PLACEHOLDER}"]',
        _TEXTS,
    ),
    Difference(
        "unchanged TOAST of `date[]`, mode `isostring` or `connect`",
        "as above",
        _toasted("d_toast_dates", "date[]", "array_fill('2024-01-01'::date, ARRAY[3000])"),
        '"c":null',
        '"c":["__debezium_unavailable_value"]',
        _TEXTS,
    ),
    Difference(
        "infinite `interval`, mode `string`",
        "Debezium writes an interval of nothing; Tailrace the server's word",
        _value("d_infinite_text", "c interval", "'-infinity'", "stream"),
        '"c":"P0Y0M0DT0H0M0S"',
        '"c":"-infinity"',
        _TEXTS,
    ),
    Difference(
        "default of an infinite `date`, in the schema",
        "Debezium writes a day that is not even its own for such a value; Tailrace that one",
        _value("d_default_infinite", "c date DEFAULT 'infinity'", "'2024-01-01'"),
        '"default":169560311,"field":"c"',
        '"default":-2147472692,"field":"c"',
        {"schemas_enable": "true"},
    ),
    Difference(
        "default of an infinite `timestamp`, in the schema",
        "Debezium writes another number than for such a value, or none; Tailrace none",
        _value("d_default_infinity", "c timestamp DEFAULT 'infinity'", "'2024-01-01'"),
        '"default":-9223372036853775810,"field":"c"',
        '"name":"io.debezium.time.MicroTimestamp","version":1,"field":"c"',
        {"schemas_enable": "true"},
    ),
    Difference(
        "`regtype` and its siblings of what is not the server's own, `include_unknown_datatypes`",
        "Debezium's name is as its search path has it; Tailrace's has the schema always",
        _value("d_registered", "c regtype", "'mood'"),
        '"c":"bW9vZA=="',
        '"c":"cHVibGljLm1vb2Q="',
        _TEXTS,
    ),
    Difference(
        "length that `column_propagate_source_type` tells of a `numeric` without one, while streaming",
        "Debezium calls it 131089 (and 0 in a snapshot)",
        _value("d_numeric_length", "c numeric", "1", "stream"),
        '"__debezium.source.column.length":"131089","__debezium.source.column.scale":"0"',
        '"__debezium.source.column.type":"NUMERIC","__debezium.source.column.length":"0"',
        _COLUMNS,
    ),
    Difference(
        "default that is an expression, in the schema",
        "Debezium takes a part of it, or its words, for the value; Tailrace writes no default",
        _value("d_default_expression", "c text DEFAULT CURRENT_USER", "''"),
        '"default":"CURRENT_USER","field":"c"',
        '{"type":"string","optional":true,"field":"c"}',
        _TEXTS,
    ),
    Difference(
        "`timestamp` on 21 September 1677, mode `nanoseconds`",
        "Debezium writes null, though the last hours of that day fit 64 bits",
        _value("d_first_day", "c timestamp", "'1677-09-21 12:00:00'"),
        '"c":null',
        '"c":-9223329600000000000',
        {"time_precision_mode": "nanoseconds"},
    ),
    Difference(
        "key of a column that `column_exclude_list` leaves out, in a snapshot",
        "Debezium writes 0, the same key for every row (and the value while streaming)",
        _value("d_key_left_out", "c text", "'a'", "snapshot"),
        r'"payload":\{"id":0\}\} \{',
        '"payload":{"id":1}} {',
        _COLUMNS,
    ),
    Difference(
        "`column_mask_hash` of a column that `column_propagate_source_type` has too",
        "Debezium writes the text in clear; Tailrace the hash",
        _value("d_hashed", "c text", "'clear'"),
        '"c":"clear"',
        '"c":"b14e8629525f428992639500eb5861a4496c2e29bf4129a9b715c9f51917305b"',
        _COLUMNS,
    ),
    Difference(
        "type that `column_propagate_source_type` tells of a `serial` column, in a snapshot",
        "Debezium calls it `SERIAL` (and `INT4` while streaming), which no column's type is",
        Statements(
            "d_serial", ("CREATE TABLE d_serial (id serial PRIMARY KEY)", "INSERT INTO d_serial DEFAULT VALUES"), ()
        ),
        '"__debezium.source.column.type":"SERIAL"',
        '"__debezium.source.column.type":"INT4"',
        _COLUMNS,
    ),
    Difference(
        "`column_truncate_to_…_chars` that ends within a pair of surrogates",
        "Debezium writes half of the pair, which is no character; Tailrace none of it",
        _value("d_halved", "c text", "'ab😀'"),
        r'"c":"ab\\uD83D"',
        '"c":"ab"',
        {"column_truncate_to_3_chars": r"public\.d_halved\.c"},
    ),
)
_PAGE = Path(__file__).parents[2] / "docs" / "reference" / "debezium.md"
_HEAD = "| place | reason |\n|---|---|\n"


def page() -> str:
    """The reference with the table of all differences."""
    before, _, rest = _PAGE.read_text().rpartition(_HEAD)
    rows = "".join(f"| {difference.place} | {difference.reason} |\n" for difference in DIFFERENCES)
    return before + _HEAD + rows + rest[rest.index("\n\n") + 1 :]


if __name__ == "__main__":
    _PAGE.write_text(page())
