"""Which topics are wanted, and their ids: a topic that is deleted and made anew has another. Never reads a record."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    ListOffsetsResultInfo,
    OffsetSpec,
    TopicDescription,
)

from tailrace.dialect.kafka.client import refuse_stopped
from tailrace.error import Fatal
from tailrace.source.kafka.fault import error_of, explain, explained
from tailrace.source.kafka.pattern import is_glob, is_wanted

__all__ = ["Topics", "id_of", "is_missing", "lineage"]

_ASK_S = 15.0
_UNKNOWN = frozenset((KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION))
_LEADERS = _UNKNOWN | {
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError._NOENT,  # librdkafka's own "No leaders found"
}
"""That there is a partition, or who leads it, is not settled, or not known to all."""
_NEW_S, _LED_S, _LOOK_S = 2.0, 5.0, 0.2


def lineage(cluster: str, topic_id: str, partition: int) -> str:
    """The name of one partition's stream."""
    return f"kafka/{cluster}/{topic_id}/{partition}"


def id_of(topic: TopicDescription) -> str:
    """A topic's id, as Kafka prints it: its base64 has neither / nor +."""
    return str(topic.topic_id).replace("/", "_").replace("+", "-")


def is_missing(error: KafkaError) -> bool:
    """Whether the broker says that there is no such topic."""
    return error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART


class Topics:
    """The topics of one cluster. Used on the reader thread; waits for brokers no longer than until `stop` is set."""

    def __init__(self, admin: AdminClient, wanted: Sequence[str], stop: threading.Event | None = None) -> None:
        self._admin = admin
        self._wanted = wanted
        self._stop = stop or threading.Event()
        self.existing: Mapping[str, int] = {}
        """Names of all topics that we may see, with their number of partitions."""
        self.cluster = self._list()
        """The cluster's id."""

    def _list(self) -> str:
        with explained("listing the topics"):
            found = self._admin.list_topics(timeout=_ASK_S)
        self.existing = {name: len(topic.partitions) for name, topic in found.topics.items()}
        return str(found.cluster_id)

    def matching(self) -> list[str]:
        """Those that are wanted; `Fatal` for a name that is missing, also after a moment: brokers hear of a topic that
        was just made one after another. `Retryable` as soon as `stop` is set."""
        names = [topic for topic in self._wanted if not is_glob(topic)]
        deadline = time.monotonic() + _NEW_S
        while not self.existing.keys() >= set(names) and time.monotonic() < deadline:
            self._stop.wait(_LOOK_S)
            refuse_stopped(self._stop.is_set)
            self._list()
        for name in names:
            if name not in self.existing:
                raise Fatal(
                    f"the topic {name} does not exist in the cluster, or may not be seen",
                    hint="create it, mend its name in topics, or allow DESCRIBE and READ on it",
                )
        return sorted(name for name in self.existing if self.wants(name))

    def is_alone(self, name: str) -> bool:
        """Whether the topic `name` has one partition now; `Retryable` when no broker says."""
        self._list()
        return self.existing.get(name) == 1

    def wants(self, name: str) -> bool:
        """Whether the topic `name` is one of those that are wanted."""
        return is_wanted(name, self._wanted)

    def ids(self, names: Sequence[str]) -> dict[str, str]:
        """The id of each topic; one that is gone is left out."""
        ids: dict[str, str] = {}
        if not names:
            return ids
        for name, future in self.ask(names).items():
            try:
                ids[name] = id_of(future.result())
            except KafkaException as error:
                if not is_missing(error_of(error)):
                    raise explain(error_of(error), f"topic {name}") from error
        return ids

    def ends(self, places: Sequence[TopicPartition], *, isolation: str) -> dict[tuple[str, int], tuple[int, int]]:
        """The offsets of the first record and behind the last one of each partition, as readers of this isolation see
        them; KafkaException when one cannot be had.

        All at once and over a connection of our own: on the consumer's each question waits for a fetch to end.
        """
        deadline: float | None = None
        while True:
            try:
                return self._ends(places, isolation=isolation)
            except KafkaException as error:  # of a new partition, or leader, brokers hear one after another
                if error_of(error).code() not in _LEADERS:
                    raise
                # Only from an answer on: they may have stood still before the first.
                deadline = deadline or time.monotonic() + _LED_S
                if time.monotonic() >= deadline or self._stop.wait(_LOOK_S):
                    if (missed := self._missed(error, places)) is error:
                        raise
                    raise missed from error

    def _missed(self, error: KafkaException, places: Sequence[TopicPartition]) -> KafkaException:
        """That a leader is missing, where brokers that do not know a partition list it: it is there, and not to be
        made."""
        if error_of(error).code() in _UNKNOWN and not self._stop.is_set():
            self._list()
            if all(at.partition < self.existing.get(at.topic, 0) for at in places):
                said = f"the brokers list {places[0].topic}, and have not told in time where it ends"
                return KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE, said))
        return error

    def _ends(self, places: Sequence[TopicPartition], *, isolation: str) -> dict[tuple[str, int], tuple[int, int]]:
        specs: list[OffsetSpec] = [OffsetSpec.earliest(), OffsetSpec.latest()]  # type: ignore[no-untyped-call]
        asked = [self._ask_offsets(places, spec, isolation=isolation, timeout_s=_ASK_S) for spec in specs]
        low, high = ({(at.topic, at.partition): found.result().offset for at, found in each.items()} for each in asked)
        for (topic, partition), offset in (*low.items(), *high.items()):
            if offset < 0:  # librdkafka's answer for a partition whose leader did not give one, without an error
                raise KafkaException(
                    KafkaError(KafkaError.LEADER_NOT_AVAILABLE, f"no leader of {topic}/{partition} has told its end")
                )
        return {place: (at, high[place]) for place, at in low.items()}

    def ask_ends(
        self, places: Sequence[TopicPartition], *, isolation: str, timeout_s: float
    ) -> dict[TopicPartition, Future[ListOffsetsResultInfo]]:
        """Ask for the offset behind the last record of each partition, which is negative when nobody knows it."""
        return self._ask_offsets(
            places,
            OffsetSpec.latest(),  # type: ignore[no-untyped-call]
            isolation=isolation,
            timeout_s=timeout_s,
        )

    def _ask_offsets(
        self, places: Sequence[TopicPartition], spec: OffsetSpec, *, isolation: str, timeout_s: float
    ) -> dict[TopicPartition, Future[ListOffsetsResultInfo]]:
        level = IsolationLevel.READ_COMMITTED if isolation == "read_committed" else IsolationLevel.READ_UNCOMMITTED
        found: dict[TopicPartition, Future[ListOffsetsResultInfo]] = self._admin.list_offsets(
            dict.fromkeys(places, spec), isolation_level=level, request_timeout=timeout_s
        )
        return found

    def ask_anything(self, *, timeout_s: float) -> Future[TopicDescription]:
        """Ask any broker for a topic, which need not be there. Asked which brokers there are, librdkafka ends the whole
        process where all of them are fenced, as behind a moment in which the machine stood still."""
        name = self._wanted[0]
        found: Future[TopicDescription] = self._admin.describe_topics(
            TopicCollection([name]), request_timeout=timeout_s
        )[name]
        return found

    def ask(self, names: Sequence[str]) -> dict[str, Future[TopicDescription]]:
        """Ask what the cluster knows of these topics now."""
        found: dict[str, Future[TopicDescription]] = self._admin.describe_topics(
            TopicCollection(list(names)), request_timeout=_ASK_S
        )
        return found
