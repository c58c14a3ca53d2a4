"""The page of what is equal to Debezium's says what the comparisons showed, and of nothing else that it is equal."""

from __future__ import annotations

import json
import re

from tests.conformance import equal
from tests.outcome import EQUAL


def test_the_page_has_the_lines_of_the_tests_and_their_last_results() -> None:
    results = json.loads(EQUAL.read_text()) if EQUAL.exists() else {}
    before = equal.PAGE.read_text()
    assert equal.page(results, before) == before, "run tests/conformance, then python -m tests.conformance.equal"


def test_every_line_was_shown() -> None:
    wrong = [line for line, shown in equal.listed(equal.PAGE.read_text()).items() if not equal.is_equal(shown)]
    assert not wrong


def test_what_failed_or_was_not_run_is_never_listed_as_equal() -> None:
    before = equal.PAGE.read_text()
    line, mode = equal.lines()[0], next(line for line in equal.lines() if line.tests > 2)
    passed = {"row": list(line.cells), "outcome": "passed", "records": 7}
    assert equal.listed(equal.page({"a": passed}, before))[line.cells] == "7"
    for broken in ({"a": {**passed, "outcome": "failed"}}, {"a": {**passed, "records": 0}}):
        assert not equal.is_equal(equal.listed(equal.page(broken, before))[line.cells])
    assert not any(map(equal.is_equal, equal.listed(equal.page({})).values()))
    part = {"row": list(mode.cells), "outcome": "passed", "records": 7}
    some = {str(at): part for at in range(mode.tests - 1)}
    assert equal.listed(equal.page(some))[mode.cells] == "not run"
    assert equal.listed(equal.page({**some, "b": part}))[mode.cells] == str(7 * mode.tests)
    assert equal.listed(equal.page({**some, "b": {**part, "outcome": "failed"}}))[mode.cells] == "**not equal**"


def test_a_page_that_says_something_else_than_the_results_is_stale() -> None:
    shown = equal.PAGE.read_text()
    line = equal.lines()[0]
    same = {"row": list(line.cells), "outcome": "passed", "records": int(equal.listed(shown)[line.cells])}
    assert not equal.stale({"a": same}, shown, whole=False)
    assert len(equal.stale({"a": {**same, "records": 999999}}, shown, whole=False)) == 2
    unshown = equal.stale({"a": same}, shown, whole=True)
    assert len([told for told in unshown if told.endswith("| not run |")]) == len(equal.lines()) - 1


def test_the_whole_suite_ends_with_a_look_at_the_page() -> None:
    steps = (equal.PAGE.parents[2] / "Makefile").read_text().partition("\ntest:")[2].partition("\n\n")[0].splitlines()
    assert steps[-1].endswith("-m tests.conformance.equal --check")


def test_a_line_is_read_as_it_was_written() -> None:
    listed = equal.listed(equal.page({}))
    assert list(listed) == [line.cells for line in equal.lines()]
    assert any(re.search(r"\|", told) for _, _, told in listed)
