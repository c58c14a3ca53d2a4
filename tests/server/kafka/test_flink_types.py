"""Every type that Flink's JSON format has a mapping for (flink-json, "Data Type Mapping"), read by the real Flink from
what Tailrace writes for it: each cell of each kind of change is the server's."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from servers import flink
from servers import kafka as server
from tailrace.checkpoint import Memory
from tailrace.format import Format
from tailrace.pipeline import Pipeline
from tailrace.sink.kafka import Kafka
from tailrace.source import Postgres
from tests.wanting import or_skip

_STAMP = "YYYY-MM-DD HH24:MI:SS"
_MAP = "CASE WHEN c_map IS NOT NULL THEN '{a=' || coalesce(c_map->'a', 'NULL') || '}' END"
_PERIOD = '"P"FMYYYY"Y"FMMM"M"FMDD"DT"FMHH24"H"FMMI"M"FMSS"S"'
_LIST = "'[' || array_to_string({}, ', ', 'NULL') || ']'"
_COLUMNS: Sequence[tuple[str, str, str, str, str]] = (
    ("c_char", "char(4)", "CHAR(4)", "c_char", "c_char::bpchar || repeat(' ', 4 - length(c_char))"),
    ("c_varchar", "varchar(9)", "VARCHAR(9)", "c_varchar", "c_varchar"),
    ("c_text", "text", "STRING", "c_text", "c_text"),
    ("c_uuid", "uuid", "STRING", "c_uuid", "c_uuid::text"),
    ("c_json", "jsonb", "STRING", "JSON_VALUE(c_json, '$.a')", "c_json->>'a'"),
    ("c_bool", "boolean", "BOOLEAN", "c_bool", "c_bool::text"),
    ("c_bytes", "bytea", "BYTES", "DECODE(c_bytes, 'ISO-8859-1')", "convert_from(c_bytes, 'LATIN1')"),
    ("c_varbinary", "bytea", "VARBINARY(8)", "DECODE(c_varbinary, 'UTF-8')", "convert_from(c_varbinary, 'UTF8')"),
    ("c_tiny", "smallint", "TINYINT", "c_tiny", "c_tiny::text"),
    ("c_small", "smallint", "SMALLINT", "c_small", "c_small::text"),
    ("c_int", "int", "INT", "c_int", "c_int::text"),
    ("c_big", "bigint", "BIGINT", "c_big", "c_big::text"),
    ("c_oid", "oid", "BIGINT", "c_oid", "c_oid::text"),
    ("c_decimal", "numeric(38, 10)", "DECIMAL(38, 10)", "c_decimal", "c_decimal::text"),
    ("c_money", "money", "DECIMAL(19, 2)", "c_money", "c_money::numeric(19, 2)::text"),
    ("c_real", "real", "FLOAT", "c_real", "c_real::text"),
    ("c_double", "float8", "DOUBLE", "c_double", "c_double::text"),
    ("c_date", "date", "DATE", "c_date", "c_date::text"),
    ("c_time", "time(0)", "TIME", "CAST(c_time AS STRING)", "c_time::text"),
    ("c_micros", "time", "TIME", "CAST(c_micros AS STRING)", "to_char(c_micros::interval, 'HH24:MI:SS')"),
    ("c_stamp", "timestamp(3)", "TIMESTAMP(3)", "CAST(c_stamp AS STRING)", f"to_char(c_stamp, '{_STAMP}.MS')"),
    ("c_stamps", "timestamp", "TIMESTAMP(6)", "CAST(c_stamps AS STRING)", f"to_char(c_stamps, '{_STAMP}.US')"),
    ("c_zoned", "timestamptz", "TIMESTAMP_LTZ(6)", "CAST(c_zoned AS STRING)", f"to_char(c_zoned, '{_STAMP}.US')"),
    ("c_interval", "interval", "STRING", "c_interval", f"to_char(c_interval, '{_PERIOD}')"),
    ("c_texts", "text[]", "ARRAY<STRING>", "CAST(c_texts AS STRING)", _LIST.format("c_texts")),
    ("c_ints", "int[]", "ARRAY<INT>", "CAST(c_ints AS STRING)", _LIST.format("c_ints")),
    ("c_dates", "date[]", "ARRAY<DATE>", "CAST(c_dates AS STRING)", _LIST.format("c_dates")),
    ("c_numbers", "numeric(9, 2)[]", "ARRAY<DECIMAL(9, 2)>", "CAST(c_numbers AS STRING)", _LIST.format("c_numbers")),
    ("c_map", "hstore", "MAP<STRING, STRING>", "CAST(c_map AS STRING)", _MAP),
    ("c_row", "point", "ROW<x DOUBLE, y DOUBLE>", "CAST(c_row.x AS STRING)", "(c_row[0])::text"),
)
"""Each column: its name, its type here and in Flink, and what is the same text of it, in Flink's SQL and in ours.
Flink's TIME has no fraction of a second: what it reads of one is cut off."""
_FULL = (
    "'ab', 'käufer', E'\"\\\\ 日本', '5a1c0b6e-8e40-4b8e-9d0e-0f3c6f3d2b11', '{\"a\": \"é\"}', true, '\\x01ff41e9',"
    " 'é', -128, -32768, -2147483648, -9223372036854775808, 4294967295, 1234567890123456789012345678.0123456789,"
    " '-1234.56', 1.5, -0.0625, '0001-01-01', '23:59:59', '23:59:59.987654', '2024-02-29 12:34:56.789',"
    " '1969-12-31 23:59:59.999999', '2024-02-29 12:34:56.789012+05:30', '1 mon 2 days 03:04:05',"
    " '{a,NULL,\"b c\"}', '{1,NULL,-2}', '{2024-02-29,1970-01-01}', '{1.50,-2.25}', 'a=>\"x y\"', '(1.5,2)'"
)
_EMPTY = ", ".join(["null"] * len(_COLUMNS))
_OTHER = (
    "'abcd', '', '', '00000000-0000-0000-0000-000000000000', '{\"a\": \"\"}', false, '', '', 127, 32767, 2147483647,"
    " 9223372036854775807, 0, -0.0000010001, 0, 'Infinity', 'NaN', '9999-12-31', '00:00:00', '00:00:00',"
    " '9999-12-31 23:59:59.999', '0001-01-01', '1970-01-01 00:00:00.000001+00', '00:00:00', '{}', '{}', '{}', '{}',"
    " 'a=>NULL', '(-0.5,0)'"
)


