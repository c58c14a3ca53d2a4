"""Options that shape events beyond the types of their columns, each with what is run under it. Knows nothing of either
side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.conformance import generated
from tests.conformance.cases import Case, Statements


@dataclass(frozen=True, slots=True)
class Setting:
    """What the real engine is told; Tailrace is told what `import-debezium` makes of it."""

    name: str
    cases: tuple[Case, ...]
    options: Mapping[str, str]


_WEIRD = Statements(
    '"We ird$.Näme"',
    ('CREATE TABLE "We ird$.Näme" (id int PRIMARY KEY, "co l" int, "1a" text, a_b int, "Üp" int, "x-y" int)',),
    ("INSERT INTO \"We ird$.Näme\" VALUES (1, 2, '3', 4, 5, 6)", 'DELETE FROM "We ird$.Näme"'),
)
_TEXTS = Statements(
    "texts",
    (
        "CREATE TABLE texts (id int PRIMARY KEY, t text, v varchar(5), c char(9), i int, j json, e mood, ct citext,"
        ' u uuid, ta text[], z text NOT NULL, big text, n inet, q "char", d label, b bytea, l ltree, tz timetz,'
        " h hstore, x numeric(12, 2))",
        "ALTER TABLE texts ALTER big SET STORAGE EXTERNAL",
        "INSERT INTO texts (id, z) VALUES (1, 'é')",
        "INSERT INTO texts VALUES (2, 'some \"tëxt\"', 'abcde', 'abc', 7, '{\"a\":1}', 'sad', 'Ci',"
        " 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{a,b}', 'q', repeat('x', 70000), '1.2.3.4', 'c', 'label',"
        " '\\x010203', 'a.b', '10:00:00+01', 'a=>1', 1234.5)",
    ),
    (
        "INSERT INTO texts SELECT id + 10, t, v, c, i, j, e, ct, u, ta, z, big, n, q, d, b, l, tz, h, x FROM texts",
        "UPDATE texts SET i = 8 WHERE id = 12",
        "UPDATE texts SET id = 13 WHERE id = 12",
        "DELETE FROM texts WHERE id = 11",
    ),
)
_TEXT_KEY = Statements(
    "text_key",
    ("CREATE TABLE text_key (k text PRIMARY KEY, v varchar(8))", "INSERT INTO text_key VALUES ('key', 'é x')"),
    ("INSERT INTO text_key VALUES ('a', 'b')", "UPDATE text_key SET k = 'c' WHERE k = 'a'", "DELETE FROM text_key"),
)
_KEYS = (
    Statements(
        "k",
        (
            "CREATE TABLE k (id int PRIMARY KEY, a int, b text)",
            "ALTER TABLE k REPLICA IDENTITY FULL",
            "INSERT INTO k VALUES (1, 2, 'x')",
        ),
        (
            "UPDATE k SET id = 2",
            "UPDATE k SET a = 5",
            "UPDATE k SET a = NULL",
            "UPDATE k SET b = 'u'",
            "DELETE FROM k",
        ),
    ),
    Statements("k2", ("CREATE TABLE k2 (id int PRIMARY KEY, a int, b text)",), ("INSERT INTO k2 VALUES (1, 2, 'x')",)),
    Statements("nk", ("CREATE TABLE nk (a int, b text)",), ("INSERT INTO nk VALUES (1, 'x')",)),
)
_MESSAGES = Statements(
    "message",
    (),
    (
        "SELECT pg_logical_emit_message(true, 'foo', 'a')",
        "SELECT pg_logical_emit_message(true, 'Bar', 'b')",
        "SELECT pg_logical_emit_message(false, 'xfoo', 'c')",
        "SELECT pg_logical_emit_message(true, 'foo/2', 'd')",
    ),
)
_TRANSACTIONS = (
    Statements(
        "orders",
        (
            "CREATE TABLE orders (id int PRIMARY KEY, t text)",
            "CREATE TABLE lines (id int, t text)",
            "INSERT INTO orders VALUES (1, 'a'), (2, 'b')",
        ),
        (
            "INSERT INTO orders VALUES (3, 'c')",
            (
                "INSERT INTO orders VALUES (4, 'd')",
                "INSERT INTO lines VALUES (4, 'd')",
                "UPDATE orders SET id = 5 WHERE id = 4",
                "INSERT INTO orders VALUES (9, 'e')",
            ),
            (
                "INSERT INTO lines VALUES (5, 'x')",
                "SAVEPOINT s",
                "INSERT INTO orders VALUES (10, 'x')",
                "ROLLBACK TO s",
            ),
            ("DELETE FROM orders", "INSERT INTO orders VALUES (1, 'again')"),
            # Alone: the name that Debezium counts it under is another each time, and so would be the order.
            "SELECT pg_logical_emit_message(true, 'p', 'm')",
            "TRUNCATE orders, lines",
            "CREATE TABLE nothing ()",
            "INSERT INTO lines SELECT i, 'many' FROM generate_series(1, 200) i",
        ),
    ),
)
_PARTS = Statements(
    "parts",
    (
        "CREATE TABLE parts (id int PRIMARY KEY, t text) PARTITION BY RANGE (id)",
        "CREATE TABLE parts_one PARTITION OF parts FOR VALUES FROM (0) TO (9)",
        "CREATE TABLE parts_two PARTITION OF parts FOR VALUES FROM (9) TO (99)",
    ),
    ("INSERT INTO parts VALUES (2, 'a'), (11, 'b')", "UPDATE parts SET id = 12 WHERE id = 2", "DELETE FROM parts"),
)
_CHANCE = tuple(
    case
    for case in (*generated.cases(seed=20261129), *generated.families(seed=20261129))
    if case.name in ("g_text", "g_bytea", "g_hstore", "g_characters", "g_networks")
)
_NAMING = "io.debezium.schema.{}TopicNamingStrategy"
_ALL = r"public\.(texts|text_key)\.(?!id).*"

SETTINGS = (
    Setting("stars", (_TEXTS, _TEXT_KEY), {"column_mask_with_5_chars": _ALL}),
    Setting("no stars", (_TEXTS,), {"column_mask_with_0_chars": r"public.texts.t, public.texts.z"}),
    Setting("truncated", (_TEXTS, _TEXT_KEY), {"column_truncate_to_2_chars": _ALL, "schemas_enable": "true"}),
    Setting(
        "characters and bytes by chance, cut to a length that halves pairs of surrogates",
        _CHANCE,
        {"column_truncate_to_3_chars": r"public\.g_.*\.c\d*"},
    ),
    Setting(
        "characters and bytes by chance, hashed",
        _CHANCE,
        {"column_mask_hash_v2_SHA-256_with_salt_pep": r"public\.g_.*\.c\d*", "schemas_enable": "true"},
    ),
    Setting("hashed", (_TEXTS, _TEXT_KEY), {"column_mask_hash_v2_SHA-256_with_salt_pep": _ALL}),
    Setting("hashed as serialised", (_TEXTS, _TEXT_KEY), {"column_mask_hash_SHA-512_with_salt_pep.per": _ALL}),
    Setting(
        "masks of several kinds",
        (_TEXTS, _TEXT_KEY),
        {
            "column_mask_hash_v2_MD5_with_salt_s": r".*\.texts\.(t|v|e)",
            "column_mask_hash_v2_SHA-1_with_salt_s": r".*\.texts\.(q|c)",
            "column_mask_with_3_chars": r".*\.texts\.(t|z)",
            "column_truncate_to_1_chars": r".*\.texts\.(big|v)",
            "schemas_enable": "true",
        },
    ),
    Setting(
        "source types in schemas",
        (_TEXTS, _TEXT_KEY, *_KEYS),
        {
            "column_propagate_source_type": r".*\.k2?\..*,PUBLIC.TEXTS.T",
            "datatype_propagate_source_type": r".*\.(varchar|_text)",
            "schemas_enable": "true",
        },
    ),
    Setting("keys of other columns", _KEYS, {"message_key_columns": "public.k.*:a,b;(.*).nk:b;"}),
    Setting(
        "keys in another order", _KEYS, {"message_key_columns": "public.k2:b;public.k:b,id", "schemas_enable": "true"}
    ),
    Setting(
        "a delimiter and topics of other names",
        (*_KEYS, _WEIRD),
        {"topic_delimiter": "_", "schemas_enable": "true"},
    ),
    Setting(
        "topics and fields with characters as numbers",
        (*_KEYS, _WEIRD),
        {
            "topic_naming_strategy": _NAMING.format("SchemaUnicode"),
            "field_name_adjustment_mode": "avro_unicode",
            "schema_name_adjustment_mode": "avro_unicode",
            "schemas_enable": "true",
        },
    ),
    Setting(
        "topics without a schema, fields for Avro",
        (*_KEYS, _WEIRD),
        {
            "topic_naming_strategy": _NAMING.format("Default"),
            "field_name_adjustment_mode": "avro",
            "schema_name_adjustment_mode": "avro",
            "schemas_enable": "true",
        },
    ),
    Setting(
        "topics without a schema, with characters as numbers",
        (_WEIRD,),
        {"topic_naming_strategy": _NAMING.format("DefaultUnicode")},
    ),
    Setting(
        "several tables to a topic",
        (*_KEYS, _WEIRD),
        {
            "topic_naming_strategy": _NAMING.format("SchemaRegex"),
            "topic_regex": r"(.*)\.k\d*",
            "topic_replacement": "$1.keys",
            "schemas_enable": "true",
        },
    ),
    Setting(
        "several tables to a topic, told apart by a field",
        (*_KEYS, _WEIRD),
        {
            "topic_naming_strategy": _NAMING.format("DefaultRegex"),
            "topic_regex": r"(.*)k(\d*)",
            "topic_replacement": "$1keys",
            "topic_key_field_name": "tbl",
            "topic_key_field_regex": ".*k(.*)",
            "topic_key_field_replacement": "K$1",
        },
    ),
    Setting(
        "several tables to a topic, not told apart",
        _KEYS,
        {
            "topic_naming_strategy": _NAMING.format("SchemaRegex"),
            "topic_regex": r"(.*)k(\d*)",
            "topic_replacement": "$1keys",
            "topic_key_enforce_uniqueness": "false",
        },
    ),
    Setting("messages by prefix", (_MESSAGES,), {"message_prefix_include_list": "foo.*,bar"}),
    Setting("messages but for a prefix", (_MESSAGES,), {"message_prefix_exclude_list": "fo+"}),
    Setting(
        "columns by name",
        (*_KEYS, _WEIRD),
        {
            "column_include_list": r"public.k.*\.(id|a),public.nk.zz,.*N.me.(id|co l),.*marker.*",
            "schemas_enable": "true",
        },
    ),
    Setting("columns but for some", (*_KEYS, _WEIRD), {"column_exclude_list": r"public.k.*\.(a|x),public.nk.a"}),
    Setting(
        "tables by name",
        (*_KEYS, _WEIRD),
        {"table_include_list": r"PUBLIC.k,public.N.*,.*marker"},
    ),
    Setting(
        "tables but for some",
        (*_KEYS, _WEIRD),
        {"table_exclude_list": "public.k", "schema_include_list": "pub.*"},
    ),
    Setting(
        "transactions",
        _TRANSACTIONS,
        {"provide_transaction_metadata": "true", "topic_transaction": "tx", "skipped_operations": "none"},
    ),
    Setting(
        "transactions in schemas, TRUNCATE left out",
        _TRANSACTIONS,
        {"provide_transaction_metadata": "true", "schemas_enable": "true"},
    ),
    Setting(
        "operations left out of transactions",
        _TRANSACTIONS,
        {"provide_transaction_metadata": "true", "skipped_operations": "u,d"},
    ),
    Setting("context in headers", (*_KEYS, _MESSAGES), {"extended_headers_enabled": "true"}),
    Setting(
        "partitions under their table's name",
        (_PARTS,),
        {"publish_via_partition_root": "true"},
    ),
    Setting("partitions under their own names", (_PARTS,), {}),
)
