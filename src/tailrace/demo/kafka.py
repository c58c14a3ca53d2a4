"""PostgreSQL → Kafka → two processes of one group, each with a DuckDB file that holds the rows of its partitions.

Together the two files are the shop: a key lies in one partition, and a static member finds its partitions again after
a kill, so no row is in both. Never starts the processes: see `stage`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from tailrace.demo import broker
from tailrace.demo.compare import TABLES, Compared, Shop, duckdb_rows
from tailrace.demo.members import FILL, GROUP, PREFIX
from tailrace.demo.plot import Act, Part
from tailrace.demo.progress import confirmed, read_by
from tailrace.demo.server import free_port
from tailrace.error import Fatal

CONSUMERS = ("consumer-1", "consumer-2")
PARTITIONS = 4
"""Of each table's topic."""
_SHARE = PARTITIONS * len(TABLES) // len(CONSUMERS)
_ASK_S = 30.0


@dataclass(slots=True)
class OverKafka:
    """See `Plot`."""

    jars: broker.Jars
    title: ClassVar[str] = "tailrace demo --kafka"
    roads: ClassVar[Mapping[str, str]] = {FILL: "PostgreSQL → Kafka"} | {
        name: f"Kafka → {name} → DuckDB" for name in CONSUMERS
    }
    targets: ClassVar[Mapping[str, tuple[str, ...]]] = {"duckdb × 2": CONSUMERS}
    victims: ClassVar[Sequence[str]] = CONSUMERS
    _folder: Path = Path()
    _url: str = ""
    _address: str = ""

    @classmethod
    def found(cls) -> OverKafka:
        """With the Kafka that this machine has; `Fatal` when it can have none, or there is no client."""
        if find_spec("confluent_kafka") is None:
            raise Fatal("the demonstration over Kafka needs its client", hint="pip install 'tailrace[demo,kafka]'")
        return cls(broker.find())

    @property
    def setting(self) -> str:
        """See `Plot.setting`."""
        first = "" if self.jars.there else " (which Maven brings now, once, about 100 MB)"
        return f"PostgreSQL 18 from its wheel, Kafka{first}"

    def build(self, folder: Path, url: str, *, stack: ExitStack) -> Sequence[Act]:
        """Start the broker and make the topics; the group shares them before anything is in them."""
        self._folder, self._url = folder, url
        self._start(stack)
        consumers = {name: Part("members", ("consume", name, *self._where), (name,)) for name in CONSUMERS}
        return [
            Act(consumers, lambda each: each.partitions == _SHARE, "the consumers share the partitions"),
            Act({FILL: self._filling}, lambda each: each.state == "streaming", "the topics are filled and followed"),
        ]

    def arrived(self, lsn: str) -> bool:
        """See `Plot.arrived`: it is in Kafka, and the group has read all that is."""
        return confirmed(self._url, lsn) == 1 and read_by(self._address, GROUP, _topics())

    def compare(self) -> list[Compared]:
        """See `Plot.compare`."""
        files = [self._folder / f"{name}.duckdb" for name in CONSUMERS]
        with Shop(self._url) as shop:
            return shop.compare(next(iter(self.targets)), duckdb_rows(files), typed=True)

    @property
    def _where(self) -> tuple[str, str]:
        return self._address, str(self._folder)

    @property
    def _filling(self) -> Part:
        return Part("members", ("fill", self._url, *self._where), (FILL,))

    def _start(self, stack: ExitStack) -> None:
        from confluent_kafka.admin import AdminClient, NewTopic

        broker.fetch(self.jars)
        folder, port = self._folder / "kafka", free_port()
        folder.mkdir()
        server = broker.Broker(self.jars.folder, folder, java_options=("-XX:TieredStopAtLevel=1",))
        server.configure(broker.listening(port, free_port(), folder / "data"))
        broker.format_storage(server.java, server.jars, server.properties)
        stack.callback(server.kill)  # nobody reads its data again
        server.start()
        self._address = f"127.0.0.1:{port}"
        admin = AdminClient({"bootstrap.servers": self._address})
        wanted = [NewTopic(topic, num_partitions=PARTITIONS, replication_factor=1) for topic in _topics()]
        for made in admin.create_topics(wanted, request_timeout=_ASK_S).values():
            made.result(_ASK_S)


def _topics() -> list[str]:
    return [f"{PREFIX}.shop.{table}" for table in TABLES]
