"""Types of extensions, and types that Debezium knows only as unknown ones.

PostGIS is not in the servers' packages: its types are stood in for by types of the same names, with its text, its
delimiter of arrays and modifiers.
"""

from __future__ import annotations

from tests.conformance.cases import Statements, Values


def _standing_in(name: str) -> tuple[str, ...]:
    return (
        f"CREATE TYPE {name}",
        f"CREATE FUNCTION {name}_in(cstring) RETURNS {name} LANGUAGE internal IMMUTABLE STRICT AS 'textin'",
        f"CREATE FUNCTION {name}_out({name}) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout'",
        f"CREATE FUNCTION {name}_typmod(cstring[]) RETURNS int LANGUAGE internal IMMUTABLE STRICT AS 'numerictypmodin'",
        f"CREATE FUNCTION {name}_typmod_out(int) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT"
        " AS 'numerictypmodout'",
        f"CREATE TYPE {name} (INPUT = {name}_in, OUTPUT = {name}_out, STORAGE = extended, DELIMITER = ':',"
        f" TYPMOD_IN = {name}_typmod, TYPMOD_OUT = {name}_typmod_out)",
    )


_POINT = "0101000020E6100000000000000000F03F0000000000000040"

FOREIGN = (
    Values(
        "vectors",
        "v vector(3), h halfvec(3), s sparsevec(5), any_length vector",
        (
            "'[1,2.5,-3e-5]', '[1,2.5,0.1]', '{1:1.5,3:2}/5', '[1]'",
            "'[1e10,0.0001,123456.7]', '[65504,0,-0.5]', '{}/5', '[1,2]'",
            "null, null, null, null",
        ),
    ),
    Values(
        "sparse_vectors",
        "s sparsevec",
        ("'{1:1,17:2,33:3,2:4}/40'", "'{1:1,17:2,33:3}/32767'", "'{5:1}/5'", "'{1:1,2:2,3:3,100:4,200:5,300:6}/300'"),
    ),
    Values("vector_arrays", "v vector(3)[], h halfvec(2)[]", ('\'{"[1,2,3]"}\', \'{"[1,2]","[3,4]"}\'', "'{}', null")),
    Values("array_searches", "t tsvector[]", ("'{a,b}'", "'{}'", "null")),
    Statements(
        "geometries",
        (
            *_standing_in("geometry"),
            *_standing_in("geography"),
            "CREATE TABLE geometries (id int PRIMARY KEY, a geometry, b geography, c geometry[], d geography[],"
            " e geometry NOT NULL, f geography NOT NULL, g geometry(9, 2), h geography(9, 2)[])",
        ),
        (
            f"INSERT INTO geometries VALUES (1, '{_POINT}', '010700000000000000', '{{{_POINT}:NULL}}',"
            f" '{{010700000000000000}}', '{_POINT}', '{_POINT}', '{_POINT}', '{{{_POINT}:{_POINT}}}')",
            "INSERT INTO geometries VALUES (2, '00000000010000000000000000000000000000000000',"
            f" '0020000001000010E600000000000000000000000000000000', '{{}}', null, '{_POINT}', '{_POINT}')",
            f"INSERT INTO geometries VALUES (3, null, null, null, null, '{_POINT}', '{_POINT}')",
            "DELETE FROM geometries WHERE id = 1",
        ),
    ),
)

UNKNOWN = (
    Values(
        "unknown_shapes",
        "l line, s lseg, b box, p path, y polygon, k circle",
        (
            "'{1,2,3}', '[(1,2),(3,4)]', '(3,4),(1,2)', '[(1,2),(3,4)]', '((1,2),(3,4))', '<(1,2),3>'",
            "'{1.5,-2,1e10}', '[(0.0001,1e7),(3,4)]', '(3,4),(1,2)', '((1,2),(3,4))', '((1,2),(3,4),(5,6))',"
            " '<(1.5,-2e-5),0>'",
            "null, null, null, null, null, null",
        ),
    ),
    Values(
        "unknown_shape_arrays",
        "l line[], b box[]",
        ("'{\"{1,2,3}\"}', '{(3,4),(1,2);(7,8),(5,6)}'", "'{}', '{}'", "null, null"),
    ),
    Values(
        "unknown_multiranges",
        "i int8multirange, n nummultirange, d datemultirange, t tsmultirange, z tstzmultirange",
        (
            "'{[1,2),[4,5)}', '{(1.5,2.5]}', '{[2024-01-01,2024-01-02)}', '{[2024-01-01 00:00,)}',"
            " '{[2024-01-01 00:00+00,2024-01-02 00:00+00)}'",
            "'{}', '{}', '{(,)}', '{(,)}', '{}'",
            "null, null, null, null, null",
        ),
    ),
    Values(
        "unknown_scalars",
        "c pair, m int4multirange, q tsquery, n pg_lsn, x xid, x8 xid8, jp jsonpath, t tid, s pg_snapshot, r regclass",
        (
            "'(1,x)', '{[1,2),[4,5)}', 'fat & cat', '0/16B3748', '5', '7', '$.a', '(0,1)', '1:1:', 'pg_class'",
            "'(,\"é ,\"\"\")', '{}', '!a', '0/0', '4294967295', '0', '$[*] ? (@ > 1)', '(1,2)', '1:3:2', 'pg_type'",
            "null, null, null, null, null, null, null, null, null, null",
        ),
    ),
    Values(
        "unknown_arrays",
        "jp jsonpath[], ma int4multirange[], ca pair[], qa tsquery[], xa xid[], la pg_lsn[]",
        (
            "'{$.a}', '{\"{[1,2)}\"}', '{\"(1,x)\"}', '{fat}', '{5}', '{0/1}'",
            "'{}', null, null, null, '{1,2}', null",
        ),
    ),
    Values(
        "unknown_cursors", "r refcursor, ra refcursor[]", ("'c', '{c}'", "'', null", "null, '{}'"), phases=("stream",)
    ),
    Values("unknown_isbns", "i isbn, e ean13", ("'978-0-393-04002-9', '9780393040029'",)),
)
