"""Typed rows: compiles, once for each type and table version, the function that makes a row type from a `Row`.

Dataclasses, TypedDicts, `msgspec.Struct` and pydantic models; never imports pydantic itself: a model brings it along.
Columns without a field are left out (unless the type forbids or collects extras); a field without a column needs a
default. Values are those of `Row`: only msgspec and pydantic look whether they fit the field.
"""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from tailrace.error import ConfigError, Fatal, Reject
from tailrace.model import UNCHANGED, Change, Row, Table

Convert = Callable[[Row], Any]


@dataclass(frozen=True, slots=True)
class _Field:
    """A field of a row type: `name` is what the constructor calls it, `column` the column that fills it."""

    name: str
    column: str
    required: bool
    keyword: bool = False


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a row type needs: its fields, what it does with columns that no field takes, and how to make one."""

    fields: tuple[_Field, ...]
    extra: str = "ignore"


def check_type(kind: Any) -> None:
    """`ConfigError` when rows cannot be made into `kind`."""
    _maker(kind)


def is_row_type(kind: Any) -> bool:
    """Whether rows can be made into `kind`."""
    try:
        check_type(kind)
    except ConfigError:
        return False
    return True


def converter(kind: Any, table: Table) -> Convert:
    """The function that makes a `kind` of a row of this table version; `Fatal` names a field without a column."""
    return _maker(kind)(kind, table)


def fill(change: Change) -> Change:
    """The change with UNCHANGED cells of `after` taken from `before`, as far as the server sent that."""
    after, before = change.after, change.before
    if after is None or before is None:
        return change
    cells = {name: before.text(name) for name, text in after.texts().items() if text is UNCHANGED and name in before}
    return change.replace(after=cells) if cells else change


def _maker(kind: Any) -> Callable[[Any, Table], Convert]:
    if kind is dict or typing.get_origin(kind) is dict:
        return lambda _kind, _table: Row.asdict
    if typing.is_typeddict(kind):
        return _typed_dict
    if isinstance(kind, type):
        if hasattr(kind, "__pydantic_validator__"):
            return _pydantic
        if issubclass(kind, msgspec.Struct):
            return _struct
        if dataclasses.is_dataclass(kind):
            return _dataclass
    raise ConfigError(
        f"Rows cannot be made into {type_name(kind)}",
        hint="annotate with a dataclass, TypedDict, msgspec.Struct or pydantic model; plain Change gives a mapping",
    )


def _dataclass(kind: Any, table: Table) -> Convert:
    shape = _Shape(
        tuple(
            _Field(
                field.name,
                field.name,
                field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
                bool(field.kw_only),
            )
            for field in dataclasses.fields(kind)
            if field.init
        )
    )
    fields = _present(kind, shape, table)
    if fields == shape.fields[: len(fields)] and not any(field.keyword for field in fields):
        columns = [field.column for field in fields]
        return lambda row: kind(*row.values_of(columns))
    as_dict = _as_dict(fields, table)
    return lambda row: kind(**as_dict(row))


def _typed_dict(kind: Any, table: Table) -> Convert:
    fields = tuple(_Field(name, name, name in kind.__required_keys__) for name in typing.get_type_hints(kind))
    return _as_dict(_present(kind, _Shape(fields), table), table)


def _struct(kind: Any, table: Table) -> Convert:
    fields = tuple(
        _Field(field.encode_name, field.encode_name, field.required) for field in msgspec.structs.fields(kind)
    )
    extra = "forbid" if kind.__struct_config__.forbid_unknown_fields else "ignore"
    as_dict = _as_dict(_present(kind, _Shape(fields, extra), table), table)

    def convert(row: Row) -> Any:
        try:
            return msgspec.convert(as_dict(row), kind)
        except msgspec.ValidationError as error:
            raise _reject(kind, table, row, reasons=_msgspec_reasons(str(error))) from None

    return convert


def _pydantic(kind: Any, table: Table) -> Convert:
    config: Mapping[str, Any] = getattr(kind, "model_config", None) or getattr(kind, "__pydantic_config__", None) or {}
    by_name = config.get("populate_by_name") or config.get("validate_by_name")
    declared: Mapping[str, Any] = getattr(kind, "model_fields", None) or kind.__pydantic_fields__
    columns = {column.name for column in table.columns}
    fields = []
    for name, info in declared.items():
        alias = info.validation_alias or info.alias
        column = alias if isinstance(alias, str) and not (by_name and name in columns) else name
        fields.append(_Field(column, column, info.is_required()))
    as_dict = _as_dict(_present(kind, _Shape(tuple(fields), config.get("extra") or "ignore"), table), table)
    validate = kind.__pydantic_validator__.validate_python

    def convert(row: Row) -> Any:
        try:
            made = validate(as_dict(row))
        except ValueError as error:
            raise _reject(kind, table, row, reasons=_pydantic_reasons(error)) from None
        return made

    return convert


def _present(kind: Any, shape: _Shape, table: Table) -> tuple[_Field, ...]:
    """The fields that the table fills; `Fatal` for a required one without a column, or a column that is forbidden."""
    columns = {column.name for column in table.columns}
    for field in shape.fields:
        if field.required and field.column not in columns:
            raise Fatal(
                f"Table {table} has no column {field.column!r} "
                f"for the required field {field.name!r} of {type_name(kind)}",
                hint=f"give the field a default or rename it; the columns are {', '.join(sorted(columns))}",
            )
    spare = [column.name for column in table.columns if column.name not in {field.column for field in shape.fields}]
    if spare and shape.extra == "forbid":
        raise Fatal(
            f"Table {table} has the column {spare[0]!r}, and {type_name(kind)} forbids fields that it does not declare",
            hint="add the field, exclude the column, or allow extra fields",
        )
    present = tuple(field for field in shape.fields if field.column in columns)
    if shape.extra == "allow":
        present += tuple(_Field(name, name, False) for name in spare)
    return present


def _as_dict(fields: tuple[_Field, ...], table: Table) -> Callable[[Row], dict[str, Any]]:
    names = [field.name for field in fields]
    columns = [field.column for field in fields]
    if names == [column.name for column in table.columns]:
        return Row.asdict
    return lambda row: dict(zip(names, row.values_of(columns), strict=True))


def _reject(kind: Any, table: Table, row: Row, *, reasons: str) -> Reject:
    unsent = [name for name, text in row.texts().items() if text is UNCHANGED]
    if unsent:
        return Reject(
            f"{table} does not fit {type_name(kind)}: "
            f"the server did not send the unchanged column {', '.join(unsent)}; "
            f"ALTER TABLE {table} REPLICA IDENTITY FULL makes it do so"
        )
    return Reject(f"{table} does not fit {type_name(kind)}: {reasons}")


def _pydantic_reasons(error: ValueError) -> str:
    """Field and kind of each error; never the message, which may quote the value."""
    errors = error.errors(include_url=False, include_input=False, include_context=False)  # type: ignore[attr-defined]
    return ", ".join(f"{'.'.join(map(str, line['loc'])) or 'the row'} ({line['type']})" for line in errors)


def _msgspec_reasons(message: str) -> str:
    """Where and which types; never the rest of the message, which may quote the value."""
    where = re.search(r"at `(?:key in )?\$\.?([^`]*)`", message)
    expected = re.match(r"Expected `[^`]*`(?:, got `[^`]*`)?", message)
    return f"{where.group(1) if where else 'the row'} ({expected.group(0) if expected else 'not valid'})"


def type_name(kind: Any) -> str:
    """What messages call a row type."""
    return getattr(kind, "__qualname__", str(kind))
