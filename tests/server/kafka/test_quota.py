"""A broker that throttles us by a quota: all takes longer, and nothing is an error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from servers.kafka import Broker
from tailrace import Pipeline
from tailrace.dialect.kafka import client
from tailrace.format import Format
from tailrace.model import Limits
from tailrace.sink.kafka import Kafka as KafkaSink
from tailrace.source.kafka import Kafka
from tailrace.testing.fake import AtomicSink, Target
from tests.unit.sink.feed import Feed

BYTES_PER_S = 40_000
ROWS = range(200)


@pytest.fixture
def throttled(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[object]]:
    """How often the clients of each kind were told that they are throttled."""
    told: dict[str, list[object]] = {}

    def noting(kind: str) -> None:
        plain: Callable[..., Any] = getattr(client, kind)

        def made(settings: Mapping[str, object], says: client.Told) -> Any:
            return plain({**settings, "throttle_cb": told.setdefault(kind, []).append}, says)

        monkeypatch.setattr(client, kind, made)

    for kind in ("producer", "consumer"):
        noting(kind)
    return told


@pytest.mark.parametrize("transactions", [False, True])
def test_a_broker_that_throttles_is_waited_for(
    start_kafka: Callable[..., Broker], tmp_path: Path, throttled: dict[str, list[object]], transactions: bool
) -> None:
    broker = start_kafka()
    broker.throttle("tailrace", BYTES_PER_S)
    sink = KafkaSink(
        f"kafka://{broker.address}", format=Format(topic_prefix="t"), create_topics=True, compression="none",
        transactions=transactions, options={"batch.size": "16000"},
    )  # fmt: skip
    feed, writer = Feed(), sink.open("p", Limits())
    if transactions:
        writer.claim("postgres/1/test/p")  # type: ignore[union-attr]
    writer.write(feed.insert(*ROWS, note="x" * 2_000))  # ten seconds' worth of the quota
    writer.close()
    assert throttled["producer"]
    target = Target()
    source = Kafka(f"kafka://{broker.address}/t.public.orders?group=g", options={"fetch.message.max.bytes": "16000"})
    member = Pipeline(source, AtomicSink(target), name="r", state_dir=tmp_path)
    member.run(until_current=True, retry=False)
    assert throttled["consumer"]
    assert sorted(int(key) for key in target.keys if key) == list(ROWS)
