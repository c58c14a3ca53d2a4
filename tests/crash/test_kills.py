"""SIGKILL at every room and at random instants, over snapshot and stream, into every sink: 301 kills and more.

Exactly once, in order, whole: where the sink keeps the position. Elsewhere changes may come again, none is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from servers import kafka
from tailrace.checkpoint import SQLite
from tailrace.pipeline.failpoint import Place
from tests.crash import runner
from tests.crash.ledger import Duck, Held, Lines, Repeated, Replica, settle
from tests.crash.load import PAUSE_S, Load, fill, shrink
from tests.crash.topics import Topics
from tests.crash.victim import Victim
from tests.fault.pipe import shown_with
from tests.fault.row import End, fault, goes_on

ROOMS = [
    "read:3", "decode:2", "shelf:5", "transform:3", "write.before:1", "write.before:7", "write.after:1",
    "write.after:6", "save.before:2", "save.after:3", "confirm:1", "confirm:4",
]  # fmt: skip
SNAPSHOT_ROOMS = ["read:3", "decode:2", "shelf:5", "transform:3", "write.before:2", "write.after:2"]
"""Where a process is before it has a whole snapshot; the first thing that it saves is that it has one."""
SNAPSHOT_KILLS = 8
SNAPSHOT_WRITES = 16
"""Fewer than any sink makes of a whole snapshot."""
STREAM_KILLS = 20
LIFE = 150
"""Transactions of each writer in a life of some two seconds."""
REPEATING = ("stdout", "sqlite", "app", "kafka")
LOGS = (*REPEATING, "kafka-transactions")
"""What an interrupted snapshot has written stays in them."""
KAFKA = ("kafka", "kafka-transactions")
ONCE = goes_on("every change once, whole transactions in order")
ONCE_BUT_SNAPSHOT = goes_on(
    "every change once, whole transactions in order; the rows of a snapshot that was interrupted come again, each once,"
    " and their `lsn` tells them from those of the attempt that is whole"
)
AGAIN = goes_on("nothing lost; up to a second of changes comes again")
FILES = {
    "file": "shop.jsonl",
    "zstd": "shop.jsonl.zst",
    "duckdb": "shop.duckdb",
    "stdout": "",
    "sqlite": "positions.db",
    "app": "",
    "postgres": "",
    "kafka": "",
    "kafka-transactions": "",
}


class Scene:
    """A source under load, a pipeline that is killed, and what it holds."""

    def __init__(
        self, kind: str, url: str, target: str, folder: Path, *, broker: kafka.Broker | None, seed: int
    ) -> None:
        path = folder / FILES[kind]
        self.url = url
        self.victim = Victim("file" if kind == "zstd" else kind, url, target or str(path), folder=folder, seed=seed)
        self.held: Held
        if kind == "duckdb":
            self.held = Duck(path)
        elif kind == "postgres":
            self.held = Replica(target)
        elif kind == "sqlite":
            self.held = Repeated(self.victim.printed)
        elif broker is not None:
            self.held = Topics(broker, target.split("/")[1], once=kind == "kafka-transactions")
        else:
            self.held = Lines(path) if FILES[kind] else Repeated(self.victim.printed)
        # Each life prints all of a snapshot again, and what it prints is read back by Python.
        pause_s = 0.1 if kind in LOGS else PAUSE_S
        self.loads = [Load(url, writer, seed=seed, pause_s=pause_s) for writer in (1, 2)]

    def live(self, *, failpoint: str | None = None, writes: int = 0, after_s: float = 0.0) -> None:
        """One life under load; where nothing but the clock ends it, a slow machine has no more to catch up.

        One that many writes end needs transactions until it has them: a slow sink makes few writes of many.
        """
        for load in self.loads:
            load.allow(None if failpoint or writes > 1 else LIFE)
        self.victim.live(failpoint=failpoint, writes=writes, after_s=after_s)

    def prefix(self) -> dict[int, int]:
        """What is held, read at rest: it would be more the longer the reading takes."""
        for load in self.loads:
            load.allow(0)
        return self.held.prefix()

    def stop(self) -> None:
        """No more transactions."""
        for load in self.loads:
            load.stop()

    def finish(self) -> None:
        """Let the sink catch up with all that was committed; then compare everything."""
        self.stop()
        self.victim.finish()
        if isinstance(self.held, Topics):
            self.held.rest()
        settle(self.held, self.url, self.loads)


def kinds(what: str, where: str, *names: str, logged: End = ONCE) -> pytest.MarkDecorator:
    """One parameter, and one row, for each kind of sink; `logged` is how it ends for Kafka with transactions."""
    ends = dict.fromkeys(REPEATING, AGAIN) | {"kafka-transactions": logged}
    return pytest.mark.parametrize(
        "kind",
        [pytest.param(name, marks=fault(what, f"{where} → {name}", ends.get(name, ONCE))) for name in names],
    )


@pytest.fixture
def scene(
    database: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    seed: int,
    record_property: Callable[[str, object], None],
) -> Iterator[Callable[[str], Scene]]:
    """Begins the load on a fresh source."""
    begun: list[tuple[Scene, str]] = []
    with ExitStack() as stack:

        def begin(kind: str) -> Scene:
            fill(database, 4_000 if kind in LOGS else 20_000)
            target, broker = "", None
            if kind.startswith("kafka"):
                broker = request.getfixturevalue("kafka")
                target = f"{broker.address}/{request.getfixturevalue('topic')}/{tmp_path}"
            if kind == "postgres":
                target = request.getfixturevalue("target_database")
            scene = Scene(kind, database, target, tmp_path, broker=broker, seed=seed)
            for load in scene.loads:
                load.start()
            stack.callback(scene.stop)
            begun.append((scene, shown_with(database, kind, target if kind == "postgres" else "")))
            return scene

        yield begin
        for scene, products in begun:
            record_property("with", f"{products}, {scene.victim.kills} kills")


@kinds(
    "kill -9, ten times",
    "snapshot, at random and around a write",
    "file",
    "duckdb",
    "postgres",
    "stdout",
    "app",
    *KAFKA,
    logged=ONCE_BUT_SNAPSHOT,
)
def test_i4_i15_kills_during_the_snapshot_leave_one_attempt_and_no_ghost(
    scene: Callable[[str], Scene], kind: str
) -> None:
    killed = scene(kind)
    for kill in range(SNAPSHOT_KILLS):
        killed.victim.live(writes=1 + kill, after_s=0.01, most=SNAPSHOT_WRITES)
        shrink(killed.url)
    killed.victim.live(failpoint="write.before:9")
    killed.victim.live(failpoint="write.after:5")
    assert sum(life == {"snapshot"} for life in killed.victim.lives) > SNAPSHOT_KILLS // 2
    if kind not in REPEATING:  # they keep what an earlier attempt read, and do not tell it from the last
        killed.finish()
    else:
        killed.stop()
        killed.victim.finish()
        assert isinstance(killed.held, Repeated | Topics)
        assert killed.held.prefix() == {load.writer: load.committed for load in killed.loads} | {0: 0}
        killed.held.covers(killed.url)
    assert killed.victim.kills == SNAPSHOT_KILLS + 2


@kinds(
    "kill -9, twenty times",
    "stream, at random instants",
    "zstd",
    "duckdb",
    "postgres",
    "stdout",
    "app",
    *KAFKA,
)
def test_i1_i4_kills_at_random_instants_of_the_stream_keep_whole_transactions_in_order(
    scene: Callable[[str], Scene], kind: str
) -> None:
    killed = scene(kind)
    while not killed.victim.streams:
        killed.live(writes=20, after_s=0.5)
    before = killed.prefix() if kind not in REPEATING else {}
    for _ in range(STREAM_KILLS):
        killed.live(writes=1, after_s=0.3)
        if before:
            after = killed.prefix()
            assert all(after[writer] >= before[writer] for writer in before)
            before = after
    killed.finish()


@kinds(
    "kill -9 at each room",
    "read to write in the snapshot, read to confirm in the stream",
    "file",
    "duckdb",
    "postgres",
    "stdout",
    "app",
    *KAFKA,
)
def test_i1_i4_kills_at_every_room_keep_whole_transactions_in_order(scene: Callable[[str], Scene], kind: str) -> None:
    killed = scene(kind)
    for room in SNAPSHOT_ROOMS:
        killed.live(failpoint=room)
    assert not killed.victim.streams
    writes = 0
    while killed.victim.lives[-1] != {"stream"}:  # the snapshot is whole, and known to be
        writes += 20
        killed.live(writes=writes, after_s=0.1)
    for room in ROOMS:
        killed.live(failpoint=room)
        assert "snapshot" not in killed.victim.lives[-1], room
        if kind not in REPEATING:
            killed.prefix()
    killed.finish()


def test_every_place_where_a_process_can_be_made_to_die_is_among_them() -> None:
    rooms = {Place(room.partition(":")[0]) for room in ROOMS}
    assert rooms | {Place.REPLAY_AFTER} == set(Place)  # that one is in test_replay.py


def test_i1_i6_kills_with_the_position_in_sqlite_lose_nothing_and_never_go_back(
    scene: Callable[[str], Scene], tmp_path: Path
) -> None:
    """At each room, most of all around `save`, and at random instants."""
    killed, checkpoint = scene("sqlite"), SQLite(tmp_path / FILES["sqlite"])
    reached = ""
    for room in [*ROOMS, *ROOMS[-4:], *[""] * SNAPSHOT_KILLS]:
        if room:
            killed.live(failpoint=room)
        else:
            killed.live(writes=1, after_s=0.3)
        saved = [position.text for position in checkpoint.saved(runner.NAME).values() if position is not None]
        if reached:
            assert "snapshot" not in killed.victim.lives[-1], "it began anew over a position that was saved"
            assert saved and saved[0] >= reached, "what was saved is gone"
        reached = saved[0] if saved and ".0." not in saved[0] else ""
    assert reached
    killed.finish()
