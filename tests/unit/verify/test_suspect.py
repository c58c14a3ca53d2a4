"""No false difference and no missed one, over random histories of one key: commits that are in the log before they can
be seen, a target that lags, rows that come and go, transactions that stay open."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from tailrace.comparison import Seen
from tailrace.verify.report import Verdict
from tailrace.verify.suspect import Suspect

DIFFERENCES = {Verdict.DIFFERENT, Verdict.MISSING, Verdict.EXTRA}
HISTORIES = 3000


@dataclass(frozen=True)
class Change:
    """A transaction of the key, at times: it gets its number, touches the row, is committed in the log, can be seen."""

    number: int
    begun: float
    touched: float
    logged: float
    seen: float
    digest: str | None


class World:
    """One key's history at the source, and a target that follows it; `planted` is what its row was made to be."""

    def __init__(self, chance: random.Random, changes: int, planted: Seen | bool | None = False) -> None:
        self._chance = chance
        self.now = 10.0
        self._planted = planted
        self._changes = [Change(0, 0, 0, 0, 0, chance.choice(["a", None]))]
        for number in range(1, changes + 1):
            # The lock on the row makes one writer wait until it sees what the other has done.
            touched = self._changes[-1].seen + chance.expovariate(chance.choice([0.3, 3]))
            begun = max(0.0, touched - chance.expovariate(1))
            logged = touched + chance.expovariate(2)
            seen = logged + chance.choice([0.0, chance.expovariate(1)])
            before = self._changes[-1].digest
            digest = chance.choice(["b", "c", None]) if before is not None else chance.choice(["b", "c"])
            self._changes.append(Change(number, begun, touched, logged, seen, digest))
        self._lag = 0.0
        self._others = [
            (n, at := chance.uniform(0, 15), at + chance.expovariate(0.2))
            for n in range(1000, 1000 + chance.randrange(4))
        ]

    def pass_by(self, most: float) -> None:
        """Let some time pass; the target's lag changes, but it never goes back."""
        step = self._chance.uniform(0.001, most)
        self.now += step
        self._lag = self._chance.uniform(0, self._lag + step)

    @property
    def place(self) -> float:
        """The target has everything that was logged before."""
        return self.now - self._lag

    def target(self) -> Seen | None:
        """A read of the target."""
        last = max((c for c in self._changes if c.logged <= self.place), key=lambda c: c.number)
        if self._planted is not False and last.number == self._first():
            return self._planted if isinstance(self._planted, Seen) else None
        return None if last.digest is None else Seen(f"t{last.number}", last.digest)

    def _first(self) -> int:
        """The change that was there when the difference was planted."""
        return max(c.number for c in self._changes if c.logged <= 10.0)

    def source(self) -> tuple[Seen | None, frozenset[int]]:
        """A read of the source, and the pending transactions."""
        pending = {c.number for c in self._changes if c.begun <= self.now < c.seen}
        pending |= {n for n, begun, ended in self._others if begun <= self.now < ended}
        last = max((c for c in self._changes if c.seen <= self.now), key=lambda c: c.number)
        free = not any(c.touched <= self.now < c.seen for c in self._changes) and self._chance.random() < 0.7
        return (None if last.digest is None else Seen(f"s{last.number}", last.digest, free)), frozenset(pending)


def judge(world: World, rounds: int) -> Verdict | None:
    """Read target and source in turn, as verify does."""
    suspect = Suspect()
    for _ in range(rounds):
        if (verdict := suspect.read_target(world.target())) is not None:
            return verdict
        world.pass_by(0.5)
        seen, pending = world.source()
        upto = world.now
        if (verdict := suspect.read_source(seen, pending)) is not None:
            return verdict
        while world.place < upto:
            world.pass_by(0.3)
    return None


@pytest.mark.parametrize("seed", range(4))
def test_no_history_without_a_planted_difference_is_called_different(seed: int) -> None:
    chance = random.Random(seed)
    for number in range(HISTORIES):
        verdict = judge(World(chance, chance.randrange(60)), 40)
        assert verdict not in DIFFERENCES, f"seed {seed}, history {number}"


@pytest.mark.parametrize("planted", [Seen("x", "wrong"), None], ids=["a wrong row", "no row"])
def test_a_planted_difference_on_a_row_at_rest_is_always_found(planted: Seen | None) -> None:
    chance = random.Random(9)
    for _ in range(HISTORIES):
        world = World(chance, 0, planted)
        there = world.source()[0] is not None
        verdict = judge(world, 400)
        if planted is None:
            assert verdict is (Verdict.MISSING if there else Verdict.GONE)
        else:
            assert verdict is (Verdict.DIFFERENT if there else Verdict.EXTRA)


def test_a_commit_that_is_logged_but_not_yet_seen_deceives_nobody() -> None:
    suspect = Suspect()
    old, new = Seen("s1", "old", free=False), Seen("t2", "new")
    pending = frozenset({7})
    for _ in range(5):  # transaction 7 has changed the row, and waits for a standby: the target has it already
        assert suspect.read_target(new) is None
        assert suspect.read_source(old, pending) is None
    assert suspect.read_target(new) is None
    assert suspect.read_source(Seen("s2", "new", free=True), frozenset()) is Verdict.EQUAL
