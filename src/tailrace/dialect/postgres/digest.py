"""The digest of a row, computed by the server, that is equal on two servers when the texts of all cells are equal.

Never reads a row. Types whose own hash tells all texts apart are hashed as they are; the others (a numeric's digits, a
float's sign of zero) by their wire format, or as text. The functions are those that place rows in hash partitions, so
that they agree between releases and machines of one byte order; `PROBE` lets two servers prove it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from psycopg import sql

__all__ = ["PROBE", "digest", "spelled"]

_PLAIN = frozenset(
    ("bool", "int2", "int4", "int8", "oid", "bytea", "date", "time", "timestamp", "timestamptz", "uuid", "macaddr")
)
_STRINGS = frozenset(("text", "varchar"))
_SENT = {"numeric": "numeric_send", "float4": "float4send", "float8": "float8send"}
_KEEPS_TEXT = re.compile(r"text|character varying(\(\d+\))?")
_SCALED = re.compile(r"numeric\(\d+,-?\d+\)(\[\])?")

PROBE = """SELECT hashint8extended(hash_record_extended(ROW(
    true, 7::int2, 7::int4, 7::int8, 7::oid, '\\x00ff'::bytea, '2026-11-22'::date, '12:34:56.5'::time,
    '2026-11-22 12:34:56.5'::timestamp, '2026-11-22 12:34:56.5+00'::timestamptz,
    'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, 'é'::text COLLATE "C", numeric_send(1.50), float8send('-0'),
    NULL::int4
), 0), 0)::text"""
"""One row of every kind of cell: servers that answer alike digest alike."""


def digest(cells: Iterable[tuple[sql.Composable, str, str, str]]) -> sql.Composed:
    """The digest, an int8, of cells given as (expression, portable type, the source's type, the target's type)."""
    row = sql.SQL(", ").join(_cell(cell, type, native, held=held) for cell, type, native, held in cells)
    return sql.SQL("hashint8extended(hash_record_extended(ROW({}), 0), 0)").format(row)


def spelled(expression: sql.Composable, type: str) -> sql.Composed:
    """The text of a cell of this portable type, as the server sends it; null if the cell is.

    A cast to text says something else of some types: `true` for `t`, an inet with `/32`, a char(n) without its blanks.
    """
    if type.partition("(")[0] in _STRINGS:
        return sql.SQL("{}::text").format(expression)
    # concat makes '' of null. A composite value whose attributes are all null IS NULL.
    return sql.SQL("(CASE WHEN {0} IS DISTINCT FROM NULL THEN pg_catalog.concat({0}) END)").format(expression)


def _cell(expression: sql.Composable, type: str, native: str, *, held: str) -> sql.Composed:
    if native != held:
        return sql.SQL('{} COLLATE "C"').format(_as_kept(expression, type, held))
    kind = "" if type.endswith("[]") else type.partition("(")[0]
    if kind in _PLAIN:
        return sql.SQL("{}").format(expression)
    if kind in _STRINGS:
        return sql.SQL('{} COLLATE "C"').format(expression)
    if kind in _SENT:
        return sql.SQL(_SENT[kind] + "({})").format(expression)
    return sql.SQL('{}::text COLLATE "C"').format(expression)


def _as_kept(expression: sql.Composable, type: str, held: str) -> sql.Composed:
    """What a target with a column of another type keeps of a cell, as text."""
    if _KEEPS_TEXT.fullmatch(held):
        return spelled(expression, type)
    if _SCALED.fullmatch(held):
        return sql.SQL("({}::{})::text").format(expression, sql.SQL(held))
    return sql.SQL("{}::text").format(expression)
