"""Three processes, one consumer group, twelve partitions, one PostgreSQL: killed, paused, stopped and started at random
under load. The target ends as the ledger says: nothing lost, nothing twice, no key ever goes back (I16)."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import Producer

from servers import kafka
from servers.kafka import Broker, Cluster
from tests.server.kafka.filling import event
from tests.server.sink.kafka.topics import read
from tests.waiting import until
from tests.wanting import or_skip

Line = tuple[int, int]
"""An account, and its version."""
ROOT = Path(__file__).parents[2]
PARTITIONS, KEYS = 12, 120
STOPPED = (128 + signal.SIGTERM, -signal.SIGTERM)
"""The second: it was told to stop before it had begun."""
SETTINGS = {
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.session.timeout.ms": "3000",
    "group.consumer.min.heartbeat.interval.ms": "100",
    "group.consumer.heartbeat.interval.ms": "300",
}
ACTS = {
    "classic": {"kill": 4, "leave": 2, "pause": 3, "join": 5},
    "consumer": {"kill": 2, "leave": 1, "pause": 2, "join": 3},
}
"""What is done to the members, in an order that is drawn: every run has all of it."""
OPTIONS = {
    "classic": '"session.timeout.ms" = "3000", "heartbeat.interval.ms" = "300"',
    "consumer": "",
}
CONFIG = """
[pipeline.shop]
sink = "{target}"
[pipeline.shop.source]
kind = "kafka"
url = "kafka://{address}/{topic}?group={topic}"
group_protocol = "{protocol}"
options = {{ {options} }}
[pipeline.shop.limits]
batch_bytes_max = 65536
shelf_bytes_max = 65536
backoff_s_max = 1
"""
TABLES = """
CREATE TABLE accounts (id int8 PRIMARY KEY, version int8);
CREATE TABLE history (at bigserial, id int8, version int8);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO public.history (id, version) VALUES (NEW.id, NEW.version); RETURN NULL; END $$;
CREATE TRIGGER note AFTER INSERT OR UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION note();
ALTER TABLE accounts ENABLE ALWAYS TRIGGER note;
"""
"""`log`, which has no key, is left to the members to make: a change that came twice would be two rows of it."""


class Load:
    """Writes versions of accounts, and a line of the log for each, until it is stopped; knows what it has written."""

    def __init__(self, broker: Broker | Cluster, topic: str, seed: int, *, together: int = 10) -> None:
        self._together = together
        self._producer = Producer({"bootstrap.servers": broker.address, "enable.idempotence": True, "linger.ms": 5})
        self._topic = topic
        self._random = random.Random(seed)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self.versions = [0] * KEYS
        self.there = [False] * KEYS

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """No more; all that was written is acknowledged."""
        self._stopped.set()
        self._thread.join()
        assert self._producer.flush(180) == 0

    def accounts(self) -> list[tuple[int, int]]:
        """What `accounts` must hold."""
        return [(key, self.versions[key]) for key in range(KEYS) if self.there[key]]

    def log(self) -> Counter[tuple[int, int]]:
        """What `log` must hold."""
        return Counter((key, version) for key in range(KEYS) for version in range(1, self.versions[key] + 1))

    def _work(self) -> None:
        while not self._stopped.wait(0.01):
            for _ in range(self._together):
                self._change(self._random.randrange(KEYS))

    def _change(self, key: int) -> None:
        self.versions[key] += 1
        row = {"id": key, "version": self.versions[key]}
        if self.there[key] and self._random.random() < 0.2:
            change, self.there[key] = event("d", before=row, table="accounts"), False
        else:
            change = event("u" if self.there[key] else "c", after=row, table="accounts")
            self.there[key] = True
        name = json.dumps({"id": key}).encode()
        for record_key, value in ((name, change), (None, event("c", after=row, table="log"))):
            while True:
                try:
                    self._producer.produce(self._topic, key=record_key, value=value, partition=key % PARTITIONS)
                    break
                except BufferError:  # no leader takes it now
                    self._producer.poll(0.1)
        self._producer.poll(0)


class Members:
    """Processes of one group, each with a folder of its own."""

    def __init__(self, folder: Path, config: str) -> None:
        self._folder = folder
        self._config = config
        self._started = 0
        self.alive: list[subprocess.Popen[bytes]] = []

    def join(self, name: str | None = None) -> None:
        """One more, with a `name` a static member."""
        self._started += 1
        folder = self._folder / f"member{self._started}"
        folder.mkdir()
        static = f'kind = "kafka"\nmember = "{name}"' if name else 'kind = "kafka"'
        (folder / "shop.toml").write_text(self._config.replace('kind = "kafka"', static))
        with (folder / "stderr").open("wb") as errors:
            command = [sys.executable, "-m", "tailrace", "run", str(folder / "shop.toml")]
            environment = os.environ | {"PYTHONFAULTHANDLER": "1"}
            self.alive.append(subprocess.Popen(command, stderr=errors, stdout=errors, cwd=ROOT, env=environment))
        until((folder / ".tailrace" / "shop.sock").exists, "for a process to begin", timeout_s=180)

    def take(self, chance: random.Random) -> subprocess.Popen[bytes]:
        """One that is going to leave."""
        return self.alive.pop(chance.randrange(len(self.alive)))

    def replace(self, at: int, name: str) -> None:
        """A static member is killed, and starts again at once under its name."""
        victim = self.alive.pop(at)
        victim.kill()
        assert victim.wait(30) == -signal.SIGKILL
        self.join(name)
        self.alive.insert(at, self.alive.pop())

    def check(self) -> None:
        """None has ended by itself."""
        for process in self.alive:
            assert process.poll() is None, self.said()

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait as long as none has ended; where the time is up, all say where they stand."""
        try:
            until(lambda: self.check() or condition(), what, timeout_s=300)
        except AssertionError as error:
            for process in self.alive:
                process.send_signal(signal.SIGCONT)
                process.send_signal(signal.SIGABRT)
                process.wait(30)
            raise AssertionError(f"{error}\n{self.said()}") from None

    def said(self) -> str:
        """The last words of all."""
        told = sorted(self._folder.glob("member*/stderr"), key=lambda path: path.stat().st_mtime)
        return "\n".join(f"{path.parent.name}: {path.read_text()[-6000:]}" for path in told)

    def kill(self) -> None:
        for process in self.alive:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait(30)


