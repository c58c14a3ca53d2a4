"""What a Kafka cluster lacks for a sink, each with what mends it. Changes nothing, makes no topic."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tailrace.dialect.kafka.objects import Objects, place_of
from tailrace.durable import obstacles
from tailrace.error import TailraceError
from tailrace.model import Column, Finding, Severity, Table
from tailrace.sink.kafka.topic import Topics, describe, option

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

    from tailrace.sink.kafka import Kafka

__all__ = ["check", "check_tables", "forgetting"]

_ASK_S = 30.0
_PROBE = Table("public", "tailrace_check", [Column("id", "int8", nullable=False)], key=["id"])
"""Its topic is asked for and not made."""
_HINT = "see whether the cluster has a controller: kafka-metadata-quorum.sh describe --status"


def check(sink: Kafka) -> list[Finding]:
    """Whether the package is there, the brokers answer, and they let us create topics if we are to."""
    if importlib.util.find_spec("confluent_kafka") is None:
        return [Finding(Severity.ERROR, "confluent_kafka", "it is not installed", "pip install 'tailrace[kafka]'")]
    try:
        return _check_cluster(sink)
    except TailraceError as error:
        return [Finding(Severity.ERROR, sink.address.servers, str(error.args[0]), error.hint)]


def check_tables(sink: Kafka, name: str, tables: Sequence[Table]) -> list[Finding]:
    """Whether the topic of each table is there or may be made, has the partitions asked for, and may be written to.

    With transactions also whether positions can be kept.
    """
    try:
        client = _reached(sink)[0]
        named = {table: sink.format.topics(name, table) for table in tables}
        topics = dict.fromkeys(topic for each in named.values() for topic in each or ())
        findings = [finding for topic in topics for finding in _check_topic(sink, client, topic)]
        if None in named.values():
            findings.append(Finding(Severity.OK, "topics", "transforms route records by what they hold: not looked at"))
        if sink.transactions:
            findings.append(_check_positions(client, sink.positions(name)))
    except TailraceError as error:
        return [Finding(Severity.ERROR, sink.address.servers, str(error.args[0]), error.hint)]
    return findings


def forgetting(client: AdminClient, topic: str, *, stopped: Callable[[], bool] | None = None) -> Finding | None:
    """What is wrong with how the topic of positions is cleaned up: anything but compaction forgets a position."""
    policy = option(client, topic, "cleanup.policy", stopped=stopped)
    if policy is None or policy == "compact":
        return None
    said = f"positions lie there, and its cleanup.policy is {policy}: they would be deleted after a while"
    fix = f"kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config cleanup.policy=compact"
    return Finding(Severity.ERROR, f"topic {topic}", said, fix)


def _check_positions(client: AdminClient, topic: str) -> Finding:
    """Whether the pipeline can keep its positions in `topic`."""
    from confluent_kafka.admin import AclOperation

    found = describe(client, topic)
    if found is None:
        return Finding(Severity.OK, f"topic {topic}", "it is not there; it is made, compacted, at the first start")
    if len(found.partitions) != 1:
        said = f"positions need one order, and it has {len(found.partitions)} partitions"
        return Finding(Severity.ERROR, f"topic {topic}", said, "another positions_topic in the sink")
    if (finding := forgetting(client, topic)) is not None:
        return finding
    allowed = set(found.authorized_operations or ())
    for needed in (AclOperation.READ, AclOperation.WRITE) if allowed else ():
        if not allowed & {needed, AclOperation.ALL}:
            operation = needed.name.capitalize()
            return Finding(
                Severity.ERROR,
                f"topic {topic}",
                f"this user may not {operation.lower()} the positions there",
                _acl(operation, f"--topic {topic}"),
            )
    return Finding(Severity.OK, f"topic {topic}", "positions are kept there")


def _reached(sink: Kafka) -> tuple[AdminClient, int]:
    from tailrace.dialect.kafka import client
    from tailrace.dialect.kafka.client import Told

    told = Told()
    admin = client.admin(sink.settings(), told)
    return admin, client.reach(admin, told)


def _check_cluster(sink: Kafka) -> list[Finding]:
    client, brokers = _reached(sink)
    findings = [Finding(Severity.OK, sink.address.servers, f"the cluster has {brokers} broker(s)")]
    if sink.create_topics and (probe := _probe(sink, client)) is not None and not _may_make(client, probe):
        findings.append(
            Finding(
                Severity.WARNING,
                "topics",
                f"create_topics is set, and this user may not create topics such as {probe}",
                _acl("Create", "--cluster"),
            )
        )
    wanted = max((rule.replication or 0 for rule in sink.rules()), default=0)
    if wanted > brokers:
        findings.append(
            Finding(Severity.ERROR, "replication", f"{wanted} replicas are wanted, and there are {brokers} broker(s)")
        )
    return [*findings, *_check_claims(place_of(sink.claim_check))]


def _probe(sink: Kafka, client: AdminClient) -> str | None:
    """A topic, named as those of tables are. None where that hangs on what records hold, or on the pipeline's name: it
    is the prefix of who has chosen none, and not known here."""
    names = set[str]()
    for pipeline in ("one", "another"):
        topics = sink.format.topics(pipeline, _PROBE)
        if not topics:
            return None
        names.add(Topics(client, sink.rules(), create=False).rule(topics[-1]).called(topics[-1]))
    return names.pop() if len(names) == 1 else None


def _may_make(client: AdminClient, name: str) -> bool:
    """Whether the brokers would make topic `name` for us, as far as rights go; it is not made.

    Asked for the rights in the cluster, librdkafka ends the whole process where all brokers are fenced
    (`source.kafka.topic.Topics.ask_anything`).
    """
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.admin import NewTopic

    from tailrace.dialect.kafka.client import SILENT
    from tailrace.dialect.kafka.fault import error_of, explain

    wanted = NewTopic(name, num_partitions=1)
    asked = client.create_topics([wanted], validate_only=True, request_timeout=_ASK_S)
    try:
        asked[name].result()
    except KafkaException as error:
        code = error_of(error).code()
        if code in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED):
            return False
        if code in SILENT:
            raise explain(error_of(error), "asking whether topics may be made", hints={code: _HINT}) from None
    return True  # what else a broker says is of the topic, as the policy of a cluster, or of its own state


def _check_claims(place: Path | Objects | None) -> list[Finding]:
    subject = f"claim_check {place}"
    if isinstance(place, Objects):
        refused = place.look()
        return [Finding(Severity.ERROR if refused else Severity.OK, subject, refused or "the bucket is there")]
    if place is None:
        return []
    wrong = [
        Finding(each.severity, subject, f"{each.subject}: {each.message}", each.fix)
        for each in obstacles(place / "value")
    ]
    return wrong or [Finding(Severity.OK, subject, "it can be written")]


def _check_topic(sink: Kafka, client: AdminClient, topic: str) -> list[Finding]:
    from confluent_kafka.admin import AclOperation

    rule = Topics(client, sink.rules(), create=False).rule(topic)
    name = rule.called(topic)
    found = describe(client, name)
    if found is None and sink.create_topics and not _may_make(client, name):
        said = "it is not there, and this user may not create it, though create_topics is set"
        return [Finding(Severity.WARNING, f"topic {name}", said, _acl("Create", f"--topic {name}"))]
    if found is None:
        made = "it is made at the first record" if sink.create_topics else "it is made if the brokers make topics"
        severity = Severity.OK if sink.create_topics else Severity.WARNING
        return [Finding(severity, f"topic {name}", f"it is not there; {made}", None if sink.create_topics else _SET)]
    allowed = set(found.authorized_operations or ())
    if allowed and not allowed & {AclOperation.WRITE, AclOperation.ALL}:
        return [
            Finding(Severity.ERROR, f"topic {name}", "this user may not write to it", _acl("Write", f"--topic {name}"))
        ]
    count = len(found.partitions)
    if rule.partitions is not None and rule.partitions != count:
        said = f"it has {count} partitions, and {rule.partitions} are configured; a topic that is there stays as it is"
        return [Finding(Severity.WARNING, f"topic {name}", said)]
    return [Finding(Severity.OK, f"topic {name}", f"it can be written, {count} partition(s)")]


_SET = "create_topics = true in the sink"


def _acl(operation: str, resource: str) -> str:
    return f"kafka-acls.sh --add --allow-principal User:… --operation {operation} {resource}"
