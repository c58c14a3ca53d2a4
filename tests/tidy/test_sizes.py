"""Files, functions and parameter lists that fit into a head."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator
from pathlib import Path

from tests.tidy import tree

PYTHON_LINES_MAX, RUST_LINES_MAX, FUNCTION_LINES_MAX, PARAMETERS_MAX = 500, 800, 60, 7
STUB_LINES_MAX = 800  # the whole boundary to Rust in one place: it cannot be divided
POSITIONAL_MAX = 3  # the contract's own Source.open takes three
EXAMPLE_LINES_MAX = 40
PAGE_LINES_MAX, PAGE_COLUMNS = 100, 120
PAGE_WORDS_MAX = 1000  # five minutes of a reader who thinks along
_RUST_NOISE = re.compile(
    r"""//[^\n]*|/\*.*?\*/|b?r(\#*)"(?:.*?)"\1|b?"(?:\\.|[^"\\])*"|b?'(?:\\(?:u\{[^}]*\}|x..|.)|[^'\\])'""", re.DOTALL
)
_RUST_FUNCTION = re.compile(r"\bfn\s+(\w+)")


def test_python_files_are_short() -> None:
    _assert_short(tree.files(".py"), PYTHON_LINES_MAX)
    _assert_short(tree.files(".pyi"), STUB_LINES_MAX)


def test_rust_files_are_short() -> None:
    _assert_short(tree.files(".rs"), RUST_LINES_MAX)


def test_examples_fit_on_a_screen() -> None:
    _assert_short(tuple(path for path in tree.files(".py") if path.parent.name == "examples"), EXAMPLE_LINES_MAX)


def test_architecture_is_a_page_that_is_read_in_five_minutes() -> None:
    text = (tree.ROOT / "ARCHITECTURE.md").read_text()
    assert sum(math.ceil(len(line) / PAGE_COLUMNS) or 1 for line in text.splitlines()) <= PAGE_LINES_MAX
    assert len(text.split()) <= PAGE_WORDS_MAX


def test_python_functions_are_short() -> None:
    wrong = [
        f"{tree.shown(path, function.lineno)}: {function.name} has {length} lines"
        for path, function in _functions("src", "servers", "benchmarks", "tests", "examples")
        if (length := _lines(function)) > FUNCTION_LINES_MAX
    ]
    assert not wrong, "\n".join(wrong)


def test_python_functions_take_few_parameters() -> None:
    wrong = []
    for path, function in _functions("src", "servers", "benchmarks"):
        positional = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
        if positional[:1] in (["self"], ["cls"]):
            positional.pop(0)
        if len(positional) > POSITIONAL_MAX or len(positional) + len(function.args.kwonlyargs) > PARAMETERS_MAX:
            wrong.append(f"{tree.shown(path, function.lineno)}: {function.name} takes too many parameters")
    assert not wrong, "\n".join(wrong)


def test_rust_functions_are_short() -> None:
    wrong = [
        f"{tree.shown(path, line)}: {name} has {length} lines"
        for path in tree.files(".rs")
        for name, line, length in _rust_functions(path.read_text())
        if length > FUNCTION_LINES_MAX
    ]
    assert not wrong, "\n".join(wrong)


def _assert_short(paths: tuple[Path, ...], most: int) -> None:
    wrong = [
        f"{tree.shown(path)}: {lines} lines, at most {most}"
        for path in paths
        if (lines := len(path.read_text().splitlines())) > most
    ]
    assert not wrong, "\n".join(wrong)


def _functions(*folders: str) -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path, module in tree.python(*folders):
        for node in ast.walk(module):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path, node


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, without the docstring: prose may be as long as it is useful."""
    length = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        length -= (first.end_lineno or first.lineno) - first.lineno + 1
    return length


def _rust_functions(source: str) -> Iterator[tuple[str, int, int]]:
    """(name, first line, number of lines) of each function that has a body."""
    code = _RUST_NOISE.sub(lambda found: "\n" * found.group().count("\n"), source)
    for found in _RUST_FUNCTION.finditer(code):
        depth, opened = 0, False
        for index in range(found.end(), len(code)):
            character = code[index]
            if character in "([{":
                depth += 1
                opened = opened or (character == "{" and depth == 1)
            elif character in ")]}":
                depth -= 1
            if depth == 0 and (opened or character == ";"):
                break
        if opened:
            yield found[1], code.count("\n", 0, found.start()) + 1, code.count("\n", found.start(), index) + 1
