"""Settings of a Kafka source: what cannot be is refused before anything is opened, and no secret is told of."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from servers.process import free_port
from tailrace.dialect.kafka import address, client
from tailrace.error import ConfigError, Retryable
from tailrace.model import Limits
from tailrace.source.kafka import Kafka
from tailrace.source.kafka.pattern import is_wanted, subscription
from tailrace.source.kafka.topic import Topics
from tests.server.kafka.stepping import Nothing


@pytest.mark.parametrize("cut", ["S3cr/et", "S3cr#et", "S3cr?et", "12/S3cr", "12?S3cr", "12#S3cr", "S3cr[et"])
def test_i9_a_password_that_cuts_a_url_is_not_told(cut: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Kafka(f"kafka://user:{cut}@host:9092/a", options={"sasl.mechanism": "PLAIN"})
    assert "S3cr" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_password_may_be_written_so_that_it_does_not_cut() -> None:
    assert address.parse("kafka://user:S3cr%2F%3F%23%40@host:9092/a").password == "S3cr/?#@"


def test_a_host_in_half_a_bracket_is_no_url() -> None:
    with pytest.raises(ConfigError, match="not a Kafka URL"):
        Kafka("kafka://[::1:9092/a")


@pytest.mark.parametrize("glob", ["shop.[", "shop.[]", "shop.[z-a]", "shop.[^a]*", "shop.[a", "[!]*"])
def test_a_broken_glob_is_refused(glob: str) -> None:
    with pytest.raises(ConfigError, match=r"the glob .* is broken"):
        Kafka("kafka://b:9092", [glob])


@pytest.mark.parametrize(
    ("glob", "regex", "matching", "others"),
    [
        ("*", "^.*$", ["a", "a.b"], ["__consumer_offsets"]),
        ("__*", "^__.*$", [], ["__consumer_offsets"]),
        ("a.?", r"^a\..$", ["a.b"], ["a.", "axb"]),
        ("[!ab]*", "^[^ab].*$", ["c", "c1"], ["a", "b1"]),
        ("t_[a-c0-9.-]", "^t_[a-c0-9.-]$", ["t_b", "t_7", "t_."], ["t_d", "t_"]),
    ],
)
def test_a_glob_means_the_same_here_and_to_the_client(
    glob: str, regex: str, matching: list[str], others: list[str]
) -> None:
    assert subscription([glob, "plain"]) == [regex, "plain"]
    assert [name for name in [*matching, *others] if is_wanted(name, [glob])] == matching


def test_a_topic_of_kafkas_own_is_read_when_it_is_named() -> None:
    assert is_wanted("__consumer_offsets", ["__consumer_offsets"])
    assert "topic.blacklist" not in Kafka("kafka://b:9092", ["__consumer_offsets"]).consuming("p")


@pytest.mark.parametrize("given", ["5min", "", "0", "-1"])
def test_an_interval_that_is_no_number_is_refused(given: str) -> None:
    with pytest.raises(ConfigError, match=r"max\.poll\.interval\.ms"):
        Kafka("kafka://b:9092/a", options={"max.poll.interval.ms": given})


def test_nobody_waits_for_a_broker_once_a_stop_is_asked_for() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Retryable, match="stopped before Kafka was open"):
        Kafka(f"kafka://127.0.0.1:{free_port()}/a").open("p", Nothing(), Limits(), stop=stop)


def test_brokers_that_go_while_topics_are_listed_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailrace.source.kafka.topic._ASK_S", 0.5)
    admin = client.admin({"bootstrap.servers": f"127.0.0.1:{free_port()}"}, client.Told())
    assert isinstance(admin, AdminClient)
    with pytest.raises(Retryable, match="listing the topics"):
        Topics(admin, ["a"])


@pytest.mark.parametrize(
    ("options", "nbytes"),
    [
        ({}, 1 << 20),
        ({"fetch.message.max.bytes": "20000000"}, 1 << 20),
        ({"message.max.bytes": "10000000"}, 10_000_000),
    ],
)
def test_an_answer_is_bounded_whatever_the_number_of_partitions(options: dict[str, str], nbytes: int) -> None:
    settings = Kafka("kafka://b:9092/a", options=options).consuming("p")
    assert settings["fetch.max.bytes"] == nbytes
    client.consumer(settings, client.Told()).close()  # the client takes it beside what a partition may bring


def test_a_placeholder_in_broken_hex_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"unavailable_value_placeholder.*hex digits in pairs"):
        Kafka("kafka://b:9092", ["a"], unavailable_value_placeholder="hex:6")
    assert Kafka("kafka://b:9092", ["a"], unavailable_value_placeholder="hex:61ff").topics == ("a",)


def test_the_folder_of_claim_checks_is_named_once() -> None:
    with pytest.raises(ConfigError, match="claim_check stands in the URL and beside it"):
        Kafka("kafka://b:9092/a?claim_check=/mnt/claims", claim_check=Path("/mnt/claims"))
    assert Kafka("kafka://b:9092/a?claim_check=/mnt/claims").claims() == Path("/mnt/claims")
