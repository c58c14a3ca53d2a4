"""How often a slot without anything for us moves when nobody says how often: by a clock that the reads move."""

from __future__ import annotations

import struct
from types import SimpleNamespace

import pytest

from tailrace._native import Chunk
from tailrace.model import Batch, Limits
from tailrace.source.postgres.place import Lineage, Place
from tailrace.source.postgres.receiver import Course, Receiver

STEP_S, LSN_STEP = 0.25, 0x100
BEGIN = 0x1000


class Growing:
    """A walsender whose log grows by what is not published: each look finds a keepalive, and takes its time."""

    def __init__(self) -> None:
        self.now, self.end = 1000.0, BEGIN

    def monotonic(self) -> float:
        return self.now

    def drain(self, bytes_max: int) -> Chunk:
        self.now += STEP_S
        self.end += LSN_STEP
        return Chunk.of([b"k" + struct.pack("!QqB", self.end, 0, 0)])

    def send_status(self, *, received: int, confirmed: int, reply: bool) -> None:
        pass


@pytest.fixture
def walsender(monkeypatch: pytest.MonkeyPatch) -> Growing:
    walsender = Growing()
    monkeypatch.setattr("tailrace.source.postgres.receiver.time", SimpleNamespace(monotonic=walsender.monotonic))
    return walsender


def test_an_idle_slot_moves_each_ten_seconds(walsender: Growing) -> None:
    lineage = Lineage("1", "shop", "tailrace_p")
    receiver = Receiver(
        walsender,  # type: ignore[arg-type]
        Course(lineage, 1, Place.progress(BEGIN, 1), None),
        describe=lambda relation: None,
        measure=SimpleNamespace(beat=lambda: None, last=None, waits=False, overdue=lambda silence_s: False),  # type: ignore[arg-type]
        limits=Limits(),
        sender_timeout_s=60,
    )
    moved: list[tuple[float, Batch]] = []
    while walsender.now < 1060:
        if (batch := receiver.read(0)) is not None:
            moved.append((walsender.now, batch))
    assert [at for at, _ in moved] == [1010.0, 1020.0, 1030.0, 1040.0, 1050.0, 1060.0]
    assert [len(batch) for _, batch in moved] == [0] * 6
    ends = [Place.of(batch.positions[0]).end for _, batch in moved]
    assert ends == [BEGIN + LSN_STEP * int((at - 1000) / STEP_S) for at, _ in moved]
