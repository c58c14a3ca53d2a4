"""Statements whose events must be those of the real engine: keys, identities, transactions, TOAST, other columns."""

from __future__ import annotations

from tests.conformance.cases import Statements

_UUID = "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"
_LONG = "repeat('x', 9000)"
_NOT_NULL = (
    "b bool NOT NULL, i2 smallint NOT NULL, i8 bigint NOT NULL, o oid NOT NULL, f4 real NOT NULL, f8 float8 NOT NULL,"
    " n numeric NOT NULL, n2 numeric(12, 2) NOT NULL, m money NOT NULL, t text NOT NULL, by bytea NOT NULL,"
    " d date NOT NULL, ti time NOT NULL, t3 time(3) NOT NULL, tz timetz NOT NULL, ts timestamp NOT NULL,"
    " tsz timestamptz(3) NOT NULL, iv interval NOT NULL, u uuid NOT NULL, j jsonb NOT NULL, e mood NOT NULL,"
    " ine inet NOT NULL, b1 bit(1) NOT NULL, b3 bit(3) NOT NULL, p point NOT NULL, tv tsvector NOT NULL,"
    " r int4range NOT NULL, h hstore NOT NULL, lt ltree NOT NULL, ct citext NOT NULL, ia int[] NOT NULL"
)
_NOT_NULL_ROW = (
    "1, true, 1, 1, 1, 1, 1, 1, 1, 1, 't', '\\x01', '2024-01-01', '00:00:01', '00:00:01', '00:00:01+00', '2024-01-01',"
    f" '2024-01-01', '1 day', {_UUID}, '1', 'ok', '::1', '1', '111', '(1,1)', 'a', '[1,2)', 'a=>1', 'a', 'a', '{{1}}'"
)

