"""Runs that many tests look at. Each is made once, and one that fails fails for all of them: made anew for every test,
a run that waits in vain for the engine would take its five minutes as often.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Made = TypeVar("Made")


class Once(Generic[Made]):
    """What was made under each name, or how that failed."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Made] = {}
        self._failed: dict[Hashable, Exception] = {}

    def get(self, name: Hashable, make: Callable[[], Made]) -> Made:
        """What `make` gives; it is called the first time only, and its error is raised each time."""
        if name in self._failed:
            raise self._failed[name]
        if name not in self._made:
            try:
                self._made[name] = make()
            except Exception as error:
                self._failed[name] = error
                raise
        return self._made[name]
