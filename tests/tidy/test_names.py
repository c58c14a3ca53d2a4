"""Words that must not stand in the repository, and names that say nothing."""

from __future__ import annotations

import ast
import re

import pytest

from tests.tidy import tree

SAYS_NOTHING = {"utils", "util", "common", "helpers", "helper", "base", "manager", "misc"}
TEXT = tuple(
    path for path in tree.files() if path.suffix not in {".lock", ".svg", ".png", ".bin"} and path.name != "LICENSE"
)
FORBIDDEN = {
    "unfinished work": re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b"),
    "a registry's host": re.compile(
        r"\b(?:pypi\.org|pythonhosted\.org|crates\.io|npmjs\.(?:org|com)|maven\.org|maven\.apache\.org|"
        r"deb\.debian\.org|proxy\.golang\.org)\b"
    ),
    "a path of one machine": re.compile(r"(?<![\w.:/])/(?:root|home|work|Users)/\w"),
}


def test_modules_and_folders_have_names_that_say_something() -> None:
    wrong = [
        tree.shown(path)
        for path in tree.files(".py", ".rs")
        if SAYS_NOTHING & {part.removesuffix(path.suffix).lstrip("_") for part in path.relative_to(tree.ROOT).parts}
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_holds(what: str) -> None:
    wrong = [
        f"{tree.shown(path, number)}: {line.strip()[:100]}"
        for path in TEXT
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if FORBIDDEN[what].search(line)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_message_names_a_page_that_an_installed_package_has_not() -> None:
    wrong = [
        tree.shown(path, node.lineno)
        for path, module in tree.python("src")
        for prose in [{id(each.value) for each in ast.walk(module) if isinstance(each, ast.Expr)}]
        for node in ast.walk(module)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose
        if re.search(r"\bdocs/\w", node.value)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_test_sleeps() -> None:
    wrong = [
        tree.shown(path, number)
        for path in tree.files(".py")
        if "tests" in path.relative_to(tree.ROOT).parts[:1]
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"\btime\.sle" r"ep\(", line)
    ]
    assert not wrong, "wait for a condition instead:\n" + "\n".join(wrong)
