"""Types and their values that must come out as the real engine writes them, in a snapshot and in a stream."""

from __future__ import annotations

from tests.conformance.cases import Values

_UUID = "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"

VALUES = (
    Values("booleans", "b bool", ("true", "false", "null")),
    Values(
        "integers",
        "i2 smallint, i4 int, i8 bigint, o oid",
        (
            "-32768, 2147483647, -9223372036854775808, 4294967295",
            "32767, -2147483648, 9223372036854775807, 0",
            "null, null, null, null",
        ),
    ),
    Values("serials", "s smallserial, i serial, b bigserial", ("default, default, default",)),
    Values(
        "floats",
        "f4 real, f8 float8",
        (
            "1.5, 1e10",
            "'NaN', 'NaN'",
            "'inf', '-inf'",
            "3.4028235e38, 1.7976931348623157e308",
            "1e-45, 5e-324",
            "'-0', '-0'",
            "123456.7, 1234567.0",
            "1e7, 9999999.999",
            "0.001, 0.0001",
            "9999999, 1e7",
            "16777216, 9007199254740993",
            "1.1, 2.2250738585072014e-308",
            "2.5e-44, 123456789.123456789",
            "0.1, 0.3333333333333333",
        ),
    ),
    Values(
        "numerics",
        "n numeric, n2 numeric(12, 2), n0 numeric(5), ns numeric(3, 5)",
        (
            "1.10, 1.10, 12345, 0.00123",
            "-0.5, -0.01, -1, -0.00001",
            "12345678901234567890.123456789, 9999999999.99, 0, 0",
            "1e30, 1.28, 127, null",
            "256, -1.28, -129, null",
            "1e-20, 327.67, -32768, null",
            "0.000, -327.69, 128, null",
            "-1e100, -9999999999.99, null, null",
            "1e18, 0, null, null",
            "-9223372036854775808, 0, null, null",
            "'NaN', 'NaN', null, null",
            "'inf', null, null, null",
        ),
    ),
    Values("moneys", "m money", ("'$1,234.56'", "'-$0.01'", "0", "'92233720368547758.07'", "'-92233720368547758.08'")),
    Values(
        "texts",
        't text, v varchar(20), c char(5), ch "char"',
        (
            "'', 'a', 'ab', 'x'",
            "null, null, null, null",
            "E'tab\\t nl\\n cr\\r bs\\b ff\\f \"q\" \\\\ / \\x7f \\x01\\x1f', 'é', 'ß', ''",
            "E'\\u2028 😀 \\uFFFD 日本語 e\\u0301', 'ünïcödé text here', '😀', 'z'",
            "repeat('long \"text\" ', 500), 'v', 'c', null",
        ),
    ),
    Values("names", "n name", ("'some_name'",), ("snapshot",)),
    Values(
        "bytes", "b bytea", ("'\\x'", "'\\x00ff10'", "'\\x0102'", "'\\x03'", "decode(repeat('ab', 100), 'hex')", "null")
    ),
    Values("uuids", "u uuid", (_UUID, "'A0EEBC999C0B4EF8BB6D6BB9BD380A12'", "null")),
    Values(
        "documents",
        "j json, b jsonb",
        (
            """'{"a" : 1,  "b":[1,2.50, "x"]}', '{"b":1,  "a":[1,2.50, "x\\u00e9", "\\"\\\\"]}'""",
            "'1', '\"s\"'",
            "'null', 'null'",
            "null, null",
        ),
    ),
    Values("enums", "e mood", ("'ok'", "'so-so \"happy\"'", "null")),
    Values(
        "networks",
        "i inet, c cidr, m macaddr, m8 macaddr8",
        (
            "'10.0.0.1', '10.1.0.0/16', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05'",
            "'10.0.0.1/8', '::1/128', null, null",
        ),
    ),
    Values(
        "dates",
        "d date",
        ("'2024-02-29'", "'1969-12-31'", "'1970-01-01'", "'0001-01-01'", "'1582-10-04'", "'99999-12-31'", "null"),
    ),
    Values("dates_bc", "d date", ("'0001-01-01 BC'", "'4713-01-01 BC'"), ("stream",)),
    Values("dates_infinite", "d date", ("'infinity'", "'-infinity'"), ("stream",)),
    Values(
        "times",
        "t time, t0 time(0), t1 time(1), t3 time(3), t4 time(4)",
        (
            "'12:34:56.123456', '12:34:56', '12:34:56.1', '12:34:56.123', '12:34:56.1234'",
            "'00:00', '00:00', '00:00', '00:00', '00:00'",
            "'24:00', '24:00', '24:00', '24:00', '24:00'",
            "'23:59:59.9', '23:59:59', '23:59:59.9', '23:59:59.99', null",
        ),
    ),
    Values(
        "zoned_times",
        "t timetz, t0 timetz(0), t3 timetz(3)",
        (
            "'12:34:56.123456+02', '12:34:56.6-05:30', '12:34:56.123+14'",
            "'24:00+00', '24:00+01', '24:00-01'",
            "'12:00:00.5+00', '01:00+02', '23:00-02'",
            "'12:00:00.1+00', '12:00+05:45', '00:00-12'",
        ),
    ),
    Values(
        "timestamps",
        "t timestamp, t0 timestamp(0), t1 timestamp(1), t3 timestamp(3), t5 timestamp(5)",
        (
            "'2024-02-29 12:34:56.123456', '2024-02-29 12:34:56', '2024-01-01 00:00:00.1', '2024-02-29 12:34:56.123',"
            " '2024-01-01 00:00:00.12345'",
            "'1969-12-31 23:59:59.999999', '1969-12-31 23:59:59', null, '1969-12-31 23:59:59.999', null",
            "'0001-01-01 00:00:00 BC', '0044-03-15 00:00:00 BC', null, '4713-01-01 00:00:00 BC', null",
            "'99999-12-31 23:59:59.9', '10000-01-01 00:00:00', null, '12345-01-01 00:00:00', null",
            "'infinity', 'infinity', 'infinity', 'infinity', 'infinity'",
            "'-infinity', '-infinity', '-infinity', '-infinity', '-infinity'",
            "'1582-10-04 00:00:00', '1000-01-01 12:00:00', null, '1582-10-10 00:00:00', null",
            "'294276-12-31 00:00:00', '294276-12-31 00:00:00', null, null, '294247-01-10 04:00:55'",
        ),
    ),
    Values(
        "zoned_timestamps",
        "t timestamptz, t0 timestamptz(0), t1 timestamptz(1), t3 timestamptz(3), t5 timestamptz(5)",
        (
            "'2024-02-29 12:34:56.123456+02', '2024-01-01 00:00:00.5+00', '2024-01-01 00:00:00.12+00',"
            " '2024-02-29 12:34:56.12+02', '2024-01-01 00:00:00.123456+00'",
            "'2024-01-01 00:00+00', '2024-01-01 00:00+00', '2024-01-01 00:00+00', '2024-01-01 00:00+00',"
            " '2024-01-01 00:00+00'",
            "'0001-01-01 00:00:00+00 BC', '0044-03-15 01:00:00+00 BC', null, '1000-01-01 12:00:00+00', null",
            "'99999-12-31 23:59:59+00', '10000-01-01 00:00:00+00', null, '294276-12-31 23:59:59+00', null",
            "'infinity', '-infinity', 'infinity', '-infinity', 'infinity'",
            "'1969-12-31 23:59:59.999999+00', null, null, '2024-01-01 00:00:00.000120+00', null",
        ),
    ),
    Values(
        "intervals",
        "i interval",
        (
            "'1 year 2 mons 3 days 04:05:06.789'",
            "'-1 mon -1 day -00:00:00.000001'",
            "'100 years'",
            "'00:00:00'",
            "'1.5 days'",
            "'178000000 years'",
            "'-178000000 years'",
            "'1 year -1 day'",
            "'100:00:00.999999'",
            "'400 years 1 day 00:00:00.1'",
        ),
    ),
    Values(
        "bits",
        "b1 bit(1), b3 bit(3), b10 bit(10), b64 bit(64), v varbit, v5 varbit(5), v1 varbit(1)",
        (
            "'1', '101', '1010101010', 'x8000000000000001', '101', '10101', '1'",
            "'0', '000', '0000000001', 'x0000000000000001', '', '', '0'",
            "null, null, '1000000000', null, '1111111110000000011111111', null, ''",
        ),
    ),
    Values("points", "p point", ("'(1.5,-2)'", "'(1e10,1e-5)'", "'(0,-0)'", "null")),
    Values("searches", "t tsvector", ("'''a'':1 ''b'':2,3A'", "''", "'it''s'::tsvector")),
    Values(
        "ranges",
        "i4 int4range, i8 int8range, n numrange, t tsrange, z tstzrange, d daterange",
        (
            "'[1,5)', '[1,5)', '(1.5,2.5]', '[\"2024-01-01 00:00:00\",\"2024-01-02 00:00:00\")',"
            " '[\"2024-01-01 00:00:00+00\",)', '[2024-01-01,2024-01-05]'",
            "'empty', '(,)', '(,)', 'empty', '(,infinity)', '(,)'",
        ),
    ),
    Values(
        "hstores",
        "h hstore",
        (
            '\'a=>1, "b c"=>NULL, "q\\"x"=>"é\\\\", aa=>""\'',
            "''",
            "'a=>b, c=>d, b=>e, bb=>\"\\\\\"'",
            "(SELECT hstore(array_agg('key' || i), array_agg(i::text)) FROM generate_series(1, 40) AS i)",
            "hstore(E'tab\\t', E'nl\\n😀')",
            "null",
        ),
    ),
    Values("trees", "l ltree", ("'Top.Science'", "''", "null")),
    Values("citexts", "c citext", ("'CiText'", "null")),
    Values("isbns", "i isbn, e ean13", ("'978-0-393-04002-9', '9780393040029'",)),
    Values("domains", "p positive, m price, l label", ("5, 1.5, 'A@b.C'", "null, null, null")),
    Values(
        "more_domains",
        "d dearer, c code, f flags, i instant, s several, p couple, nn code NOT NULL, de dearer DEFAULT 2",
        (
            "1.5, 'abc', '101', '2024-02-29 12:34:56.123', '{1,2}', '(1,x)', 'x', 3",
            "null, null, null, null, null, null, '', null",
        ),
    ),
    Values(
        "isns",
        "i isbn13, s issn, s13 issn13, m ismn, m13 ismn13, u upc",
        (
            "'978-0-393-04002-9', '1436-4522', '9771436452008', '979-0-060-11561-5', '9790060115615', '220356483481'",
            "null, null, null, null, null, null",
        ),
    ),
    Values(
        "long_ones",
        "n numeric, t text, b bytea",
        (
            "1e-16383, '', ''",
            "-9.9e131071, repeat('é', 500000), decode(repeat('ab', 1 << 20), 'hex')",
            "(repeat('7', 2000) || '.' || repeat('3', 16383))::numeric, repeat(E'\\u2028\"', 9999), null",
        ),
    ),
    Values(
        "empty_ones",
        "t text, v varchar, c char(1), b bytea, j json, jb jsonb, h hstore, l ltree, ct citext, ts tsvector,"
        " r int4range, a int[], ta text[], ra int4range[], vb varbit, iv interval, n numeric",
        (
            "'', '', '', '', '\"\"', '{}', '', '', '', '', 'empty', '{}', '{\"\"}', '{empty}', '', '0', 0",
            "'', '', ' ', '', '[]', '[]', '', '', '', '', 'empty', '{}', '{\"\"}', '{}', '', '0', 0.00",
        ),
    ),
    Values(
        "left_out",
        "c pair, l line, s lseg, b box, p path, y polygon, k circle, m int4multirange, q tsquery, n pg_lsn, x xid,"
        " mo money[], na name[], iv interval[], vb varbit[], pa point[], la line[], jp jsonpath",
        (
            "'(1,x)', '{1,2,3}', '[(1,2),(3,4)]', '(3,4),(1,2)', '[(1,2),(3,4)]', '((1,2),(3,4))', '<(1,2),3>',"
            " '{[1,2),[4,5)}', 'fat & cat', '0/16B3748', '5', '{1.5}', '{a}', '{1 day}', '{101}', '{\"(1,2)\"}',"
            " '{\"{1,2,3}\"}', '$.a'",
        ),
    ),
    # A row of the snapshot stops Debezium: see `test_stops`.
    Values("cursors", "r refcursor, ra refcursor[]", ("'c', '{c}'", "null, null"), phases=("stream",)),
    Values(
        "array_numbers",
        "i2 int2[], i4 int4[], i8 int8[], o oid[], f4 float4[], f8 float8[], b bool[], n numeric[],"
        " n2 numeric(10, 2)[]",
        (
            "'{1,-2,NULL}', '{1,2}', '{9223372036854775807}', '{4294967295}', '{1.5,NaN,1e10}', '{1.5,Infinity,1e-5}',"
            " '{t,f,NULL}', '{1.10,100,1e20,0.000}', '{1.10,2}'",
            "null, '{}', null, null, null, null, null, '{}', '{}'",
            "null, '[2:3]={5,6}', null, null, null, null, null, null, null",
        ),
    ),
    Values(
        "array_texts",
        "t text[], v varchar(5)[], c char(3)[], u uuid[], j json[], b jsonb[], ct citext[], l ltree[]",
        (
            f'\'{{a,NULL,"b c","q\\"\\\\x","","NULL"}}\', \'{{abc}}\', \'{{a,bcd}}\', ARRAY[{_UUID}]::uuid[],'
            " ARRAY['{\"a\": 1}']::json[], ARRAY['{\"a\": 1}', null, 'null']::jsonb[], '{Ab,NULL}', '{a.b,c}'",
            "'{}', null, null, null, null, null, '{}', '{}'",
        ),
    ),
    Values(
        "array_times",
        "d date[], t3 time(3)[], ts timestamp[], ts3 timestamp(3)[], z timestamptz[], z3 timestamptz(3)[], tz timetz[]",
        (
            "'{2024-01-01,infinity}', '{12:34:56.123}', '{\"2024-01-01 00:00:00.123456\",infinity}',"
            " '{\"2024-01-01 00:00:00.123\"}', '{\"2024-01-01 00:00:00.12+02\",infinity}',"
            " '{\"2024-01-01 00:00:00.12+02\"}', '{12:34:56+02}'",
        ),
    ),
    # By itself such a time stops Debezium, or is lost: see `differences` and `test_stops`.
    Values("array_offsets", "tz timetz[]", ("'{12:00:00+01:02:03,00:00:01-00:00:01}'",)),
    Values("array_bytes", "b bytea[]", (r"""'{"\\x01ff","\\x",NULL}'""", "'{}'")),
    Values("array_enums", "e mood[]", ("'{sad,ok}'", "'{}'", "null")),
    Values(
        "array_others",
        "i inet[], c cidr[], m macaddr[], m8 macaddr8[], r4 int4range[], r8 int8range[], nr numrange[], tr tsrange[],"
        " zr tstzrange[], dr daterange[], h hstore[]",
        (
            "'{10.0.0.1}', '{10.0.0.0/8}', '{08:00:2b:01:02:03}', '{08:00:2b:01:02:03:04:05}', '{\"[1,2)\",empty}',"
            " '{\"[1,2)\"}', '{\"[1,2)\"}', '{\"[2024-01-01,2024-01-02)\"}', '{\"[2024-01-01,2024-01-02)\"}',"
            " '{\"[2024-01-01,2024-01-02)\"}', '{a=>1,b=>NULL}'",
        ),
    ),
    # By name the last tables of the snapshot: the last row of all is marked, though an empty table comes after it.
    Values("zy_last_row", "x int", ("1", "2")),
    Values("zz_empty", "x int", ("1",), phases=("stream",)),
)
