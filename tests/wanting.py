"""What a test needs and a machine may lack. Under `CI=true` a lack is a failure; elsewhere a skip that is counted."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

import pytest

from servers.artifact import Unavailable

NO_SERVER = "no real server: "
T = TypeVar("T")


def or_skip(start: Callable[[], T]) -> T:
    """What `start` makes; without it, the test goes no further."""
    try:
        return start()
    except Unavailable as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{NO_SERVER}{missing}", pytrace=False)
        pytest.skip(f"{NO_SERVER}{missing}")
