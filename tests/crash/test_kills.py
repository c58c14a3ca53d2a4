"""SIGKILL at every room and at random instants, over snapshot and stream: exactly once, in order, whole."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.crash.ledger import Duck, Held, Lines, settle
from tests.crash.load import Load, fill, shrink
from tests.crash.victim import Victim

ROOMS = [
    "read:3", "decode:2", "shelf:5", "transform:3", "write.before:1", "write.before:7", "write.after:1",
    "write.after:6", "save.before:2", "save.after:3", "confirm:1", "confirm:4",
]  # fmt: skip
SNAPSHOT_KILLS = 8
STREAM_KILLS = 10


class Scene:
    """A source under load, a pipeline that is killed, and what it holds."""

    def __init__(self, kind: str, url: str, folder: Path) -> None:
        target = folder / {"duckdb": "shop.duckdb", "file": "shop.jsonl", "zstd": "shop.jsonl.zst"}[kind]
        self.url = url
        self.held: Held = Duck(target) if kind == "duckdb" else Lines(target)
        self.victim = Victim("duckdb" if kind == "duckdb" else "file", url, target, seed=7)
        self.loads = [Load(url, writer) for writer in (1, 2)]

    def stop(self) -> None:
        """No more transactions."""
        for load in self.loads:
            load.stop()

    def finish(self) -> None:
        """Let the sink catch up with all that was committed; then compare everything."""
        self.stop()
        self.victim.finish()
        settle(self.held, self.url, self.loads)


@pytest.fixture
def scene(database: str, tmp_path: Path) -> Iterator[Callable[[str], Scene]]:
    """Begins the load on a fresh source."""
    with ExitStack() as stack:

        def begin(kind: str) -> Scene:
            fill(database, 20_000)
            scene = Scene(kind, database, tmp_path)
            for load in scene.loads:
                load.start()
            stack.callback(scene.stop)
            return scene

        yield begin


@pytest.mark.parametrize("kind", ["duckdb", "file"])
def test_i4_i15_kills_during_the_snapshot_leave_one_attempt_and_no_ghost(
    scene: Callable[[str], Scene], kind: str
) -> None:
    killed = scene(kind)
    for kill in range(SNAPSHOT_KILLS):
        killed.victim.live(writes=1 + kill, after_s=0.01)
        shrink(killed.url)
    killed.victim.live(failpoint="write.before:9")
    killed.victim.live(failpoint="write.after:5")
    assert sum(life == {"snapshot"} for life in killed.victim.lives) > SNAPSHOT_KILLS // 2
    killed.finish()


@pytest.mark.parametrize("kind", ["duckdb", "zstd"])
def test_i1_i4_kills_at_random_instants_of_the_stream_keep_whole_transactions_in_order(
    scene: Callable[[str], Scene], kind: str
) -> None:
    killed = scene(kind)
    while not killed.victim.streams:
        killed.victim.live(writes=20, after_s=0.5)
    before = killed.held.prefix()
    for _ in range(STREAM_KILLS):
        killed.victim.live(writes=1, after_s=0.3)
        after = killed.held.prefix()
        assert all(after[writer] >= before[writer] for writer in before)
        before = after
    killed.finish()


@pytest.mark.parametrize("kind", ["duckdb", "file"])
def test_i1_i4_kills_at_every_room_keep_whole_transactions_in_order(scene: Callable[[str], Scene], kind: str) -> None:
    killed = scene(kind)
    killed.victim.live(writes=25, after_s=0.1)
    for room in ROOMS:
        killed.victim.live(failpoint=room)
        if killed.victim.streams:
            killed.held.prefix()
    killed.finish()
    assert killed.victim.kills == 1 + len(ROOMS)
