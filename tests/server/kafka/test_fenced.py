"""A broker that its controller has fenced: it goes on to answer, and tells of no broker, itself included."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from servers import kafka
from tailrace.pipeline import ask
from tests.waiting import until
from tests.wanting import or_skip

# It is heard of once, and no more; before it is fenced a topic is to be made, and a member to have begun.
SETTINGS = {"broker.session.timeout.ms": "40000", "broker.heartbeat.interval.ms": "600000"}


def test_a_member_without_partitions_outlives_that_all_brokers_are_fenced(tmp_path: Path) -> None:
    """In a process of its own: librdkafka ends the one that asks for brokers."""
    starting = or_skip(lambda: kafka.start(settings=SETTINGS))
    with starting as broker, (tmp_path / "said").open("wb") as said:
        (tmp_path / "shop.toml").write_text(
            f'[pipeline.shop]\nsource = "kafka://{broker.address}/nothing.*?group=shop"\nsink = "file:out.jsonl"\n'
        )
        command = [sys.executable, "-m", "tailrace", "run", "shop.toml"]
        with subprocess.Popen(command, cwd=tmp_path, stdout=said, stderr=said) as process:
            try:
                place = tmp_path / ".tailrace" / "shop.sock"
                until(place.exists, "for the member")

                def unheard() -> bool:
                    assert process.poll() is None, (tmp_path / "said").read_text()
                    status = ask(place)
                    return status is not None and "has told for" in status.reason

                until(unheard, "for a member that hears nothing", timeout_s=240)
            finally:
                process.kill()


def test_check_of_a_sink_says_that_all_brokers_are_fenced(tmp_path: Path) -> None:
    """It took the client's own error for a bug of ours; the client may end the process there, so it has one."""
    with or_skip(lambda: kafka.start(settings=SETTINGS)) as broker:
        broker.create_topic("t")
        (tmp_path / "shop.toml").write_text(
            f'[pipeline.shop]\nsource = "kafka://{broker.address}/t?group=shop"\n'
            f'[pipeline.shop.sink]\nkind = "kafka"\nurl = "kafka://{broker.address}"\ncreate_topics = true\n'
        )
        admin = broker.admin()
        until(lambda: not _takes_part(admin), "for the controller to fence it", timeout_s=120)
        command = [sys.executable, "-m", "tailrace", "check", "shop.toml"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 3, done.stderr
        assert done.stdout.count("a Kafka broker answers, and knows of none that takes part") == 2, done.stdout


def _takes_part(admin: AdminClient) -> bool:
    try:
        return bool(admin.list_topics(timeout=10).brokers)
    except KafkaException:  # it is busy
        return True
