"""The page of faults says what the tests declare, no more and no less, and that each row was shown."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

from tests.fault import page
from tests.fault.row import MODULES, declared
from tests.tidy import tree


def test_the_page_has_the_rows_of_the_tests() -> None:
    text = page.PAGE.read_text()
    listed = [tuple(line[:3]) for line in page.listed(text)]
    assert listed == [row.cells for row in declared()], "run tests/fault, then python -m tests.fault.page"
    assert page.page({}, text) == text, "words around the rows were changed: python -m tests.fault.page"


def test_every_module_that_declares_rows_is_on_the_page() -> None:
    declaring = {
        ".".join(path.relative_to(tree.ROOT).with_suffix("").parts)
        for path, module in tree.python("tests")
        for node in ast.walk(module)
        if path.name.startswith("test_") and isinstance(node, ast.ImportFrom) and node.module == "tests.fault.row"
        if any(alias.name == "fault" for alias in node.names)
    }
    assert declaring == MODULES.keys(), "MODULES in tests/fault/row.py is where the page looks for rows"


def test_every_row_was_shown_or_says_why_not() -> None:
    wrong = [line for line in page.listed(page.PAGE.read_text()) if line[3] in ("", "not run", "**not so**")]
    assert not wrong


def test_the_page_counts_the_kills_that_its_rows_show() -> None:
    text = page.PAGE.read_text()
    found = re.search(r"killed by kill -9 (\d+) times", text)
    assert found is not None
    assert int(found[1]) == sum(page.counted(line[3]) for line in page.listed(text)) >= 200
    kill = next(row for row in declared() if row.fault.startswith("kill -9"))
    for shown, count in (("A → B, 13 kills", 13), ("A → B, 7 kills; A → C, 8 kills", 15), ("A → B", 0)):
        each = {"row": kill.cells, "outcome": "passed", "with": shown.split("; ")}
        assert f"kill -9 {count} times" in page.page({"test": each})


def test_results_of_processes_that_run_at_once_are_all_kept(tmp_path: Path) -> None:
    program = "import sys, pathlib; from tests.outcome import add; who = sys.argv[2]\n"
    program += "for n in range(20): add({f'{who} {n}': {'outcome': 'passed'}}, pathlib.Path(sys.argv[1]))"
    results = tmp_path / "build" / "faults.json"
    command = [sys.executable, "-c", program, str(results)]
    processes = [subprocess.Popen([*command, str(who)], cwd=tree.ROOT) for who in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4
    assert len(json.loads(results.read_text())) == 80
    assert sorted(path.name for path in results.parent.iterdir()) == ["faults.json", "faults.lock"]
