"""Each invariant of docs/design has a test with its number."""

from __future__ import annotations

import re

import pytest

from tests.tidy import tree

NUMBERS = {
    number
    for path in tree.files(".py")
    if path.name.startswith("test_")
    for name in re.findall(r"^def test_((?:i\d+_)+)", path.read_text(), re.MULTILINE)
    for number in re.findall(r"\d+", name)
}


@pytest.mark.parametrize("number", range(1, 17))
def test_it_is_shown(number: int) -> None:
    assert str(number) in NUMBERS
