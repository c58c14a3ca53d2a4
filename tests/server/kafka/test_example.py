"""The consumer that documents show: ten lines, and an index that is right after a create, an update and a delete."""

from __future__ import annotations

import ast
import json
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from servers.kafka import Broker
from tests.server.kafka.filling import event, produce
from tests.tidy import tree
from tests.waiting import until

TEXT = (tree.ROOT / "examples" / "kafka_consumer.py").read_text()
URL = "kafka://localhost:9092/shop.public.orders?group=search"
"""What it calls its topic: it stands for the test's own."""


def test_the_consumer_is_ten_lines() -> None:
    documented = ast.parse(TEXT).body[0].end_lineno
    assert len([line for line in TEXT.splitlines()[documented:] if line]) <= 10


def test_an_order_is_indexed_when_it_is_made_updated_when_it_changes_and_removed_when_it_goes(
    kafka: Broker, topic: str, tmp_path: Path
) -> None:
    kafka.create_topic(topic)
    text = TEXT.replace(URL, f"kafka://{kafka.address}/{topic}?group={topic}")
    assert text != TEXT
    rows = [{"id": key, "status": "new"} for key in (1, 2, 3)]
    keys = [json.dumps({"id": row["id"]}).encode() for row in rows]
    # The interpreter goes on to ask for the index once the program was interrupted, as a user would.
    process = subprocess.Popen(
        [sys.executable, "-i", "-c", text], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        with closing(Consumer({"bootstrap.servers": kafka.address, "group.id": topic})) as group:

            def done() -> int:
                return int(group.committed([TopicPartition(topic, 0)], timeout=60)[0].offset)

            produce(kafka, topic, [(key, event("c", after=row)) for key, row in zip(keys, rows, strict=True)])
            until(lambda: done() == 3, "for what was made")
            produce(kafka, topic, [(keys[0], event("u", before=rows[0], after={**rows[0], "status": "paid"}))])
            produce(kafka, topic, [(keys[1], event("d", before=rows[1])), (keys[1], None)])
            until(lambda: done() == 6, "for what came of it")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate("import json; print(json.dumps(index))\n", timeout=60)
    finally:
        process.kill()
        process.wait()
    assert json.loads(out) == {"1": "paid", "3": "new"}, err
