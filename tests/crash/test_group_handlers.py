"""Three processes of one group whose functions are called at least once: killed, stopped and started under load. Each
version of each key is seen, the first time in its order; what a process that was told to stop has done is not done
again."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from servers.kafka import Broker
from tests.background import beside
from tests.crash.test_group import OPTIONS, PARTITIONS, ROOT, broker
from tests.server.kafka.filling import event
from tests.waiting import until

__all__ = ["broker"]

KEYS = 60


class Load:
    """Writes versions of keys until it is stopped."""

    def __init__(self, address: str, topic: str) -> None:
        self._producer = Producer({"bootstrap.servers": address, "enable.idempotence": True, "linger.ms": 5})
        self._topic = topic
        self.versions = [0] * KEYS

    @contextmanager
    def flowing(self, chance: random.Random) -> Iterator[None]:
        """In the background; all that was written is acknowledged at the end."""
        stopped = threading.Event()

        def work() -> None:
            while not stopped.wait(0.01):
                for _ in range(2):
                    self.change(chance.randrange(KEYS))

        with beside(work, stopped.set):
            yield
        self.flush()

    def change(self, key: int) -> None:
        """The next version of a key."""
        self.versions[key] += 1
        value = event("u", after={"id": key, "version": self.versions[key]}, table="accounts")
        self._producer.produce(
            self._topic, key=json.dumps({"id": key}).encode(), value=value, partition=key % PARTITIONS
        )
        self._producer.poll(0)

    def change_all(self) -> None:
        """The next version of each key, acknowledged."""
        for key in range(KEYS):
            self.change(key)
        self.flush()

    def flush(self) -> None:
        assert self._producer.flush(60) == 0


class Shop:
    """Processes of one group, and what their functions noted."""

    def __init__(self, url: str, folder: Path, *, protocol: str, lanes: int = 1) -> None:
        self._url = url
        self._how = [protocol, str(lanes)]
        self._folder = folder
        self._started = 0
        self.alive: list[subprocess.Popen[bytes]] = []
        (folder / "notes").touch()

    def notes(self) -> list[tuple[int, int]]:
        """Key and version of each call, in order."""
        text = (self._folder / "notes").read_text()
        return [(int(key), int(version)) for key, version in (line.split() for line in text.splitlines())]

    def join(self) -> None:
        """One more process, which has begun."""
        self._started += 1
        (folder := self._folder / str(self._started)).mkdir()
        command = [sys.executable, "-m", "tests.crash.handling", self._url, str(self._folder / "notes"), *self._how]
        with (folder / "stderr").open("wb") as errors:
            environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
            self.alive.append(subprocess.Popen(command, stderr=errors, cwd=folder, env=environment))
        until((folder / ".tailrace" / "shop.sock").exists, "for a process to begin")

    def leave(self, process: subprocess.Popen[bytes]) -> None:
        """As it is told to."""
        self.alive.remove(process)
        process.terminate()
        assert process.wait(60) == 0, self.said()

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        self.alive.remove(process)
        process.kill()
        assert process.wait(60) == -signal.SIGKILL, self.said()

    def said(self) -> str:
        return "\n".join(path.read_text()[-3000:] for path in self._folder.glob("*/stderr"))

    def wait_all(self, load: Load) -> None:
        """Until each key's last version was seen."""
        wanted = {(key, version) for key, version in enumerate(load.versions) if version}
        until(lambda: wanted <= set(self.notes()), "for the last versions", timeout_s=120)
        assert all(process.poll() is None for process in self.alive), self.said()


def address(broker: Broker, topic: str, protocol: str) -> str:
    """Of the topic and its group, whose members are given up soon."""
    options = OPTIONS[protocol].replace('"', "").replace(" = ", "=").replace(", ", "&")
    return f"kafka://{broker.address}/{topic}?group={topic}&{options}".rstrip("&")