SHAPES = (
    Statements(
        "rows",
        ("CREATE TABLE rows (id int PRIMARY KEY, t text)", "INSERT INTO rows VALUES (1, 'a'), (2, 'b'), (3, 'c')"),
        ("INSERT INTO rows VALUES (4, 'd')", "UPDATE rows SET t = 'e' WHERE id = 4", "DELETE FROM rows WHERE id = 4"),
    ),
    Statements(
        "transactions",
        ("CREATE TABLE transactions (id int PRIMARY KEY, t text)",),
        (
            (
                "INSERT INTO transactions VALUES (1, 'a'), (2, 'b')",
                "UPDATE transactions SET t = 'c'",
                "DELETE FROM transactions",
            ),
            (
                "INSERT INTO transactions VALUES (3, 'a')",
                "SAVEPOINT s",
                "INSERT INTO transactions VALUES (4, 'x')",
                "ROLLBACK TO s",
                "INSERT INTO transactions VALUES (5, 'b')",
            ),
        ),
    ),
    Statements(
        "key_changes",
        ("CREATE TABLE key_changes (id int PRIMARY KEY, t text)",),
        ("INSERT INTO key_changes VALUES (1, 'a')", "UPDATE key_changes SET id = 2", "DELETE FROM key_changes"),
    ),
    Statements(
        "key_changes_full",
        (
            "CREATE TABLE key_changes_full (id int PRIMARY KEY, t text)",
            "ALTER TABLE key_changes_full REPLICA IDENTITY FULL",
        ),
        ("INSERT INTO key_changes_full VALUES (1, 'a')", "UPDATE key_changes_full SET id = 2, t = 'b'"),
    ),
    Statements(
        "key_of_four",
        (
            "CREATE TABLE key_of_four (a text, b bigint, c timestamptz, d numeric(10, 2), x int,"
            " PRIMARY KEY (c, a, b, d))",
        ),
        (
            "INSERT INTO key_of_four VALUES ('a\"', 1, '2024-01-01 00:00:00.12+00', 1.5, 1)",
            "UPDATE key_of_four SET x = 2",
            "UPDATE key_of_four SET b = 2",
            "DELETE FROM key_of_four",
        ),
    ),
    Statements(
        "key_of_odd_types",
        ("CREATE TABLE key_of_odd_types (a float8, n numeric, b bool, d date, u uuid, PRIMARY KEY (a, n, b, d, u))",),
        (
            f"INSERT INTO key_of_odd_types VALUES (1.5, 1.10, true, '2024-01-01', {_UUID})",
            "UPDATE key_of_odd_types SET n = 1.100",
            "DELETE FROM key_of_odd_types",
        ),
    ),
    Statements(
        "identity_full",
        (
            "CREATE TABLE identity_full (id int PRIMARY KEY, t text, n int)",
            "ALTER TABLE identity_full REPLICA IDENTITY FULL",
        ),
        (
            "INSERT INTO identity_full VALUES (1, 'a', null)",
            "UPDATE identity_full SET t = 'b'",
            "UPDATE identity_full SET t = null, n = 3",
            "DELETE FROM identity_full",
        ),
    ),
    Statements(
        "identity_nothing",
        (
            "CREATE TABLE identity_nothing (id int PRIMARY KEY, t text)",
            "ALTER TABLE identity_nothing REPLICA IDENTITY NOTHING",
        ),
        ("INSERT INTO identity_nothing VALUES (1, 'a')",),
    ),
    Statements(
        "identity_index",
        (
            "CREATE TABLE identity_index (a uuid, b int NOT NULL, x int)",
            "CREATE UNIQUE INDEX identity_index_b ON identity_index (b)",
            "ALTER TABLE identity_index REPLICA IDENTITY USING INDEX identity_index_b",
        ),
        (
            f"INSERT INTO identity_index VALUES ({_UUID}, 1, 1)",
            "UPDATE identity_index SET x = 2",
            "UPDATE identity_index SET b = 2",
            "DELETE FROM identity_index",
        ),
    ),
    Statements(
        "no_key",
        (
            "CREATE TABLE no_key (x int, t text)",
            "INSERT INTO no_key VALUES (1, 'a')",
            "ALTER TABLE no_key REPLICA IDENTITY FULL",
        ),
        ("INSERT INTO no_key VALUES (2, 'b')", "UPDATE no_key SET x = 3 WHERE x = 2", "DELETE FROM no_key WHERE x = 3"),
    ),
    Statements(
        "no_key_inserts",
        ("CREATE TABLE no_key_inserts (x int, t text)", "INSERT INTO no_key_inserts VALUES (1, 'a')"),
        ("INSERT INTO no_key_inserts VALUES (2, 'b')",),
    ),
    Statements(
        "not_null",
        (f"CREATE TABLE not_null (id int PRIMARY KEY, {_NOT_NULL})",),
        (f"INSERT INTO not_null VALUES ({_NOT_NULL_ROW})", "DELETE FROM not_null"),
    ),
    Statements(
        "toast",
        (
            "CREATE TABLE toast (id int PRIMARY KEY, x int, t text, v varchar, j json, jb jsonb, h hstore,"
            " tv tsvector, ta text[], ia int[], ba bigint[], ua uuid[], va varchar[], ct citext, c char(9000),"
            " ja json[], jba jsonb[], ca char(3)[])",
            *(
                f"ALTER TABLE toast ALTER {name} SET STORAGE EXTERNAL"
                for name in ["t", "v", "j", "jb", "h", "tv", "ta", "ia", "ba", "ua", "va", "ct", "c", "ja", "jba", "ca"]
            ),
        ),
        (
            f"INSERT INTO toast VALUES (1, 1, {_LONG}, {_LONG}, to_json({_LONG}), to_jsonb({_LONG}),"
            f" hstore('a', {_LONG}), (SELECT string_agg('lex' || i, ' ') FROM generate_series(1, 1000) i)::tsvector,"
            f" array_fill('abc'::text, ARRAY[1000]), array_fill(1, ARRAY[1000]), array_fill(1::bigint, ARRAY[1000]),"
            f" array_fill({_UUID}::uuid, ARRAY[1000]), array_fill('abc'::varchar, ARRAY[1000]),"
            f" {_LONG}, {_LONG}, array_fill('1'::json, ARRAY[2000]), array_fill('1'::jsonb, ARRAY[2000]),"
            " array_fill('abc'::char(3), ARRAY[2000]))",
            "UPDATE toast SET x = 2",
            "UPDATE toast SET t = 'short'",
            "UPDATE toast SET id = 2",
        ),
    ),
    Statements(
        "toast_binary",
        (
            "CREATE TABLE toast_binary (id int PRIMARY KEY, x int, by bytea, bya bytea[], da date[])",
            *(f"ALTER TABLE toast_binary ALTER {name} SET STORAGE EXTERNAL" for name in ("by", "bya", "da")),
        ),
        (
            f"INSERT INTO toast_binary VALUES (1, 1, {_LONG}::bytea, array_fill(''::bytea, ARRAY[1000]),"
            " array_fill('2024-01-01'::date, ARRAY[1000]))",
            "UPDATE toast_binary SET x = 2",
            "UPDATE toast_binary SET id = 2",
        ),
    ),
    Statements(
        "toast_lost",
        (
            "CREATE TABLE toast_lost (id int PRIMARY KEY, x int, b bool[], s sparsevec)",
            "ALTER TABLE toast_lost ALTER b SET STORAGE EXTERNAL, ALTER s SET STORAGE EXTERNAL",
        ),
        (
            "INSERT INTO toast_lost SELECT 1, 1, array_fill(true, ARRAY[9000]),"
            " ('{' || string_agg(i || ':1', ',') || '}/9000')::sparsevec FROM generate_series(1, 2000) AS i",
            "UPDATE toast_lost SET x = 2",
        ),
    ),
    Statements(
        "toast_full",
        (
            "CREATE TABLE toast_full (id int PRIMARY KEY, x int, t text)",
            "ALTER TABLE toast_full ALTER t SET STORAGE EXTERNAL",
            "ALTER TABLE toast_full REPLICA IDENTITY FULL",
        ),
        (
            f"INSERT INTO toast_full VALUES (1, 1, {_LONG})",
            "UPDATE toast_full SET x = 2",
            "UPDATE toast_full SET id = 2",
        ),
    ),
    Statements(
        '"We ird$.Näme"',
        ('CREATE TABLE "We ird$.Näme" (id int PRIMARY KEY, "co l" int, "qu""ote" int, "Üp" int)',),
        ('INSERT INTO "We ird$.Näme" VALUES (1, 2, 3, 4)',),
    ),
    Statements(
        "altered",
        ("CREATE TABLE altered (id int PRIMARY KEY, a int, b text)", "INSERT INTO altered VALUES (1, 1, 'x')"),
        (
            "ALTER TABLE altered ADD c int",
            "INSERT INTO altered VALUES (2, 2, 'y', 3)",
            "ALTER TABLE altered DROP a",
            "INSERT INTO altered VALUES (3, 'z', 4)",
            "ALTER TABLE altered RENAME b TO d",
            "INSERT INTO altered VALUES (4, 'w', 5)",
        ),
    ),
    Statements(
        "altered_types",
        ("CREATE TABLE altered_types (id int PRIMARY KEY, a int, v varchar(5), n numeric(5, 1), t timestamp(3))",),
        (
            "INSERT INTO altered_types VALUES (1, 1, 'a', 1.5, '2024-01-01')",
            "ALTER TABLE altered_types ALTER a TYPE bigint, ALTER v TYPE varchar(9), ALTER n TYPE numeric(9, 3)",
            "INSERT INTO altered_types VALUES (2, 2, 'b', 2.5, '2024-01-01')",
            "ALTER TABLE altered_types ALTER t TYPE timestamp, ALTER a TYPE text",
            "INSERT INTO altered_types VALUES (3, 'c', 'c', 3.5, '2024-01-01')",
            "ALTER TABLE altered_types DROP v, ADD v int",
            "INSERT INTO altered_types VALUES (4, 'd', 4.5, '2024-01-01', 4)",
        ),
        apart=True,
    ),
    Statements(
        "altered_nulls",
        ("CREATE TABLE altered_nulls (id int PRIMARY KEY, a int, b text)",),
        (
            "INSERT INTO altered_nulls VALUES (1, 1, 'a')",
            "ALTER TABLE altered_nulls ADD c int NOT NULL DEFAULT 7",
            "INSERT INTO altered_nulls VALUES (2, 2, 'b')",
            "UPDATE altered_nulls SET a = 3 WHERE id = 1",
            "DELETE FROM altered_nulls WHERE id = 1",
            ("ALTER TABLE altered_nulls ADD d text", "INSERT INTO altered_nulls VALUES (3, 3, 'c', 3, 'd')"),
        ),
        apart=True,
    ),
    Statements(
        "altered_enum",
        ("CREATE TYPE shade AS ENUM ('light')", "CREATE TABLE altered_enum (id int PRIMARY KEY, s shade)"),
        (
            "INSERT INTO altered_enum VALUES (1, 'light')",
            "ALTER TYPE shade ADD VALUE 'dark'",
            "INSERT INTO altered_enum VALUES (2, 'dark')",
        ),
        apart=True,
    ),
    Statements(
        "altered_identity",
        ("CREATE TABLE altered_identity (id int PRIMARY KEY, a int)",),
        (
            "INSERT INTO altered_identity VALUES (1, 1)",
            "ALTER TABLE altered_identity REPLICA IDENTITY FULL",
            "UPDATE altered_identity SET a = 2",
            "ALTER TABLE altered_identity REPLICA IDENTITY DEFAULT",
            "UPDATE altered_identity SET a = 3",
            "DELETE FROM altered_identity",
        ),
        apart=True,
    ),
    Statements(
        "altered_key",
        ("CREATE TABLE altered_key (id int PRIMARY KEY, a int NOT NULL)",),
        (
            "INSERT INTO altered_key VALUES (1, 1)",
            "ALTER TABLE altered_key DROP CONSTRAINT altered_key_pkey, ADD PRIMARY KEY (a)",
            "INSERT INTO altered_key VALUES (2, 2)",
            "DELETE FROM altered_key WHERE a = 2",
        ),
        apart=True,
    ),
    Statements(
        "unique_two",
        (
            "CREATE TABLE unique_two (a int NOT NULL, b int NOT NULL, c int NOT NULL)",
            "CREATE UNIQUE INDEX a_two ON unique_two (c, a)",
            "CREATE UNIQUE INDEX z_two ON unique_two (b)",
        ),
        ("INSERT INTO unique_two VALUES (1, 2, 3)",),
    ),
    Statements(
        "unique_equals",
        (
            "CREATE TABLE unique_equals (a int NOT NULL, b int NOT NULL)",
            "CREATE UNIQUE INDEX z_equals ON unique_equals (a)",
            "CREATE UNIQUE INDEX a_equals ON unique_equals (b)",
        ),
        ("INSERT INTO unique_equals VALUES (1, 2)",),
    ),
    Statements(
        "unique_clustered",
        (
            "CREATE TABLE unique_clustered (a int NOT NULL, b int NOT NULL)",
            "CREATE UNIQUE INDEX a_clustered ON unique_clustered (a)",
            "CREATE UNIQUE INDEX z_clustered ON unique_clustered (b)",
            "ALTER TABLE unique_clustered CLUSTER ON z_clustered",
        ),
        ("INSERT INTO unique_clustered VALUES (1, 2)",),
    ),
    Statements(
        "unique_replicated",
        (
            "CREATE TABLE unique_replicated (a int NOT NULL, b int NOT NULL)",
            "CREATE UNIQUE INDEX a_replicated ON unique_replicated (a)",
            "CREATE UNIQUE INDEX z_replicated ON unique_replicated (b)",
            "ALTER TABLE unique_replicated REPLICA IDENTITY USING INDEX a_replicated",
        ),
        ("INSERT INTO unique_replicated VALUES (1, 2)", "DELETE FROM unique_replicated"),
    ),
    Statements(
        "unique_expression",
        (
            "CREATE TABLE unique_expression (a int NOT NULL, b int NOT NULL)",
            "CREATE UNIQUE INDEX ON unique_expression ((a + 1))",
        ),
        ("INSERT INTO unique_expression VALUES (1, 2)",),
    ),
    Statements(
        "unique_key",
        ("CREATE TABLE unique_key (b int NOT NULL UNIQUE, x int)", "INSERT INTO unique_key VALUES (1, 1)"),
        ("INSERT INTO unique_key VALUES (2, 2)",),
    ),
    Statements(
        "unique_key_full",
        (
            "CREATE TABLE unique_key_full (b int NOT NULL UNIQUE, x int)",
            "ALTER TABLE unique_key_full REPLICA IDENTITY FULL",
        ),
        (
            "INSERT INTO unique_key_full VALUES (1, 1)",
            "UPDATE unique_key_full SET b = 2",
            "DELETE FROM unique_key_full",
        ),
    ),
    Statements(
        "origins",
        (
            "CREATE TABLE origins (id int PRIMARY KEY)",
            # It is the whole server's: a run that failed has left it.
            "SELECT pg_replication_origin_create(name) FROM (VALUES ('far \"away\"')) AS made (name)"
            " WHERE NOT EXISTS (SELECT FROM pg_replication_origin WHERE roname = name)",
        ),
        (
            "SELECT pg_replication_origin_session_setup('far \"away\"')",
            ("SELECT pg_replication_origin_xact_setup('0/AABBCC', '2024-01-01')", "INSERT INTO origins VALUES (1)"),
            "SELECT pg_replication_origin_session_reset()",
            "INSERT INTO origins VALUES (2)",
            "SELECT pg_replication_origin_drop('far \"away\"')",
        ),
    ),
    Statements(
        "message",
        (),
        (
            "SELECT pg_logical_emit_message(true, 'pre\"fix', 'cont\"ent')",
            "SELECT pg_logical_emit_message(true, '', '')",
            "SELECT pg_logical_emit_message(false, 'at once', 'now')",
            "SELECT pg_logical_emit_message(true, 'bytes', '\\x00ff'::bytea)",
        ),
    ),
)
