"""By which operator values of a column are equal, and its index finds them. Never reads a row.

The sessions have an empty `search_path`: `=` is the operator of `pg_catalog` there, of which a type that an extension
brought has none, or one that is meant for another type (a citext is compared as a text, and without its index).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from psycopg import sql

from tailrace.dialect.postgres.session import Connection, fetch

__all__ = ["EQUAL", "equal", "operators"]

EQUAL: Final = "="

_FOREIGN = """
WITH RECURSIVE down AS (
    SELECT a.attname, a.atttypid AS oid FROM pg_attribute AS a
    WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT d.attname, t.typbasetype FROM down AS d JOIN pg_type AS t ON t.oid = d.oid AND t.typtype = 'd'
)
SELECT d.attname, format('OPERATOR(%%I.%%s)', n.nspname, o.oprname)
FROM down AS d
JOIN pg_opclass AS k ON k.opcintype = d.oid AND k.opcdefault
JOIN pg_am AS a ON a.oid = k.opcmethod AND a.amname = 'btree'
JOIN pg_amop AS m ON m.amopfamily = k.opcfamily AND m.amoplefttype = k.opcintype AND m.amoprighttype = k.opcintype
    AND m.amopstrategy = 3
JOIN pg_operator AS o ON o.oid = m.amopopr
JOIN pg_namespace AS n ON n.oid = o.oprnamespace
WHERE n.nspname <> 'pg_catalog'
"""


def operators(connection: Connection, oid: int) -> Mapping[str, str]:
    """The operator, as SQL, of each column of a table whose type has its own elsewhere than in `pg_catalog`."""
    return dict(fetch(connection, _FOREIGN, {"oid": oid}))


def equal(cell: sql.Composable, value: sql.Composable, operator: str) -> sql.Composed:
    """That a cell has this value."""
    return sql.SQL("{} {} {}").format(cell, sql.SQL(operator), value)