def all_told(broker: Broker, topic: str) -> bool:
    """The group's offsets stand at the ends of the topic."""
    places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    with closing(Consumer({"bootstrap.servers": broker.address, "group.id": topic})) as consumer:
        told = [place.offset for place in consumer.committed(places, timeout=30)]
        return told == [consumer.get_watermark_offsets(place, timeout=30)[1] for place in places]


@pytest.mark.parametrize(("protocol", "lanes"), [("classic", 1), ("classic", 4), ("consumer", 4)])
def test_handlers_of_members_lose_nothing_and_keep_the_order_of_keys(
    broker: Broker, tmp_path: Path, seed: int, protocol: str, lanes: int
) -> None:
    chance = random.Random(seed)
    topic = broker.create_topic(f"handlers_{protocol}_{lanes}", PARTITIONS)
    shop = Shop(address(broker, topic, protocol), tmp_path, protocol=protocol, lanes=lanes)
    load = Load(broker.address, topic)
    acts = ["kill", "leave", "kill", "leave", "kill", "leave"]
    chance.shuffle(acts)
    try:
        for at in range(6_000):  # a backlog: much is read that no function has got yet
            load.change(at % KEYS)
        with load.flowing(chance):
            for _ in range(3):
                shop.join()
            until(lambda: len(shop.notes()) > 100, "for changes to flow")
            for act in acts:
                before = len(shop.notes())
                getattr(shop, act)(chance.choice(shop.alive))
                shop.join()
                until(lambda before=before: len(shop.notes()) > before + 200, f"for more after {act}")  # type: ignore[misc]
        shop.wait_all(load)
        # What a member that was killed had not told is done again, and may take another one longer than a stop does.
        until(lambda: all_told(broker, topic), "for all to be told to the group", timeout_s=120)
        load.change_all()
        shop.wait_all(load)
        for process in list(shop.alive):
            shop.leave(process)
        done = len(shop.notes())
        shop.join()
        load.change_all()
        shop.wait_all(load)
        shop.leave(shop.alive[0])
    finally:
        for process in list(shop.alive):
            shop.kill(process)
    seen: dict[int, list[int]] = defaultdict(list)
    for key, version in shop.notes():
        if version not in seen[key]:
            seen[key].append(version)
    assert {key: list(range(1, version + 1)) for key, version in enumerate(load.versions)} == seen
    assert sorted(shop.notes()[done:]) == sorted(enumerate(load.versions))


@pytest.mark.parametrize("protocol", OPTIONS)
def test_handlers_of_members_that_join_and_leave_under_load_are_called_once_in_order(
    broker: Broker, tmp_path: Path, protocol: str, seed: int
) -> None:
    chance = random.Random(seed)
    topic = broker.create_topic(f"moving_{protocol}", PARTITIONS)
    shop = Shop(address(broker, topic, protocol), tmp_path, protocol=protocol)
    load = Load(broker.address, topic)
    left = ["join"] * 5 + ["leave"] * 5
    chance.shuffle(left)
    try:
        for at in range(6_000):  # so that each partition has work in flight whenever it moves
            load.change(at % KEYS)
        with load.flowing(chance):
            for _ in range(2):
                shop.join()
            until(lambda: len(shop.notes()) > 100, "for changes to flow")
            while left:
                alive = len(shop.alive)
                left.remove(act := next(act for act in left if (alive < 4 if act == "join" else alive > 1)))
                before = len(shop.notes())
                if act == "join":
                    shop.join()
                else:
                    shop.leave(chance.choice(shop.alive))
                until(lambda before=before: len(shop.notes()) > before + 200, f"for more after {act}")  # type: ignore[misc]
        shop.wait_all(load)
        for process in list(shop.alive):
            shop.leave(process)
    finally:
        for process in list(shop.alive):
            shop.kill(process)
    seen: dict[int, list[int]] = defaultdict(list)
    for key, version in shop.notes():
        seen[key].append(version)
    assert {key: list(range(1, version + 1)) for key, version in enumerate(load.versions)} == seen
