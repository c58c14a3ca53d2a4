"""A group of processes whose functions note what they have handled, and the load that is put on it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from servers import kafka
from servers.kafka import Broker
from tests.background import beside
from tests.crash.handling import Manner
from tests.crash.test_group import PARTITIONS, ROOT, SETTINGS
from tests.server.kafka.filling import event
from tests.waiting import until
from tests.wanting import or_skip

KEYS = 60
SESSION_MS = 10_000
"""A member that only got no processor for seconds is not given up: what it was at would be done twice."""
PATIENCE_S = 300.0
"""A group that has lost a member shares anew first, and what was not told is done again."""


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

    def __init__(self, url: str, folder: Path, manner: Manner) -> None:
        self._url = url
        self.manner = manner
        """Of those that join from now on."""
        self._folder = folder
        self._started = 0
        self.alive: list[subprocess.Popen[bytes]] = []
        (folder / "notes").touch()

    @contextmanager
    def open(self, more: Callable[[], str] = str) -> Iterator[None]:
        """No process is left at the end. A failure comes with what all have said, and what there is `more` to say."""
        try:
            yield
        except BaseException as error:
            error.add_note(f"{self.said()}\n{more()}")
            raise
        finally:
            for process in list(self.alive):
                self.kill(process)

    def notes(self) -> list[tuple[int, int]]:
        """Key and version of each call, in order; what is being written is none yet."""
        whole, _, _ = (self._folder / "notes").read_text().rpartition("\n")
        return [(int(key), int(version)) for key, version in (line.split() for line in whole.splitlines())]

    def seen(self) -> dict[int, list[int]]:
        """The versions of each key in the order of their first calls."""
        seen: dict[int, dict[int, None]] = defaultdict(dict)
        for key, version in self.notes():
            seen[key][version] = None
        return {key: list(versions) for key, versions in seen.items()}

    def join(self) -> None:
        """One more process, which has begun."""
        self._started += 1
        (folder := self._folder / str(self._started)).mkdir()
        arguments = [self._url, str(self._folder / "notes"), self.manner.text()]
        with (folder / "stderr").open("wb") as errors:
            environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
            command = [sys.executable, "-m", "tests.crash.handling", *arguments]
            self.alive.append(subprocess.Popen(command, stderr=errors, cwd=folder, env=environment))
        until((folder / ".tailrace" / "shop.sock").exists, "for a process to begin", timeout_s=PATIENCE_S)

    def suffer(self, acts: Sequence[str], load: Load, chance: random.Random) -> None:
        """Three join, and under load each of `acts` is done to one of them, whom another one replaces."""
        for at in range(6_000):  # a backlog: much is read that no function has got yet
            load.change(at % KEYS)
        with load.flowing(chance):
            for _ in range(3):
                self.join()
            until(lambda: len(self.notes()) > 100, "for changes to flow", timeout_s=PATIENCE_S)
            for act in acts:
                before = len(self.notes())
                getattr(self, act)(chance.choice(self.alive))
                self.join()
                self.wait_more(before, act)

    def wait_more(self, before: int, act: str) -> None:
        """Until much more is noted than there was `before` this was done."""
        until(lambda: len(self.notes()) > before + 200, f"for more after {act}", timeout_s=PATIENCE_S)

    def leave(self, process: subprocess.Popen[bytes]) -> None:
        """As it is told to."""
        self.alive.remove(process)
        process.terminate()
        assert process.wait(PATIENCE_S) == 0, self.said()

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        self.alive.remove(process)
        process.kill()
        assert process.wait(60) == -signal.SIGKILL, self.said()

    def said(self) -> str:
        return "\n".join(path.read_text()[-3000:] for path in self._folder.glob("*/stderr"))

    def wait_all(self, load: Load, *, but: Collection[int] = ()) -> None:
        """Until each key's last version was seen, `but` those of some keys."""
        wanted = {(key, version) for key, version in enumerate(load.versions) if version and key not in but}
        try:
            until(lambda: wanted <= set(self.notes()), "for the last versions", timeout_s=PATIENCE_S)
        except AssertionError as error:
            error.add_note(f"not seen, key and version: {sorted(wanted - set(self.notes()))}")
            raise
        assert all(process.poll() is None for process in self.alive), self.said()


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """A broker that gives a member up after `SESSION_MS`."""
    settings = SETTINGS | {"group.consumer.session.timeout.ms": str(SESSION_MS)}
    with ExitStack() as stack:
        yield or_skip(lambda: stack.enter_context(kafka.start(settings=settings)))


def address(broker: Broker, topic: str, protocol: str) -> str:
    """Of the topic and its group."""
    options = f"session.timeout.ms={SESSION_MS}&heartbeat.interval.ms=300" if protocol == "classic" else ""
    return f"kafka://{broker.address}/{topic}?group={topic}&{options}".rstrip("&")


def all_told(broker: Broker, topic: str) -> bool:
    """The group's offsets stand at the ends of the topic."""
    places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    with closing(Consumer({"bootstrap.servers": broker.address, "group.id": topic})) as consumer:
        try:
            told = [place.offset for place in consumer.committed(places, timeout=60)]
            return told == [consumer.get_watermark_offsets(place, timeout=60)[1] for place in places]
        except KafkaException:  # a coordinator that has just lost a member may be slow: it is asked again
            return False
