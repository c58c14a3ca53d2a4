"""What Kafka's errors mean for a pipeline, and the words for them. Never shows a key or a value."""

from __future__ import annotations

import re
from collections.abc import Mapping

from confluent_kafka import KafkaError, KafkaException

from tailrace.error import Fatal, Retryable, TailraceError

__all__ = [
    "denied_topic",
    "error_of",
    "explain",
    "is_denied",
    "is_fenced",
    "is_outdated",
    "is_refusal",
    "is_unknown",
    "of_token",
    "status_of_token",
]

_REFUSED = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_MSG,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError._BAD_MSG,
    }
)
"""The broker will never take this very message."""
_RIGHTS = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
)
_LOGIN = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError._SSL,
    }
)
_ALERT = re.compile(r"SSL alert number (?:40|4[2-6]|48|49|116)\b")
"""Those of RFC 8446 with which a broker turns our certificate down, or the lack of one. In TLS 1.3 they come behind the
handshake, and librdkafka calls that a lost connection."""
_TOKEN = "Failed to acquire SASL OAUTHBEARER token"
_AWAY = re.compile(
    rf"{_TOKEN}.*(?:Failed to connect|Could not (?:resolve|connect)|timed out|Connection timeout|Empty reply"
    r"|Recv failure|Send failure|closed abruptly|transfer closed|Connection died)"
)
"""What curl says of an endpoint of tokens that does not answer, which librdkafka calls a failed login."""
_STATUS = re.compile(r"Failed to retrieve OIDC token from .*\((\d+)\)$", re.DOTALL)
_DENIED = re.compile(r'Failed to add partition "([^"]+)" .* to transaction: .*Topic authorization failed')
_BUSY = frozenset({408, 425, 429})
"""What an endpoint of tokens answers, beside 5xx, when it may give one later."""
_UNKNOWN = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION})
_OUTDATED = frozenset({KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH})
_FENCED = _OUTDATED | {KafkaError.TRANSACTION_COORDINATOR_FENCED}
_SETTINGS = frozenset(
    {
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.INVALID_CONFIG,
        KafkaError.INVALID_PARTITIONS,
        KafkaError.INVALID_REPLICATION_FACTOR,
        KafkaError.INVALID_TRANSACTION_TIMEOUT,
        KafkaError.POLICY_VIOLATION,
        KafkaError.UNSUPPORTED_COMPRESSION_TYPE,
        KafkaError.UNSUPPORTED_FOR_MESSAGE_FORMAT,
        KafkaError.UNSUPPORTED_VERSION,
        KafkaError._INVALID_ARG,
        KafkaError._UNSUPPORTED_FEATURE,
    }
)
"""A human has to change something."""


def error_of(exception: KafkaException) -> KafkaError:
    """The error inside an exception of the client."""
    error: KafkaError = exception.args[0]
    return error


def is_refusal(error: KafkaError) -> bool:
    """The message itself can never succeed: it belongs into the dead letters."""
    return error.code() in _REFUSED


def is_unknown(error: KafkaError) -> bool:
    """A topic or partition is not there, or not known there yet: brokers hear of a new one one after another."""
    return error.code() in _UNKNOWN


def of_token(error: KafkaError) -> bool:
    """An endpoint has not given the token that a login needs."""
    return _TOKEN in error.str()


def status_of_token(line: str) -> int | None:
    """The HTTP status with which an endpoint has given no token, out of a line that the client logs: the error that
    follows has only the answer's body."""
    found = _STATUS.search(line)
    return None if found is None else int(found[1])


def denied_topic(line: str) -> str | None:
    """The topic that no transaction may write to, out of a line that the client logs: its error names none."""
    found = _DENIED.search(line)
    return None if found is None else found[1]


def is_denied(error: KafkaError, *, status: int | None = None) -> bool:
    """The broker does not let us in, or we do not trust it; nor does an endpoint of tokens, which answers `status`."""
    if error.code() in _LOGIN:
        passes = status is not None and (status >= 500 or status in _BUSY)
        return not (of_token(error) and (passes or _AWAY.search(error.str())))
    return error.code() == KafkaError._TRANSPORT and _ALERT.search(error.str()) is not None


def is_fenced(error: KafkaError) -> bool:
    """Another producer has taken the transactional id over, or the coordinator has given the transaction up."""
    return error.code() in _FENCED


def is_outdated(error: KafkaError) -> bool:
    """As `is_fenced`, of the producer itself, and not of its coordinator."""
    return error.code() in _OUTDATED


def explain(error: KafkaError, where: str, *, hints: Mapping[int, str] | None = None) -> TailraceError:
    """The pipeline's error for `error`, which happened at `where` (a topic, a broker): `Retryable` unless a human is
    needed. `hints` says by code what to do, where that is not what a writer has to do."""
    code, reason = error.code(), f"{where}: {_words(error)}"
    hint = None if hints is None else hints.get(code)
    if code in _RIGHTS:
        return Fatal(reason, hint=hint or f"an ACL must allow it: {_needed(code)}")
    if is_denied(error) and of_token(error):
        return Fatal(reason, hint="check sasl.oauthbearer.client.id, .client.secret and .token.endpoint.url")
    if is_denied(error):
        return Fatal(reason, hint="check user, password, mechanism and certificates of the connection")
    if code in _UNKNOWN:
        return Fatal(reason, hint=hint or "create the topic, or let the sink do it (create_topics = true)")
    if code in _SETTINGS:
        return Fatal(reason, hint="change the setting that it names")
    return Retryable(reason, hint=hint)


def _needed(code: int) -> str:
    if code == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
        return "WRITE and DESCRIBE on the transactional id"
    if code == KafkaError.CLUSTER_AUTHORIZATION_FAILED:
        return "IDEMPOTENT_WRITE (and CREATE, to create topics) on the cluster"
    if code == KafkaError.GROUP_AUTHORIZATION_FAILED:
        return "READ on the group"
    return "WRITE, READ or CREATE on the topic"


def _words(error: KafkaError) -> str:
    """The client's words, without its prefix for who said so."""
    return error.str().removeprefix("Broker: ").removeprefix("Local: ")
