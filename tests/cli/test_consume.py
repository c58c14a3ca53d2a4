"""`consume`: formats, counts, groups that go on as far as was printed, and no group left behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from servers.kafka import Broker
from tests.cli.conftest import Cli, await_full_pipe
from tests.server.kafka.filling import fill


@pytest.fixture
def url(kafka: Broker, topic: str) -> str:
    """A topic with the inserts of five orders."""
    kafka.create_topic(topic)
    fill(kafka, topic, range(5))
    return f"kafka://{kafka.address}/{topic}"


def groups(broker: Broker) -> set[str]:
    admin = broker.admin()
    return {group.group_id for group in admin.list_consumer_groups(request_timeout=60).result().valid}


def ids(out: str) -> list[int]:
    return [json.loads(line)["after"]["id"] for line in out.splitlines()]


@pytest.mark.parametrize("form", ["pretty", "json", "debezium"])
def test_what_is_there_is_printed_in_each_format(cli: Cli, kafka: Broker, url: str, form: str) -> None:
    ended = cli.run("consume", url, "--until-current", "--format", form)
    assert (ended.code, ended.err) == (0, "")
    found = ended.out.splitlines()
    assert len(found) == 5
    if form == "pretty":
        assert "+ public.orders id=1 n=1" in found[1]
    elif form == "json":
        assert json.loads(found[1])["after"] == {"id": 1, "n": 1}
    else:
        assert json.loads(found[1])["value"]["after"] == {"id": 1, "n": 1}
    assert not [group for group in groups(kafka) if group.startswith("tailrace.consume_")]


def test_a_group_goes_on_behind_what_was_printed(cli: Cli, url: str, topic: str) -> None:
    asked = ("consume", url, "--group", topic, "--format", "json")
    ended = [cli.run(*asked, "-n", "2"), cli.run(*asked, "-n", "2"), cli.run(*asked, "--until-current")]
    assert [each.code for each in ended] == [0, 0, 0], ended
    assert [ids(each.out) for each in ended] == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize("form", ["json", "debezium"])
def test_after_an_interrupt_a_group_goes_on_behind_what_was_printed(
    cli: Cli, kafka: Broker, url: str, topic: str, form: str
) -> None:
    asked = ("consume", url, "--group", topic, "--format", form)
    process = cli.start(*asked)
    assert process.stdout is not None and process.stderr is not None
    first = "".join(process.stdout.readline() for _ in range(5))
    fill(kafka, topic, [5])  # a batch whose position is not saved yet when the next one is cut off
    first += process.stdout.readline()
    fill(kafka, topic, range(6, 3000))
    await_full_pipe(process)
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 130
    out, err = process.stdout.read(), process.stderr.read()
    assert err == ""
    rest = cli.run(*asked, "--until-current")
    assert rest.code == 0, rest.err
    lines = [json.loads(line) for line in (first + out + rest.out).splitlines()]
    assert [(line.get("value") or line)["after"]["id"] for line in lines] == list(range(3000))


def test_changes_are_printed_as_they_come(cli: Cli, kafka: Broker, url: str, topic: str) -> None:
    process = cli.start("consume", url, "-n", "6", "--format", "json")
    assert process.stdout is not None
    first = [process.stdout.readline() for _ in range(5)]  # it has joined
    fill(kafka, topic, [5])
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    assert ids("".join([*first, out])) == list(range(6))


def test_a_reader_that_leaves_is_a_clean_end(cli: Cli, kafka: Broker, url: str, topic: str) -> None:
    fill(kafka, topic, range(5, 3000))
    command = f"{sys.executable} -m tailrace consume '{url}' --format json | head -n 1"
    ended = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        env=dict(cli.environ), capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ids(ended.stdout) == [0]


def test_a_missing_topic_and_a_url_of_a_database_are_errors(cli: Cli, kafka: Broker, topic: str) -> None:
    missing = cli.run("consume", f"kafka://{kafka.address}/{topic}", "--until-current")
    assert (missing.code, missing.out) == (1, "")
    assert f"the topic {topic} does not exist" in missing.err
    wrong = cli.run("consume", "postgresql://localhost/shop")
    assert (wrong.code, wrong.out) == (2, "")
    assert "tailrace tail reads databases" in wrong.err