class Scene:
    """The group under load, and what is done to it."""

    def __init__(self, members: Members, url: str, chance: random.Random, acts: Mapping[str, int]) -> None:
        self.members = members
        self.left = list(Counter(acts).elements())
        chance.shuffle(self.left)
        self._url = url
        self._chance = chance
        self._connection = psycopg.connect(url, autocommit=True)
        self.done: list[str] = []

    def close(self) -> None:
        self.members.kill()
        self._connection.close()

    def written(self) -> dict[int, int]:
        """Lines of the log by partition."""
        if self._rows("SELECT to_regclass('public.log')::text") == [(None,)]:
            return {}
        return dict(self._rows(f"SELECT (id % {PARTITIONS})::int, count(*) FROM log GROUP BY 1"))

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(query.encode()).fetchall()

    def go_on(self, *, everywhere: bool) -> None:
        """Until more is written: of each partition, or of any."""
        before = self.written()

        def more() -> bool:
            now = self.written()
            grown = [now.get(number, 0) > before.get(number, 0) for number in range(PARTITIONS)]
            return all(grown) if everywhere else any(grown)

        self.members.until(more, f"for more after {self.done}")

    def act(self) -> None:
        """Do to the group what comes next: two to four members are left to share, or one for a moment."""
        chance, members = self._chance, self.members
        alive = len(members.alive)
        act = next(act for act in self.left if (alive < 4 if act == "join" else alive > 1))
        self.left.remove(act)
        self.done.append(act)
        if act == "join":
            members.join()
        elif act == "kill":
            victim = members.take(chance)
            victim.kill()
            assert victim.wait(30) == -signal.SIGKILL
        elif act == "leave":
            leaving = members.take(chance)
            leaving.terminate()
            assert leaving.wait(180) in STOPPED, members.said()
        else:
            hanging = chance.choice(members.alive)
            os.kill(hanging.pid, signal.SIGSTOP)
            self.go_on(everywhere=True)  # so the others have what was its own
            os.kill(hanging.pid, signal.SIGCONT)
        self.go_on(everywhere=chance.random() < 0.5)

    def compare(self, load: Load, broker: Broker | Cluster, topic: str) -> None:
        """The target is what the ledger says, and has each record of the topic once."""
        records = Counter(line for part in written(broker, topic).values() for line in part)
        assert records.keys() == load.log().keys()
        assert Counter(self._rows("SELECT id, version FROM log")) == records
        assert self._rows("SELECT id, version FROM accounts ORDER BY id") == load.accounts()
        there, noted = defaultdict[int, list[int]](list), defaultdict[int, list[int]](list)
        for key, version in chain.from_iterable(written(broker, topic, "accounts").values()):
            there[key].append(version)
        for key, version in self._rows("SELECT id, version FROM history ORDER BY at"):
            noted[key].append(version)
        for key in range(KEYS):  # it goes back only where the topic does; what came together is written as its last
            left = iter(there[key])
            assert all(version in left for version, _ in groupby(noted[key])), (key, noted[key], there[key])
        assert noted.keys() == set(range(KEYS))


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """A broker that gives members up soon."""
    with ExitStack() as stack:
        yield or_skip(lambda: stack.enter_context(kafka.start(settings=SETTINGS)))


