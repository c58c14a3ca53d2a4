"""Makes librdkafka's clients and hears what they say beside the results. Never sends or reads a message."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from tailrace.dialect.kafka.fault import denied_topic, error_of, explain, is_denied, of_token, status_of_token
from tailrace.error import ConfigError, Retryable, TailraceError

__all__ = ["SILENT", "Told", "admin", "answer", "ask", "consumer", "producer", "reach", "refuse_stopped"]

_log = logging.getLogger("tailrace.kafka")
_REACH_S, _STEP_S, _LOOK_S = 15.0, 1.0, 0.2
_SLICE_S = 5.0
"""Of a question that is asked anew: less than a stop may take, more than a busy broker does."""
SILENT = frozenset({KafkaError._TRANSPORT, KafkaError._TIMED_OUT})
"""What the client itself says where no broker has answered."""
_RECENT_S = 120.0
_LASTS_S = 10.0
_AGAIN_S, _SAID_MAX = 60.0, 1_000
_VARYING = re.compile(r"\[[^\]]*#\w+-\d+\]|\(after \d+ms in state \w+(?:, \d+ identical error\(s\) suppressed)?\)")
"""Which client it was, how long it took, and how often."""
ClientT = TypeVar("ClientT", Producer, AdminClient, Consumer)
T = TypeVar("T")


class Repeats(logging.Filter):
    """Lets a line through once a minute: a client says the same of a broker that is away many times a second."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it was not said within the last minute."""
        line, now = _VARYING.sub("", record.getMessage()), time.monotonic()
        if now - self._said.get(line, -_AGAIN_S) < _AGAIN_S:
            return False
        if len(self._said) >= _SAID_MAX:
            self._said.clear()
        self._said[line] = now
        return True


_log.addFilter(Repeats())


class Told:
    """What a client has said of its connections: the last fault, and the last one that only a human can mend."""

    def __init__(self) -> None:
        self.last: KafkaError | None = None
        self.grave: KafkaError | None = None
        self.fatal: KafkaError | None = None
        """What a producer is beyond help for; calls say no more of it than that."""
        self.tokens = False
        """Brokers are met only once an endpoint has given a token, which the client may ask in silence for a minute."""
        self.denied = set[str]()
        """Topics that a transaction may not write to."""
        self._heard: int | None = None
        """The HTTP status with which that endpoint has given none; the error is still to come."""
        self._status: int | None = None
        """That of the last such error."""
        self._grave_at = self._again_at = 0.0

    def __call__(self, error: KafkaError) -> None:
        """The client's `error_cb`."""
        # "All brokers are down" is only the sum of what was said before, and says less.
        if error.code() != KafkaError._ALL_BROKERS_DOWN or self.last is None:
            self.last = error
        if error.fatal():
            self.fatal = error
        if of_token(error):
            self._status, self._heard = self._heard, None
        if is_denied(error, status=self._status):
            self._again_at = time.monotonic()
            if self.grave is None:
                self._grave_at = self._again_at
            self.grave = error
        _log.debug("%s", error.str())

    def log(self, level: int, text: str, *words: object) -> None:
        """The client's `logger`: it tells the status of an endpoint of tokens here, before the error, and only here; so
        it does the topic that no transaction may write to."""
        line = text % words if words else text
        if (status := status_of_token(line)) is not None:
            self._heard = status
        if (topic := denied_topic(line)) is not None:
            self.denied.add(topic)
        _log.log(level, text, *words)

    @property
    def lasts(self) -> bool:
        """The same needs a human since a while, and was said again: it was no hiccup of one broker."""
        return self.grave is not None and self._again_at - self._grave_at >= _LASTS_S

    def answered(self) -> None:
        """Something has come: what was said before is mended, or of another broker."""
        self.grave = None

    def fault(self, otherwise: str) -> TailraceError:
        """The error to raise when nothing has come in time: what one broker said long ago is not why all are silent."""
        if self.grave is not None and time.monotonic() - self._again_at <= _RECENT_S:
            return explain(self.grave, "connecting to Kafka")
        endpoint = ", and sasl.oauthbearer.token.endpoint.url" if self.tokens else ""
        hint = f"see whether the brokers{endpoint} run and can be reached"
        if self.last is None:
            return Retryable(otherwise, hint=hint)
        status = f" (HTTP status {self._status})" if self._status and of_token(self.last) else ""
        return Retryable(f"{otherwise}: {self.last.str()}{status}", hint=hint)


