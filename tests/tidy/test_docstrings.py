"""Every public name says what it does (the linter asks for that in `src`); every file says what it is for."""

from __future__ import annotations

import ast

from tests.tidy import tree


def test_every_python_file_says_what_it_is_for() -> None:
    wrong = [
        tree.shown(path)
        for path, module in tree.python("src", "servers", "benchmarks", "tests", "examples")
        if module.body and not ast.get_docstring(module)
    ]
    assert not wrong, "\n".join(wrong)


def test_every_rust_file_says_what_it_is_for() -> None:
    wrong = [tree.shown(path) for path in tree.files(".rs") if not path.read_text().startswith(("//!", "#!["))]
    assert not wrong, "\n".join(wrong)


def test_every_public_python_name_of_the_package_says_what_it_does() -> None:
    wrong = [
        f"{tree.shown(path, node.lineno)}: {node.name}"
        for path, module in tree.python("src")
        for scope in (module, *(node for node in ast.walk(module) if isinstance(node, ast.ClassDef)))
        if isinstance(scope, ast.Module) or not scope.name.startswith("_")
        for node in scope.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
        and not _is_overload(node)
    ]
    assert not wrong, "\n".join(wrong)


def _is_overload(node: ast.stmt) -> bool:
    decorators = getattr(node, "decorator_list", [])
    names = {
        decorator.attr if isinstance(decorator, ast.Attribute) else getattr(decorator, "id", "")
        for decorator in decorators
    }
    return bool(names & {"overload", "setter"})
