"""Random transactions, folded as batches happen to be cut, against a dictionary that does one change after another."""

import random

import pytest

from tailrace.model import UNCHANGED, Batch
from tests.unit.sink.shop import Shop

KEYS = 6


class Model:
    """The source: what its table holds, and the changes that it would send."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.rows: dict[int, str | None] = {}
        self.count = 0

    def change(self) -> tuple[object, ...]:
        """One random change that is possible now."""
        self.count += 1
        key, other = self.random.randrange(KEYS), self.random.randrange(KEYS)
        fresh = f"v{self.count}" if self.random.random() < 0.9 else None
        kept = self.random.random() < 0.5
        if key not in self.rows:
            self.rows[key] = fresh
            return "c", {"id": str(key), "note": fresh}
        if self.random.random() < 0.02:
            self.rows.clear()
            return "t", {}
        if self.random.random() < 0.3:
            del self.rows[key]
            return "d", {"id": str(key)}
        was = self.rows.pop(key)
        new = other if self.random.random() < 0.3 and other not in self.rows else key
        self.rows[new] = was if kept else fresh
        after = {"id": str(new), "note": UNCHANGED if kept else fresh}
        return ("u", after, {"id": str(key)}) if new != key else ("u", after)


@pytest.mark.parametrize("seed", range(12))
def test_folded_batches_leave_what_single_changes_would(shop: Shop, seed: int) -> None:
    model = Model(seed)
    for _ in range(12):
        batches = []
        for _ in range(model.random.randrange(1, 4)):
            batches.append(shop.feed.commit(*(model.change() for _ in range(model.random.randrange(1, 12)))))  # type: ignore[arg-type]
        shop.write(*Batch.merge(batches))
    assert shop.rows() == sorted(model.rows.items())
