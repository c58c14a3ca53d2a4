"""Writes what the tests showed that pages of the reference are made of into `build/`. Never changes how a test ends.

A run of a few tests replaces only their results: the page is made of the last result of each. Processes that share a
run (pytest-xdist) add theirs one after another.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

__all__ = ["EQUAL", "FAULTS", "add"]

_BUILD = Path(__file__).parents[1] / "build"
FAULTS, EQUAL = _BUILD / "faults.json", _BUILD / "equal.json"
_FILES = {"fault": FAULTS, "equal": EQUAL}
"""Where the results go of tests with such a mark; its argument has `cells`, by which the page knows the row."""
_SEEN = pytest.StashKey[dict[str, dict[str, dict[str, Any]]]]()


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marks."""
    config.addinivalue_line("markers", "fault(row): a row of docs/reference/faults.md (tests/fault/row.py)")
    config.addinivalue_line("markers", "equal(line): one of docs/reference/debezium-equal.md")
    config.stash[_SEEN] = {mark: {} for mark in _FILES}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Remember how each test of a row ended, with which servers, and how many records it compared."""
    report: pytest.TestReport = yield  # type: ignore[misc]
    for mark in (mark for mark in item.iter_markers() if mark.name in _FILES):
        seen = item.config.stash[_SEEN][mark.name].setdefault(
            item.nodeid.partition("@")[0],  # pytest-xdist adds @group to tests that belong to one
            {"row": list(mark.args[0].cells), "outcome": "", "seconds": 0.0},
        )
        seen["seconds"] = round(seen["seconds"] + report.duration, 2)
        seen["with"] = sorted({text for name, text in item.user_properties if name == "with"})
        seen["records"] = sum(int(str(number)) for name, number in item.user_properties if name == "records")
        if report.outcome == "passed":
            seen["outcome"] = seen["outcome"] or ("passed" if report.when == "call" else "")
        else:
            seen["outcome"] = report.outcome
            seen["why"] = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
    return report  # type: ignore[return-value]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Add the results of this process to the files."""
    for mark, results in session.config.stash[_SEEN].items():
        seen = {name: each for name, each in results.items() if each["outcome"]}  # else interrupted
        if seen:
            add(seen, _FILES[mark])


def add(seen: Mapping[str, Mapping[str, Any]], results: Path) -> None:
    """Put these results in the place of those that the same tests had; other processes may do so at the same time."""
    results.parent.mkdir(exist_ok=True)
    with results.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = json.loads(results.read_text()) if results.exists() else {}
        whole = results.with_suffix(f".{os.getpid()}")
        whole.write_text(json.dumps({**before, **seen}, indent=1, sort_keys=True, ensure_ascii=False))
        whole.replace(results)
