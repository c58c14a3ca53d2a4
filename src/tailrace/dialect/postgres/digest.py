"""The digest of a row, computed by the server, that is equal on two servers when the texts of all cells are equal.

Never reads a row. Types whose own hash tells all texts apart are hashed as they are; the others (a numeric's digits, a
float's sign of zero) by their wire format, or as text. The functions are those that place rows in hash partitions, so
that they agree between releases and machines of one byte order; `PROBE` lets two servers prove it.
"""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import sql

__all__ = ["PROBE", "digest"]

_PLAIN = frozenset(
    ("bool", "int2", "int4", "int8", "oid", "bytea", "date", "time", "timestamp", "timestamptz", "uuid", "macaddr")
)
_STRINGS = frozenset(("text", "varchar"))
_SENT = {"numeric": "numeric_send", "float4": "float4send", "float8": "float8send"}

PROBE = """SELECT hashint8extended(hash_record_extended(ROW(
    true, 7::int2, 7::int4, 7::int8, 7::oid, '\\x00ff'::bytea, '2026-11-22'::date, '12:34:56.5'::time,
    '2026-11-22 12:34:56.5'::timestamp, '2026-11-22 12:34:56.5+00'::timestamptz,
    'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, 'é'::text COLLATE "C", numeric_send(1.50), float8send('-0'),
    NULL::int4
), 0), 0)::text"""
"""One row of every kind of cell: servers that answer alike digest alike."""


def digest(cells: Iterable[tuple[sql.Composable, str, bool]]) -> sql.Composed:
    """The digest, an int8, of cells given as (expression, portable type, must be compared as text)."""
    row = sql.SQL(", ").join(_cell(expression, type, as_text) for expression, type, as_text in cells)
    return sql.SQL("hashint8extended(hash_record_extended(ROW({}), 0), 0)").format(row)


def _cell(expression: sql.Composable, type: str, as_text: bool) -> sql.Composed:
    kind = type.partition("(")[0]
    array = type.endswith("[]")
    if as_text or array:
        return sql.SQL('{}::text COLLATE "C"').format(expression)
    if kind in _PLAIN:
        return sql.SQL("{}").format(expression)
    if kind in _STRINGS:
        return sql.SQL('{} COLLATE "C"').format(expression)
    if kind in _SENT:
        return sql.SQL(_SENT[kind] + "({})").format(expression)
    return sql.SQL('{}::text COLLATE "C"').format(expression)
