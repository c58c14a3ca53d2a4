"""PostgreSQL's SQL for changes of rows: what is sent for one change. Never sends it, never sees a value.

All that knows this server's grammar lies here, in `stage.py` and `ddl.py`; what is done with the statements does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from psycopg import sql

from tailrace.dialect.postgres import equality
from tailrace.sink.postgres.target import Target, TargetColumn

__all__ = [
    "delete",
    "delete_one",
    "equal",
    "in_ours",
    "insert",
    "literals",
    "names",
    "truncate",
    "update",
    "update_one",
    "upsert",
]

_Piece = sql.Composable


def insert(target: Target) -> sql.Composed:
    """A new row: $1 … are the target's columns."""
    return sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES ({})").format(
        target.name, names(target), _list([*_numbers(1, len(target.columns)), *literals(target)])
    )


def update(target: Target, sent: Sequence[TargetColumn], *, moved: bool, takes: bool = False) -> sql.Composed:
    """Change what was `sent` of a row; fails (22012) without that row.

    The key it had follows the cells when it has `moved`, and is among them when not. One that has moved `takes` the
    place of a row of its new key where there is none of its old one.
    """
    found = sql.SQL(" + ").join(
        sql.SQL("(SELECT pg_catalog.count(*) FROM {})").format(sql.SQL(name)) for name in _names_of(takes)
    )
    return sql.SQL("WITH {} SELECT 1 / ({})").format(_attempts(target, sent, moved=moved, takes=takes), found)


def upsert(target: Target, *, moved: bool, takes: bool = False) -> sql.Composed:
    """As `update` with all columns, but a row that is missing is added: then one row is counted."""
    missing = _all([sql.SQL("NOT EXISTS (SELECT FROM {})").format(sql.SQL(name)) for name in _names_of(takes)])
    return sql.SQL("WITH {} INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} WHERE {}").format(
        _attempts(target, target.columns, moved=moved, takes=takes),
        target.name,
        names(target),
        _list([*_numbers(1, len(target.columns)), *literals(target)]),
        missing,
    )


def delete(target: Target) -> sql.Composed:
    """Remove the row whose key $1 … is."""
    return sql.SQL("DELETE FROM {} AS t WHERE {}").format(target.name, _key(target, 1))


def delete_one(target: Target) -> sql.Composed:
    """Remove one row that equals $1 … in all columns."""
    return sql.SQL("DELETE FROM {} AS t WHERE {}").format(target.name, _one(target, 1))


def update_one(target: Target, sent: Sequence[TargetColumn]) -> sql.Composed:
    """Change one row that equals, in all columns, what follows the `sent` columns; fails (22012) without one."""
    numbered = list(zip(_numbers(1, len(sent)), sent, strict=True))
    return sql.SQL("WITH changed AS ({}) SELECT 1 / pg_catalog.count(*) FROM changed").format(
        _changed(target, numbered, _one(target, len(sent) + 1))
    )


def truncate(targets: Sequence[Target], *, restart: bool) -> list[sql.Composed]:
    """Empty these tables, all at once: foreign keys between them do not matter. Of a shared table only our rows go.

    Never with CASCADE, as `apply_handle_truncate` has it: the source names every table that it has emptied, and what
    else refers to them at the target is not ours.
    """
    whole = [target.name for target in targets if not target.constants]
    statements = [
        sql.SQL("DELETE FROM {} AS t WHERE {}").format(target.name, _all(in_ours(target)))
        for target in targets
        if target.constants
    ]
    if whole:
        options = sql.SQL(" RESTART IDENTITY" if restart else "")
        statements.append(sql.SQL("TRUNCATE {}{}").format(_list(whole), options))
    return statements


def names(target: Target) -> sql.Composed:
    """The columns that are written, and the constant ones behind them."""
    return _list([*(sql.Identifier(c.name) for c in target.columns), *map(sql.Identifier, target.constants)])