@contextmanager
def loaded(load: Load) -> Iterator[None]:
    load.start()
    try:
        yield
    finally:
        load.stop()


def written(broker: Broker | Cluster, topic: str, table: str = "log") -> dict[int, list[Line]]:
    """A table's lines as the topic has them: a producer may write some twice when a leader goes, an idempotent one too
    (https://github.com/confluentinc/librdkafka/issues/4953)."""
    lines: dict[int, list[Line]] = defaultdict(list)
    for record in read(broker, topic, settled=True):  # a leader that was just chosen hears of its end from others
        if record.value is not None and record.event["source"]["table"] == table:
            lines[record.partition].append((record.row["id"], record.row["version"]))
    return lines


@contextmanager
def staged(
    broker: Broker | Cluster,
    database: str,
    folder: Path,
    *,
    topic: str,
    protocol: str,
    seed: int,
    together: int = 10,
) -> Iterator[Scene]:
    """A group that is to be under load, so many versions at a time. At the end all that was written is waited for, and
    compared."""
    broker.create_topic(topic, PARTITIONS)
    with psycopg.connect(database, autocommit=True) as target:
        target.execute(TABLES.encode())
    config = CONFIG.format(
        target=database, address=broker.address, topic=topic, protocol=protocol, options=OPTIONS[protocol]
    )
    scene = Scene(Members(folder, config), database, random.Random(seed), ACTS[protocol])
    load = Load(broker, topic, seed, together=together)
    with ExitStack() as stack:
        stack.callback(scene.close)
        with loaded(load):
            yield scene
        total = sum(map(len, written(broker, topic).values()))  # some may stand there twice
        scene.members.until(lambda: sum(scene.written().values()) >= total, f"for the rest after {scene.done}")
        while scene.members.alive:
            leaving = scene.members.alive.pop()
            leaving.terminate()
            assert leaving.wait(180) in STOPPED, scene.members.said()
        scene.compare(load, broker, topic)


@pytest.mark.parametrize("protocol", ACTS)
def test_i16_members_that_are_killed_paused_and_replaced_lose_and_double_nothing(
    broker: Broker, database: str, tmp_path: Path, protocol: str, seed: int
) -> None:
    with staged(broker, database, tmp_path, topic=f"group_{protocol}", protocol=protocol, seed=seed) as scene:
        for _ in range(3):
            scene.members.join()
        scene.go_on(everywhere=True)
        while scene.left:
            scene.act()


@pytest.mark.parametrize("protocol", ACTS)
def test_i16_static_members_that_are_killed_and_come_back_under_their_names_lose_and_double_nothing(
    broker: Broker, database: str, tmp_path: Path, protocol: str, seed: int
) -> None:
    """With KIP-848 a name is taken until the session of the process that was killed has ended."""
    names, chance = ("one", "two", "three"), random.Random(seed)
    with staged(broker, database, tmp_path, topic=f"static_{protocol}", protocol=protocol, seed=seed) as scene:
        for name in names:
            scene.members.join(name)
        scene.go_on(everywhere=True)
        for at in (0, 1, 2, chance.randrange(3), chance.randrange(3)):
            scene.members.replace(at, names[at])
            scene.done.append(f"kill {names[at]}")
            scene.go_on(everywhere=chance.random() < 0.5)
        scene.go_on(everywhere=True)