def test_flink_reads_every_type_that_its_format_knows(database: str, kafka: server.Broker, topic: str) -> None:
    or_skip(flink.install)
    name = f"{topic}.public.kinds"
    kafka.create_topic(name, 1)
    modes = {"hstore_handling_mode": "map", "interval_handling_mode": "string"}
    sink = Kafka(f"kafka://{kafka.address}", format=Format(topic_prefix=topic, profile="flink", **modes))
    filling = Pipeline(Postgres(database, ["public.*"]), sink, name="filling", state_dir=None, checkpoint=Memory())
    declared = ", ".join(f"{column} {kind}" for column, kind, *_ in _COLUMNS)
    with psycopg.connect(database, autocommit=True) as source:
        for statement in (
            "SET TimeZone = 'UTC'",
            "CREATE EXTENSION hstore",
            f"CREATE TABLE kinds (id int PRIMARY KEY, {declared})",
            "ALTER TABLE kinds REPLICA IDENTITY FULL",
            f"INSERT INTO kinds VALUES (1, {_FULL}), (2, {_EMPTY}), (3, {_OTHER}), (4, {_FULL})",
        ):
            source.execute(statement.encode())
        filling.run(until_current=True)
        for statement in (
            f"INSERT INTO kinds VALUES (5, {_FULL}), (6, {_OTHER}), (7, {_EMPTY})",
            "UPDATE kinds SET id = 8 WHERE id = 4",
            f"UPDATE kinds SET ({', '.join(column for column, *_ in _COLUMNS)}) = ROW({_OTHER}) WHERE id = 5",
            "DELETE FROM kinds WHERE id IN (6, 7)",
        ):
            source.execute(statement.encode())
        filling.run(until_current=True)
        texts = ", ".join(text for *_, text in _COLUMNS)
        rows = source.execute(f"SELECT id::text, {texts} FROM kinds ORDER BY id".encode()).fetchall()
    table = ", ".join(f"{column} {kind}" for column, _, kind, *_ in _COLUMNS)
    shown = ", ".join(shown for _, _, _, shown, _ in _COLUMNS)
    told = flink.rows(
        [f"CREATE TABLE kinds (id INT, {table}) WITH ({flink.debezium(kafka.address, name)})"],
        f"SELECT id, {shown} FROM kinds",
    )
    assert [row[0] for row in rows] == ["1", "2", "3", "5", "8"]
    ordered = sorted(told, key=lambda row: int(row[0] or ""))
    columns = {column: at for at, (column, *_) in enumerate(_COLUMNS, 1)}
    ours, theirs = ({name: [row[at] for row in found] for name, at in columns.items()} for found in (rows, ordered))
    assert theirs == ours
