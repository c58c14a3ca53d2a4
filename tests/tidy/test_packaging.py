"""What is asked for in pyproject.toml is what is locked, with hashes and without the name of any index."""

from __future__ import annotations

import re
import tomllib

from tests.tidy import tree

LOCK = (tree.ROOT / "requirements.lock").read_text()
PROJECT = tomllib.loads((tree.ROOT / "pyproject.toml").read_text())["project"]


def test_every_requirement_is_locked() -> None:
    asked = [*PROJECT["dependencies"], *(line for extra in PROJECT["optional-dependencies"].values() for line in extra)]
    names = {re.split(r"[\[<>=~! ]", line)[0] for line in asked} - {"tailrace"}
    locked = set(re.findall(r"^([\w.-]+)==", LOCK, re.MULTILINE))
    assert not names - locked


def test_everything_locked_has_hashes_and_no_index() -> None:
    packages = re.split(r"\n(?=\w)", LOCK.split("\n", 1)[1])
    assert packages
    assert [package.split()[0] for package in packages if "--hash=sha256:" not in package] == []
    assert "://" not in LOCK
