"""Processes of one group, each with a DuckDB file of its own that keeps the positions: killed, stopped and started
again under load, so that partitions go from file to file and come back. No file ever has a row twice, or one without
those before it, and whoever has a partition at the end has all of it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import duckdb
import pytest

from servers.kafka import Broker
from tailrace.pipeline.status import Status, ask
from tests.crash.test_group import OPTIONS, PARTITIONS, ROOT, STOPPED, Line, Load, broker, loaded, written
from tests.waiting import until

__all__ = ["broker"]

NAMES = ("one", "two", "three", "four")
BEHIND_MAX = 500
"""Records that may come while it is asked how many are left."""
CONFIG = """
[pipeline.shop]
sink = "duckdb:{file}"
[pipeline.shop.source]
kind = "kafka"
url = "kafka://{address}/{topic}?group={topic}"
group_protocol = "{protocol}"
options = {{ {options} }}
[pipeline.shop.limits]
batch_bytes_max = 262144
shelf_bytes_max = 262144
backoff_s_max = 1
"""


class Copies:
    """The members, whose files outlive them."""

    def __init__(self, folder: Path, *, address: str, topic: str, protocol: str) -> None:
        self._folder = folder
        self._config = {"address": address, "topic": topic, "protocol": protocol, "options": OPTIONS[protocol]}
        self.alive: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        """With the file that it had, if it had one."""
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        (folder / "shop.toml").write_text(CONFIG.format(file=self.file(name), **self._config))
        with (folder / "stderr").open("ab") as errors:
            command = [sys.executable, "-m", "tailrace", "run", str(folder / "shop.toml")]
            environment = os.environ | {"PYTHONFAULTHANDLER": "1"}
            self.alive[name] = subprocess.Popen(command, stderr=errors, stdout=errors, cwd=ROOT, env=environment)
        until(lambda: self._check() or self._status(name), f"for {name} to begin", timeout_s=180)

    def end(self, name: str, number: signal.Signals) -> None:
        """By this signal."""
        process = self.alive.pop(name)
        process.send_signal(number)
        assert process.wait(180) in ((-signal.SIGKILL,) if number is signal.SIGKILL else STOPPED), self._said()

    def file(self, name: str) -> Path:
        return self._folder / name / "shop.duckdb"

    def owners(self, *, behind_max: int, up_to: float) -> dict[int, str]:
        """Who has which partition; nothing while one has no owner or two, or is further behind; or one has none; or
        somebody has not caught up with what there was at `up_to`, in seconds since the epoch."""
        self._check()
        said = [(name, status) for name in self.alive if (status := self._status(name)) is not None]
        lags = [(name, status.lags) for name, status in said if (status.caught_up_at or 0.0) >= up_to]
        had = [(int(place.rpartition("/")[2]), name, lag) for name, found in lags for place, lag in found.items()]
        owners = {partition: name for partition, name, lag in had if lag <= behind_max}
        shared = len(owners) == len(had) == PARTITIONS and set(owners.values()) == self.alive.keys()
        return owners if shared else {}

    def until_shared(self, *, behind_max: int, what: str, up_to: float = 0.0) -> dict[int, str]:
        """Until each partition has an owner that is no further behind; see `owners`."""
        found: dict[int, str] = {}
        try:
            until(lambda: found.update(self.owners(behind_max=behind_max, up_to=up_to)) or found, what, timeout_s=300)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._said()}") from None
        return found

    def kill(self) -> None:
        for process in self.alive.values():
            process.kill()
            process.wait(30)

    def _status(self, name: str) -> Status | None:
        return ask(self._folder / name / ".tailrace" / "shop.sock", timeout_s=30)

    def _check(self) -> None:
        for process in self.alive.values():
            assert process.poll() is None, self._said()

    def _said(self) -> str:
        return "\n".join(f"{path.parent.name}: {path.read_text()[-4000:]}" for path in self._folder.glob("*/stderr"))

    def lines(self, name: str) -> dict[int, list[Line]]:
        """The log's lines by partition, in the order of their offsets."""
        found: dict[int, list[Line]] = defaultdict(list)
        for key, version in self._rows(name, "log", "ORDER BY _position"):
            found[key % PARTITIONS].append((key, version))
        return found

    def accounts(self, name: str, partition: int) -> list[Line]:
        return self._rows(name, "accounts", f"WHERE id % {PARTITIONS} = {partition} ORDER BY id")

    def _rows(self, name: str, table: str, which: str) -> list[Line]:
        with duckdb.connect(str(self.file(name))) as connection:
            if not connection.execute(f"FROM duckdb_tables() WHERE table_name = '{table}'").fetchall():
                return []
            return connection.execute(f"SELECT id::int, version::int FROM public.{table} {which}").fetchall()


@pytest.mark.parametrize("protocol", OPTIONS)
def test_i16_partitions_that_go_from_file_to_file_are_whole_in_each_and_nothing_comes_twice(
    broker: Broker, tmp_path: Path, protocol: str, seed: int
) -> None:
    chance = random.Random(seed)
    topic = broker.create_topic(f"files_{protocol}", PARTITIONS)
    copies = Copies(tmp_path, address=broker.address, topic=topic, protocol=protocol)
    load = Load(broker, topic, seed, together=2)
    left = list(Counter({signal.SIGKILL: 3, signal.SIGTERM: 2}).elements())
    chance.shuffle(left)
    done: list[str] = []
    try:
        with loaded(load):
            for name in NAMES[:3]:
                copies.start(name)
            copies.until_shared(behind_max=BEHIND_MAX, what="for the first sharing")
            for number in left:
                leaving, coming = chance.choice(sorted(copies.alive)), chance.choice(NAMES)
                copies.end(leaving, number)
                done.append(f"{number.name} {leaving}")
                if chance.random() < 0.5:  # else others have its partitions before somebody comes
                    copies.until_shared(behind_max=BEHIND_MAX, what=f"for the others after {done}")
                if coming not in copies.alive:
                    copies.start(coming)
                    done.append(f"start {coming}")
                else:
                    copies.start(leaving)
                    done.append(f"start {leaving}")
                copies.until_shared(behind_max=BEHIND_MAX, what=f"for all after {done}")
        # The lag alone would be by ends that were asked for before the last lines came.
        owners = copies.until_shared(behind_max=0, what=f"for the rest after {done}", up_to=time.time())
        for name in list(copies.alive):
            copies.end(name, signal.SIGTERM)
    finally:
        copies.kill()
    compare(copies, load, owners=owners, written=written(broker, topic))


def compare(copies: Copies, load: Load, *, owners: dict[int, str], written: dict[int, list[Line]]) -> None:
    """Every file with the topic, and owners' files with what the load knows."""
    assert Counter(line for lines in written.values() for line in lines) == load.log()
    for name in NAMES:
        if not copies.file(name).exists():
            continue
        found = copies.lines(name)
        for partition in range(PARTITIONS):
            assert found[partition] == written[partition][: len(found[partition])], f"{name} has not the beginning"
            if owners[partition] == name:
                assert len(found[partition]) == len(written[partition])
                accounts = [line for line in load.accounts() if line[0] % PARTITIONS == partition]
                assert copies.accounts(name, partition) == accounts
