"""Lanes side by side: what one learns while another writes."""

from __future__ import annotations

from tailrace.app.lane import Parked
from tests.unit.app.test_order import batch


def test_a_change_that_another_lane_parks_meanwhile_holds_back_its_key() -> None:
    """Lanes are threads: another may come between any two steps of one, as here between its look and its note."""
    changes = batch(("c", 1, 0), ("u", 1, 1), ("c", 2, 0))
    parked, others = Parked(), [0]

    class Compared(int):
        """The index of a change, and what happens as soon as it is compared with others."""

        def __lt__(self, other: int) -> bool:
            while others:
                parked.add(at := others.pop(), changes[at])
            return int(self) < int(other)

    parked.add(Compared(2), changes[2])
    assert parked.blocks(1, changes[1])
