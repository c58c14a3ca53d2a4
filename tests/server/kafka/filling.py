"""Topics with events in them, and what a pipeline made of them. Never reads a topic itself."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from servers.kafka import Broker, Cluster
from tailrace import Pipeline
from tailrace.contract import Sink, Source
from tailrace.model import Limits


def event(op: str, *, before: Any = None, after: Any = None, table: str = "orders") -> bytes:
    """A change event as Debezium writes it without schemas."""
    source = {"connector": "postgresql", "db": "shop", "ts_us": 1_700_000_000_000_000, "snapshot": "false"}
    source |= {"schema": "public", "table": table, "txId": 7, "lsn": 9}
    return json.dumps({"before": before, "after": after, "source": source, "op": op}).encode()


def produce(
    broker: Broker | Cluster, topic: str, records: Iterable[tuple[bytes | None, bytes | None]], **to: int
) -> None:
    """Write records, all acknowledged, each once."""
    producer = Producer({"bootstrap.servers": broker.address, "enable.idempotence": True})
    for key, value in records:
        producer.produce(topic, key=key, value=value, **to)
    assert producer.flush(120) == 0


def fill(broker: Broker, topic: str, ids: Iterable[int]) -> None:
    """Inserts of rows with these ids."""
    produce(broker, topic, ((json.dumps({"id": at}).encode(), event("c", after={"id": at, "n": at})) for at in ids))


@dataclass
class Member:
    """A pipeline that runs in a thread of its own, as a process of a group would."""

    source: Source
    sink: Sink
    name: str
    folder: Path
    limits: Limits = field(default_factory=Limits)
    error: BaseException | None = None

    def __post_init__(self) -> None:
        self.pipeline = Pipeline(self.source, self.sink, name=self.name, state_dir=self.folder, limits=self.limits)
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self.pipeline.run()
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            self.error = error

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop and wait; raises what the pipeline ended with."""
        self.pipeline.stop()
        self._thread.join(60)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()


@contextmanager
def running(*members: Member) -> Iterator[None]:
    """Members that are stopped at the end, whatever happens."""
    try:
        for member in members:
            member.start()
        yield
    finally:
        for member in members:
            member.pipeline.stop()
        for member in members:
            member._thread.join(60)
