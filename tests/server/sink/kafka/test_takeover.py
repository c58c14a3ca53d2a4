"""Two pipelines that were given one transactional id by mistake: each fences the other off in turn."""

from __future__ import annotations

from pathlib import Path

from servers.kafka import Broker
from tailrace.error import Fatal, Fenced
from tailrace.format import Format
from tailrace.model import Limits
from tailrace.sink.kafka import Kafka
from tailrace.testing.fake import Log, LogSource
from tests.fault.row import fault, stops
from tests.server.kafka.filling import Member, running
from tests.server.sink.kafka.topics import read
from tests.waiting import until

WAIT_S = 180.0
NAMES = ("a", "b")


class Pair:
    """Two pipelines, each with a log, a prefix and a topic of positions of its own."""

    def __init__(self, broker: Broker, topic: str, folder: Path) -> None:
        self._broker = broker
        self._topic = topic
        self._folder = folder
        self.logs = {name: Log(f"test/{name}") for name in NAMES}
        self.last = dict.fromkeys(NAMES, 0)

    def member(self, name: str) -> Member:
        sink = Kafka(
            f"kafka://{self._broker.address}",
            format=Format(topic_prefix=f"{self._topic}.{name}"),
            create_topics=True,
            transactions=True,
            transactional_id=self._topic,
            positions_topic=f"{self._topic}.{name}.positions",
        )
        return Member(LogSource(self.logs[name]), sink, name, self._folder / name, limits=Limits(backoff_s_max=0.2))

    def insert(self, name: str) -> None:
        self.last[name] += 1
        self.logs[name].insert(self.last[name])

    def written(self, name: str) -> list[int]:
        """What whoever reads what is committed sees, once nothing is open there."""
        return [record.row["id"] for record in read(self._broker, f"{self._topic}.{name}.public.orders", settled=True)]


@fault(
    "two pipelines have one transactional_id",
    "sink, transactions",
    stops(1, "another producer takes the transactional id … over again and again, …", "the other one goes on"),
)
def test_of_two_pipelines_with_one_transactional_id_one_stops_and_nothing_is_lost_or_doubled(
    kafka: Broker, topic: str, tmp_path: Path
) -> None:
    """Each was opened anew, fenced the other off, and was fenced off in turn, for as long as they ran."""
    pair = Pair(kafka, topic, tmp_path)
    members = {name: pair.member(name) for name in NAMES}

    def ended() -> list[str]:
        for name in NAMES:
            pair.insert(name)
        return [name for name, member in members.items() if not member.alive]

    with running(*members.values()):
        until(ended, "for one of them to end", timeout_s=WAIT_S)
        [stopped] = [name for name, member in members.items() if not member.alive]
        [left] = set(NAMES) - {stopped}
        error, restarts = members[stopped].error, members[stopped].pipeline.status().restarts
        assert isinstance(error, Fatal) and not isinstance(error, Fenced)
        assert f"another producer takes the transactional id '{topic}' over again and again" in str(error)
        assert "a transactional_id of its own" in str(error)
        assert restarts >= 2, "one takeover may be anyone's, and is over"
        pair.insert(left)
        end = pair.logs[left].commit(("c", {"id": "0", "note": "last"}))
        saved = members[left].pipeline.status
        until(lambda: saved().positions.get(end.lineage) == end.text, "for the other one", timeout_s=WAIT_S)
        assert members[left].alive
    again = pair.member(stopped)
    again.pipeline.run(until_current=True)
    for name in NAMES:
        assert pair.written(name) == [*range(1, pair.last[name] + 1), *([0] if name == left else [])]