def _names_of(takes: bool) -> tuple[str, ...]:
    return ("changed", "taken") if takes else ("changed",)


def _attempts(target: Target, sent: Sequence[TargetColumn], *, moved: bool, takes: bool) -> sql.Composed:
    """The update of a row's own key, and of the new one where that finds none."""
    attempts = [sql.SQL("changed AS ({})").format(_update(target, sent, moved=moved))]
    if takes:
        unless = sql.SQL("NOT EXISTS (SELECT FROM changed)")
        attempts.append(sql.SQL("taken AS ({})").format(_update(target, sent, moved=False, unless=unless)))
    return _list(attempts)


def _update(target: Target, sent: Sequence[TargetColumn], *, moved: bool, unless: _Piece | None = None) -> sql.Composed:
    """The key follows what was `sent` when the row has `moved`; a key that stays is among what was sent."""
    numbered = list(zip(_numbers(1, len(sent)), sent, strict=True))
    # A key that stays is not assigned: an identity column may be GENERATED ALWAYS.
    held = set() if moved else set(target.key)
    assigned = [pair for pair in numbered if pair[1].name not in held]
    if moved:
        where = _key(target, len(sent) + 1)
    else:
        cells = [equal(target, column.name, number) for number, column in numbered if column.name in held]
        where = _all([*cells, *in_ours(target)])
    return _changed(target, assigned, where if unless is None else _all([where, unless]))


def _changed(target: Target, assigned: Sequence[tuple[_Piece, TargetColumn]], where: _Piece) -> sql.Composed:
    """Update the rows and return one for each; where nothing was sent that could change, only look for them."""
    if not assigned:
        return sql.SQL("SELECT 1 FROM {} AS t WHERE {}").format(target.name, where)
    cells = (sql.SQL("{} = {}").format(sql.Identifier(column.name), number) for number, column in assigned)
    return sql.SQL("UPDATE {} AS t SET {} WHERE {} RETURNING 1").format(target.name, _list(cells), where)


def _key(target: Target, first: int) -> sql.Composed:
    own = [name for name in target.key if name not in target.constants]
    cells = [equal(target, name, number) for name, number in zip(own, _numbers(first, len(own)), strict=True)]
    return _all([*cells, *in_ours(target)])


def equal(target: Target, name: str, value: sql.Composable) -> sql.Composed:
    """That the target's column, of a row `t`, has this value."""
    return equality.equal(sql.Identifier("t", name), value, target.equals.get(name, equality.EQUAL))


def _one(target: Target, first: int) -> sql.Composed:
    """Where one of the rows is that hold these values.

    Text is compared, since not every type has an equality, and passed through the type, which may spell it otherwise.
    """
    cells = [
        sql.SQL("t.{}::text IS NOT DISTINCT FROM ({}::{})::text").format(
            sql.Identifier(column.name),
            number,
            sql.SQL(column.type),
        )
        for column, number in zip(target.columns, _numbers(first, len(target.columns)), strict=True)
    ]
    # A partitioned table has rows of the same ctid.
    return sql.SQL("(t.tableoid, t.ctid) = (SELECT t.tableoid, t.ctid FROM {} AS t WHERE {} LIMIT 1)").format(
        target.name, _all([*cells, *in_ours(target)])
    )


def in_ours(target: Target) -> list[sql.Composed]:
    """That a row `t` of a shared table is one of this pipeline."""
    return [equal(target, name, sql.Literal(value)) for name, value in target.constants.items()]


def literals(target: Target) -> list[sql.Composable]:
    """The values of the constant columns."""
    return [sql.Literal(value) for value in target.constants.values()]


def _numbers(first: int, count: int) -> list[_Piece]:
    return [sql.SQL(f"${number}") for number in range(first, first + count)]


def _all(conditions: Sequence[_Piece]) -> sql.Composed:
    return sql.SQL(" AND ").join(conditions)


def _list(pieces: Iterable[_Piece]) -> sql.Composed:
    return sql.SQL(", ").join(pieces)
