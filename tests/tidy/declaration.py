"""Reads how a public name is declared: its signature, its members and what they say of themselves. Runs none of it.

What Rust owns is declared in `_native.pyi`, all else in its module; so both are read as source, and a default stands on
the page as it stands in the code.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Literal, get_args, get_origin

from tailrace import _native
from tests.tidy import tree

WIDTH = 100
"""A signature that is longer stands one parameter a line."""
_STUB = tree.ROOT / "src" / "tailrace" / "_native.pyi"
_UNITS = ("bytes", "KiB", "MiB", "GiB")
_Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Member:
    """What a class has: `shown` is how it is written, with its parameters and types."""

    name: str
    shown: str
    doc: str


@dataclass(frozen=True, slots=True)
class Declared:
    """One public name: `signature` is how it is made or called, empty where users get it and never make it."""

    signature: str
    doc: str
    members: tuple[Member, ...]


def resolve(name: str) -> object:
    """What `tr.source.Postgres` is: an attribute of the package, or of the longest module that the name begins with."""
    parts = re.sub(r"^tr\b", "tailrace", name).split(".")
    found: object = importlib.import_module(parts[0])
    for place, part in enumerate(parts[1:], 2):
        found = getattr(found, part) if hasattr(found, part) else importlib.import_module(".".join(parts[:place]))
    return found


def declared(name: str, members: tuple[str, ...] | None = None) -> Declared:
    """How `name` is declared; `members` are those to be shown, in this order, None: all that are public and its own."""
    found = resolve(name)
    assert inspect.isclass(found) or inspect.isfunction(found), f"{name} is neither a class nor a function"
    node, module = _definition(found)
    own = {member.name: member for member in _members(node, module)}
    shown = own.values() if members is None else [own[each] for each in members]
    return Declared(_signature(name, node, module), _doc(node), tuple(shown))


def public(name: str) -> list[str]:
    """The names that the module `name` exports, `name` before each."""
    return [f"{name}.{each}" for each in vars(resolve(name))["__all__"]]


def _definition(found: type | object) -> tuple[_Definition, ModuleType]:
    name = str(vars(found).get("__name__", getattr(found, "__name__", "")))
    native = getattr(_native, name, None) is found
    module = _native if native else importlib.import_module(str(getattr(found, "__module__", "")))
    path = _STUB if native else Path(str(module.__file__))
    return next(node for node in _parsed(path).body if isinstance(node, _Definition) and node.name == name), module


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def _doc(node: _Definition) -> str:
    return ast.get_docstring(node) or ""


def _signature(name: str, node: _Definition, module: ModuleType) -> str:
    if not isinstance(node, ast.ClassDef):
        return _called(name, node.args, node.returns, module)
    made = next((each for each in node.body if getattr(each, "name", "") in ("__init__", "__new__")), None)
    if isinstance(made, ast.FunctionDef):
        return _called(name, made.args, None, module)
    if any("dataclass" in ast.unparse(each) for each in node.decorator_list):
        return _called(name, _fields(node), None, module)
    return ""


def _fields(node: ast.ClassDef) -> ast.arguments:
    """What a dataclass takes."""
    args = ast.arguments(posonlyargs=[], args=[], defaults=[], kwonlyargs=[], kw_defaults=[])
    for each in node.body:
        if not isinstance(each, ast.AnnAssign) or "ClassVar" in ast.unparse(each.annotation):
            continue
        told = _told(each.value)
        if told.get("init") != "False":
            arg = ast.arg(ast.unparse(each.target), each.annotation)
            if told.get("kw_only") == "True":
                args.kwonlyargs.append(arg)
                args.kw_defaults.append(_default(each.value))
            else:
                args.args.append(arg)
                args.defaults += [value for value in [_default(each.value)] if value is not None]
    return args


def _told(value: ast.expr | None) -> dict[str, str]:
    """What `field(…)` says of a field."""
    if not isinstance(value, ast.Call) or ast.unparse(value.func) != "field":
        return {}
    return {keyword.arg: ast.unparse(keyword.value) for keyword in value.keywords if keyword.arg}


def _default(value: ast.expr | None) -> ast.expr | None:
    if not (told := _told(value)):
        return value
    if (made := told.get("default_factory")) is None:
        return ast.parse(told["default"], mode="eval").body if "default" in told else None
    return ast.parse(made.removeprefix("lambda: ") if "lambda" in made else f"{made}()", mode="eval").body


def _called(name: str, args: ast.arguments, returns: ast.expr | None, module: ModuleType) -> str:
    """`name(…)` on one line, or a parameter a line where that is too long."""
    parts = list(_parameters(args, module))
    answer = _type(returns, module)
    end = f" -> {answer}" if answer not in ("", "None") else ""
    line = f"{name}({', '.join(part for part, _ in parts)}){end}"
    if len(line) <= WIDTH and not any(note for _, note in parts):
        return line
    return f"{name}(\n" + "".join(f"    {part},{note}\n" for part, note in parts) + f"){end}"


def _parameters(args: ast.arguments, module: ModuleType) -> Iterator[tuple[str, str]]:
    """Each as it is written, and how much it is where that is a number of bytes."""
    positional = [*args.posonlyargs, *args.args]
    missing: list[ast.expr | None] = [None] * (len(positional) - len(args.defaults))
    for place, (arg, default) in enumerate(zip(positional, [*missing, *args.defaults], strict=True), 1):
        if arg.arg not in ("self", "cls"):
            yield _parameter(arg, default, module)
        if place == len(args.posonlyargs):
            yield "/", ""
    if args.vararg is not None:
        yield f"*{_parameter(args.vararg, None, module)[0]}", ""
    elif args.kwonlyargs:
        yield "*", ""
    for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        yield _parameter(arg, default, module)
    if args.kwarg is not None:
        yield f"**{_parameter(args.kwarg, None, module)[0]}", ""


def _parameter(arg: ast.arg, default: ast.expr | None, module: ModuleType) -> tuple[str, str]:
    kind = _type(arg.annotation, module)
    shown = f"{arg.arg}: {kind}" if kind else arg.arg
    if default is None:
        return shown, ""
    return f"{shown} = {_value(default, module)}", _bytes(default)


def _value(default: ast.expr, module: ModuleType) -> str:
    """A default as it is written; a constant of the module as what it stands for."""
    if isinstance(default, ast.Name) and default.id.startswith("_"):
        return repr(getattr(module, default.id))
    return re.sub(r"'([^'\"\\]*)'", r'"\1"', ast.unparse(default))


def _bytes(default: ast.expr) -> str:
    """What a size that is written with shifts comes to."""
    if not any(isinstance(each, ast.LShift) for each in ast.walk(default)):
        return ""
    number, parts = _number(default), []
    for power in range(len(_UNITS) - 1, -1, -1):
        count, number = divmod(number, 1 << (10 * power))
        parts += [f"{count} {_UNITS[power]}"] if count else []
    return f"  # {' + '.join(parts)}"


def _number(written: ast.expr) -> int:
    if not isinstance(written, ast.BinOp):
        return int(ast.unparse(written))
    left, right = _number(written.left), _number(written.right)
    return left << right if isinstance(written.op, ast.LShift) else left + right


def _type(annotation: ast.expr | None, module: ModuleType) -> str:
    """An annotation as a user writes it: what is short for a choice of texts stands as the choice."""
    if annotation is None:
        return ""
    text = re.sub(r"'([^'\"\\]*)'", r'"\1"', ast.unparse(annotation))
    for name in set(re.findall(r"\b[A-Z]\w+", text)):
        meant = getattr(module, name, None)
        if get_origin(meant) is Literal:
            choices = ", ".join(f'"{choice}"' for choice in get_args(meant))
            text = re.sub(rf"\b{name}\b", f"Literal[{choices}]", text)
    return re.sub(r"\b_(\w+T)\b", r"\1", text)


def _members(node: _Definition, module: ModuleType) -> Iterator[Member]:
    """Values, properties and methods, in the order in which they stand."""
    if not isinstance(node, ast.ClassDef):
        return
    values = any(ast.unparse(each).endswith("Enum") for each in node.bases)
    for each, after in zip(node.body, [*node.body[1:], None], strict=True):
        if values and isinstance(each, ast.Assign):
            told = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
            text = re.sub(r"'", '"', ast.unparse(each))
            yield Member(ast.unparse(each.targets[0]), text, inspect.cleandoc(str(told)))
        elif isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and not each.name.startswith("_"):
            marks = {ast.unparse(mark) for mark in each.decorator_list}
            shown = f"{each.name}: {_type(each.returns, module)}"
            if "property" not in marks:
                shown = " ".join(_called(each.name, each.args, each.returns, module).split())
                shown = shown.replace("( ", "(").replace(", )", ")")
            yield Member(each.name, shown, _doc(each))
