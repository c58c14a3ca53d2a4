"""What a test needs and a machine may lack. Under `CI=true` a lack is a failure; elsewhere a skip that is counted."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NoReturn, TypeVar

import pytest

from servers.artifact import Unavailable

WANTING = "not on this machine: "
T = TypeVar("T")


def lacking(what: str, *, fails: bool = True) -> NoReturn:
    """End the test because the machine lacks `what`: a failure under `CI=true`, unless CI's own may lack it."""
    if fails and os.environ.get("CI") == "true":
        pytest.fail(f"{WANTING}{what}", pytrace=False)
    pytest.skip(f"{WANTING}{what}")


def needs_root() -> None:
    """The test goes no further as another user than root."""
    if os.geteuid() != 0:
        lacking("the rights of root")


def or_skip(start: Callable[[], T], *, fails: bool = True) -> T:
    """What `start` makes; without it, the test goes no further."""
    try:
        return start()
    except Unavailable as missing:
        lacking(str(missing), fails=fails)