def producer(settings: Mapping[str, object], told: Told) -> Producer:
    """A producer; `ConfigError` when librdkafka does not like a setting."""
    return _made(Producer, settings, told)


def admin(settings: Mapping[str, object], told: Told) -> AdminClient:
    """An admin client; `ConfigError` when librdkafka does not like a setting."""
    return _made(AdminClient, settings, told)


def consumer(settings: Mapping[str, object], told: Told) -> Consumer:
    """A consumer; `ConfigError` when librdkafka does not like a setting."""
    return _made(Consumer, settings, told)


def _made(kind: Callable[..., ClientT], settings: Mapping[str, object], told: Told) -> ClientT:
    told.tokens = settings.get("sasl.oauthbearer.method") == "oidc"
    try:
        return kind({**settings, "error_cb": told}, logger=told)
    except KafkaException as error:
        # librdkafka quotes the value that it does not like: a password must not come into a message.
        words = error_of(error).str()
        secret = any("password" in name or "secret" in name for name in settings if f'"{name}"' in words)
        raise ConfigError(f"Kafka's client refuses its settings{'' if secret else f': {words}'}") from None


def refuse_stopped(stopped: Callable[[], bool] | None) -> None:
    """`Retryable` once `stopped` says so: nobody wants what is being opened any more."""
    if stopped is not None and stopped():
        raise Retryable("stopped before Kafka was open")


def answer(future: Future[T], *, stopped: Callable[[], bool] | None) -> T:
    """What the brokers answer to a question of an admin client, which ends by itself; `Retryable` once `stopped`."""
    while True:
        try:
            return future.result(_STEP_S)
        except TimeoutError:
            refuse_stopped(stopped)


def ask(question: Callable[[float], T], *, timeout_s: float, stopped: Callable[[], bool] | None) -> T:
    """What the brokers answer to `question`, which is asked with a time to wait, and again while there is none, for
    `timeout_s`; `Retryable` once `stopped`."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return question(min(_SLICE_S, max(deadline - time.monotonic(), _STEP_S)))
        except KafkaException as error:
            if error_of(error).code() not in SILENT or time.monotonic() >= deadline:
                raise
        refuse_stopped(stopped)


def reach(
    client: Producer | AdminClient | Consumer,
    told: Told,
    *,
    timeout_s: float = _REACH_S,
    stopped: Callable[[], bool] | None = None,
) -> int:
    """How many brokers there are; `Retryable` when none answers in time, or none takes part, or once `stopped`, `Fatal`
    when they refuse us."""
    deadline = time.monotonic() + timeout_s
    while True:
        refuse_stopped(stopped)
        try:
            if brokers := len(client.list_topics(timeout=_STEP_S).brokers):
                return brokers
            fenced = True
        except KafkaException as error:
            client.poll(0)  # brings what was said of the connections
            fenced = error_of(error).code() == KafkaError._PARTIAL  # there is no topic either
            silent = fenced or error_of(error).code() in SILENT
            if told.grave is not None or (silent and not fenced and time.monotonic() > deadline):
                raise told.fault("no Kafka broker answered") from None
            if not silent:
                raise explain(error_of(error), "asking Kafka for its brokers") from None
        if fenced:
            if time.monotonic() > deadline:
                raise Retryable(
                    "a Kafka broker answers, and knows of none that takes part, itself included",
                    hint="their controller has fenced them: see its log, and theirs, for why it does not hear them",
                )
            time.sleep(_LOOK_S)  # it says so at once, and tells nobody when it takes part again
