"""What a dead letter's record says beside its value: the error, how often, where the change came from. No cells."""

from __future__ import annotations

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from tailrace.dead_letters.letter import Letter

__all__ = ["Names", "headers"]

_ASK_S = 15.0


def headers(letter: Letter, pipeline: str, *, due: float | None, topic: str | None) -> list[tuple[str, bytes]]:
    """Headers of the record of `letter`: times are in milliseconds, but `due`, which only we read, in seconds."""
    told: dict[str, object] = {
        "tailrace.pipeline": pipeline,
        "tailrace.error": letter.reason,
        "tailrace.attempts": letter.attempts,
        "tailrace.lineage": letter.lineage,
        "tailrace.position": letter.position,
        "tailrace.timestamp": letter.committed_at_us // 1000,
        "tailrace.table": letter.table_name or None,
        "tailrace.due": due,
    }
    if topic is not None:
        told |= {
            "tailrace.topic": topic,
            "tailrace.partition": letter.lineage.rpartition("/")[2],
            "tailrace.offset": int(letter.position),
        }
    return [(name, str(value).encode()) for name, value in told.items() if value is not None]


class Names:
    """The names of topics by what their lineages say: a topic's id."""

    def __init__(self, admin: AdminClient) -> None:
        self._admin = admin
        self._known: dict[str, str] = {}

    def of(self, lineage: str) -> str | None:
        """The topic of `lineage`; None when it is no topic of this cluster, or is gone."""
        kind, *rest = lineage.split("/")
        if kind != "kafka" or len(rest) != 3:
            return None
        if rest[1] not in self._known:
            self._ask()
        return self._known.setdefault(rest[1], "") or None

    def _ask(self) -> None:
        try:
            names = list(self._admin.list_topics(timeout=_ASK_S).topics)
            found = self._admin.describe_topics(TopicCollection(names), request_timeout=_ASK_S)
        except KafkaException:
            return  # a letter without a name is better than none
        for name, future in found.items():
            try:
                topic_id = str(future.result().topic_id).replace("/", "_").replace("+", "-")
            except KafkaException:
                continue
            self._known[topic_id] = name
