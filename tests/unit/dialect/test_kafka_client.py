"""What Kafka's client says beside its results."""

import logging

import pytest
from confluent_kafka import KafkaError

from tailrace.dialect.kafka import client
from tailrace.dialect.kafka.client import Repeats, Told
from tailrace.error import Fatal, Retryable, TailraceError
from tests.waiting import until

FAIL = "FAIL [tailrace#producer-{}] [thrd:b/bootstrap]: b:9092/bootstrap: Connect failed (after {}ms in state CONNECT)"


def _said(line: str) -> logging.LogRecord:
    return logging.LogRecord("tailrace.kafka", logging.ERROR, __file__, 1, line, (), None)


def test_the_same_of_a_broker_is_said_once_and_another_thing_at_once() -> None:
    repeats = Repeats()
    again = FAIL.format(2, 17)[:-1] + ", 3 identical error(s) suppressed)"
    lines = [FAIL.format(1, 0), again, FAIL.replace("b:9092", "c:9092").format(1, 0), "FAIL: another"]
    assert [repeats.filter(_said(line)) for line in lines * 2] == [True, False, True, True, *[False] * 4]


def test_it_is_said_again_when_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    repeats = Repeats()
    assert repeats.filter(_said("FAIL")) and not repeats.filter(_said("FAIL"))
    monkeypatch.setattr(client, "_AGAIN_S", 0.0)
    assert repeats.filter(_said("FAIL"))


def test_a_broker_that_is_away_is_told_of_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    told = Told()
    # An address that no other test names: what was said within a minute in this process is not said again.
    away = client.producer({"bootstrap.servers": "127.9.9.9:9"}, told)
    until(lambda: away.poll(0.1) or told.last is not None, "for the client to be refused")
    with pytest.raises(Retryable, match=r"no Kafka broker answered: 127\.9\.9\.9:9"):
        client.reach(away, told, timeout_s=3.0)
    away.close()
    lines = [text for text in caplog.messages if "127.9.9.9:9/" in text and "FAIL" in text]
    assert len(lines) == 1


REFUSES, WAITS = "invalid_client", "upstream is away"


@pytest.mark.parametrize(
    ("answers", "kind", "words"),
    [
        ([(REFUSES, 400)], Fatal, REFUSES),
        ([(REFUSES, 401)], Fatal, REFUSES),
        ([("<html>", 403)], Fatal, "<html>"),
        ([(WAITS, 408)], Retryable, f"{WAITS} (HTTP status 408)"),
        ([(WAITS, 429)], Retryable, f"{WAITS} (HTTP status 429)"),
        ([(WAITS, 500)], Retryable, f"{WAITS} (HTTP status 500)"),
        ([("over\nlines", 503)], Retryable, "over\nlines (HTTP status 503)"),
        ([(WAITS, 503), (REFUSES, 401)], Fatal, REFUSES),
        ([(WAITS, 503), ("SSL certificate problem", -1)], Fatal, "SSL certificate problem"),
        ([(WAITS, 503), ("Failed to parse JSON response at 0/6", 200)], Fatal, "parse JSON"),
        ([(WAITS, 503), ("Expected token as a string value", None)], Fatal, "Expected token"),
        ([("Failed to connect to host port 80", -1)], Retryable, "Failed to connect to host port 80"),
    ],
)
def test_an_endpoint_of_tokens_is_waited_for_unless_it_refuses_us(
    answers: list[tuple[str, int | None]], kind: type[TailraceError], words: str
) -> None:
    told = Told()
    for body, status in answers:
        if status is not None:
            line = f'[thrd:background]: Failed to retrieve OIDC token from "http://a/token": {body} ({status})'
            told.log(logging.ERROR, "%s [%s] %s", "OIDC", "tailrace#producer-1", line)
        told(KafkaError(KafkaError._AUTHENTICATION, f"Failed to acquire SASL OAUTHBEARER token: {body}"))
    fault = told.fault("no Kafka broker answered")
    assert type(fault) is kind
    assert str(fault.args[0]).endswith(words) if kind is Retryable else words in str(fault.args[0])
