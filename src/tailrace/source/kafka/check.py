"""What a source lacks: brokers, topics, rights, and a group that is ours to join. Changes nothing, reads no record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient

from tailrace.dialect.kafka import claim, client
from tailrace.dialect.kafka.objects import Objects
from tailrace.error import TailraceError
from tailrace.model import Finding, Severity
from tailrace.source.kafka.fault import READING, error_of, explain
from tailrace.source.kafka.group import Group
from tailrace.source.kafka.topic import Topics

if TYPE_CHECKING:
    from tailrace.source.kafka import Kafka

__all__ = ["check"]

_ASK_S = 15.0
_GROUP_S = 15.0
"""How long a coordinator that loads, or is made, is waited for."""


def check(source: Kafka) -> list[Finding]:
    """The findings, in the order in which a start would meet them; a broker that cannot be reached is the only one."""
    told = client.Told()
    subject = f"Kafka at {source.address.servers}"
    try:
        admin = client.admin(source.settings(), told)
        brokers = client.reach(admin, told)
        topics = Topics(admin, source.topics)
        found = topics.matching()
    except TailraceError as error:
        return [Finding(Severity.ERROR, subject, str(error.args[0]), error.hint)]
    answered = Finding(Severity.OK, subject, f"the cluster has {brokers} broker(s)")
    if not found:
        nothing = "no topic matches yet: reading begins when one is made"
        return [answered, Finding(Severity.WARNING, "topics", nothing, None), *_beside(source)]
    return [answered, *_topics(topics, admin, found), *_beside(source)]


def _beside(source: Kafka) -> Iterator[Finding]:
    yield from _group(source)
    if (folder := source.claims()) is not None:
        wrong = folder.look() if isinstance(folder, Objects) else claim.look(folder)
        yield Finding(Severity.ERROR if wrong else Severity.OK, f"claim_check {folder}", wrong or "it can be read")


def _topics(topics: Topics, admin: AdminClient, names: list[str]) -> Iterator[Finding]:
    asked = admin.describe_topics(TopicCollection(names), include_authorized_operations=True, request_timeout=_ASK_S)
    for name, future in asked.items():
        subject = f"topic {name}"
        try:
            allowed = future.result().authorized_operations
        except KafkaException as error:
            mend = f"kafka-acls --add --topic {name} --operation DESCRIBE --operation READ --allow-principal User:…"
            hints = {**READING, KafkaError.TOPIC_AUTHORIZATION_FAILED: mend}
            fault = explain(error_of(error), "asking what we may do with it", hints=hints)
            yield Finding(Severity.ERROR, subject, str(fault.args[0]), fault.hint)
            continue
        if allowed is not None and AclOperation.READ not in allowed:
            mend = f"kafka-acls --add --topic {name} --operation READ --allow-principal User:…"
            yield Finding(Severity.ERROR, subject, "it may not be read", mend)
        else:
            yield Finding(Severity.OK, subject, f"{topics.existing[name]} partition(s)")


def _group(source: Kafka) -> Iterator[Finding]:
    """Only a group with a name of its own is looked at: the default one depends on the pipeline's."""
    group = source.group or source.address.query.get("group")
    if group is None:
        return
    subject = f"group {group}"
    mend = f"kafka-acls --add --group {group} --operation READ --allow-principal User:…"
    asking = Group(group, lambda: client.admin(source.settings(), client.Told()), rights=True)
    try:
        described = asking.wait(_GROUP_S, hints={**READING, KafkaError.GROUP_AUTHORIZATION_FAILED: mend})
    except TailraceError as error:
        yield Finding(Severity.ERROR, subject, str(error.args[0]), error.hint)
        return
    finally:
        asking.close()
    if described is None:
        yield Finding(Severity.OK, subject, "nobody is in it")
        return
    allowed = described.authorized_operations
    if allowed is not None and AclOperation.READ not in allowed:
        yield Finding(Severity.ERROR, subject, "we may not join it", mend)
        return
    assignor = described.partition_assignor
    ours = {"", "cooperative-sticky"} if source.group_protocol == "classic" else {assignor}
    if described.members and assignor not in ours:
        message = f"its members share by {assignor!r}, which takes all partitions away at each change"
        yield Finding(Severity.ERROR, subject, message, "take another group, or stop its members first")
        return
    members = len(described.members)
    yield Finding(Severity.OK, subject, f"{members} member(s)" if members else "nobody is in it")
