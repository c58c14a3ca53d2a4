"""A reader that does not come back is left alone, and the pipeline opens again: the group takes its partitions away,
and whatever it wakes to it writes nothing."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from servers.kafka import Broker
from tailrace.error import Retryable
from tailrace.model import Limits
from tailrace.source.kafka import Kafka
from tailrace.testing.fake import AtomicSink, Target
from tests.crash.test_group import SETTINGS
from tests.server.kafka.filling import Member, event, produce, running
from tests.server.kafka.test_group import IMPATIENT, PROTOCOLS
from tests.waiting import until

LIMITS = Limits(stop_timeout_s=1.0, backoff_s_max=0.5)
SCHEMA = json.dumps({"type": "object", "properties": {"id": {"type": "integer"}}})


class Dripping:
    """A registry whose first answer never ends, however often a byte of it comes; all others are whole."""

    def __init__(self) -> None:
        self.asked = 0
        self.ended = threading.Event()
        ours = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                ours.asked += 1
                if ours.asked == 1:
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Waits: ")
                    while not ours.ended.wait(0.5):
                        self.wfile.write(b".")
                    return
                body = json.dumps({"schema": SCHEMA, "schemaType": "JSON"}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *words: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def answering(self) -> Iterator[None]:
        thread = threading.Thread(target=self._server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            self.ended.set()
            self._server.shutdown()
            thread.join()
            self._server.server_close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_i16_partitions_of_a_reader_that_hangs_come_to_the_next_life_of_its_pipeline(
    start_kafka: Callable[..., Broker], tmp_path: Path, caplog: pytest.LogCaptureFixture, protocol: str
) -> None:
    broker, registry, target = start_kafka(settings=SETTINGS), Dripping(), Target()
    broker.create_topic("t", 2)
    source = Kafka(
        f"kafka://{broker.address}/t?group=g&schema_registry_url={registry.url}",
        group_protocol=protocol,  # type: ignore[arg-type]
        options=IMPATIENT[protocol],
    )
    member = Member(source, AtomicSink(target), "p", tmp_path, LIMITS)
    with registry.answering(), caplog.at_level(logging.WARNING, "tailrace"), running(member):
        produce(broker, "t", [(None, event("c", after={"id": at})) for at in range(5)], partition=0)
        target.wait(5, 60)
        target.gate.clear()
        offers = target.offers
        produce(broker, "t", [(None, event("c", after={"id": 5}))], partition=0)
        target.wait_for(lambda: target.offers > offers, 60)
        produce(broker, "t", [(None, b"\0\0\0\0\1" + json.dumps({"id": 6}).encode())], partition=1)
        until(lambda: registry.asked, "for the reader to hang")
        target.fail(Retryable("the target is away for a moment"))
        target.gate.set()
        until(lambda: "does not come back; leaving it" in caplog.text, "for the reader to be left")
        target.wait(7, 60)
        registry.ended.set()  # it wakes
        produce(broker, "t", [(None, event("c", after={"id": at})) for at in (7, 8)], partition=1)
        target.wait(9, 60)
    assert sorted(int(record.cells["id"]) for record in target.records if record.cells) == list(range(9))
    assert member.error is None
