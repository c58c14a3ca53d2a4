"""A sink with heartbeats is offered them while nothing comes; they move nothing."""

from __future__ import annotations

import itertools
import json
import threading
from pathlib import Path

from tailrace.format import Format
from tailrace.pipeline import Pipeline
from tailrace.sink.file import File
from tailrace.testing.fake import Log, LogSource
from tests.waiting import until


def test_heartbeats_come_while_nothing_does_and_leave_the_position_where_it_is(tmp_path: Path) -> None:
    log, file = Log(), tmp_path / "out.jsonl"
    position = log.insert(1)
    sink = File(file, format=Format(topic_prefix="shop", heartbeat_interval_ms=20))
    pipeline = Pipeline(LogSource(log), sink, name="p", state_dir=None)
    thread = threading.Thread(target=pipeline.run)
    thread.start()

    def beats() -> list[dict[str, int]]:
        lines = file.read_text().rpartition("\n")[0].splitlines() if file.exists() else []
        found = [json.loads(line) for line in lines]
        return [line["value"] for line in found if line["topic"] == "__debezium-heartbeat.shop"]

    try:
        until(lambda: len(beats()) >= 4, "for heartbeats")
        confirmed = list(log.confirmed)
        until(lambda: len(beats()) >= 6, "for more of them")
    finally:
        pipeline.stop()
        thread.join()
    assert sink.saved("p") == {log.lineage: position}
    assert confirmed == log.confirmed == [position]
    times = [beat["ts_ms"] for beat in beats()]
    assert all(after - before >= 20 for before, after in itertools.pairwise(times))
