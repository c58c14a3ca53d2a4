"""The page of faults says what the tests declare, no more and no less, and that each row was shown."""

from __future__ import annotations

from tests.fault import page
from tests.fault.row import declared


def test_the_page_has_the_rows_of_the_tests() -> None:
    listed = [tuple(line[:3]) for line in page.listed(page.PAGE.read_text())]
    assert listed == [page.cells(row) for row in declared()], "run tests/fault, then python -m tests.fault.page"


def test_every_row_was_shown_or_says_why_not() -> None:
    wrong = [line for line in page.listed(page.PAGE.read_text()) if line[3] in ("", "not run", "**not so**")]
    assert not wrong
