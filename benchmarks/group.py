"""Sides of benchmarks that read Kafka's topics in a group: ours, and the plain client. Never starts a broker."""

from __future__ import annotations

import json
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from confluent_kafka import Consumer, Producer

from benchmarks import topics
from benchmarks.handlers import Seen, register
from benchmarks.meter import Meter, Numbers
from benchmarks.result import quantiles
from benchmarks.side import NAME, Counter, Discard, _json, _source
from tailrace.app import App
from tailrace.checkpoint import Memory
from tailrace.contract import Sink
from tailrace.format import Format
from tailrace.pipeline import Pipeline
from tailrace.sink.kafka import Kafka as Topics
from tailrace.source.kafka import Kafka

_PATIENCE_S = 120.0


def handlers(*, address: str, topic: str, group: str) -> Numbers:
    """To a Python function, rows as mappings, one field read."""
    app, seen = App(f"kafka://{address}/{topic}.public.orders?group={group}", name=NAME), Seen()
    register(app, "mapping", seen)
    numbers = _run(app, address=address, topic=topic, group=group, events=lambda: seen.events)
    assert seen.sum == seen.events * (seen.events + 1) // 2, "the handlers have not seen each row once"
    return numbers


def json_(*, address: str, topic: str, group: str) -> Numbers:
    """To Debezium JSON again, thrown away."""
    counter = Counter(_json())
    return _run(Discard(counter), address=address, topic=topic, group=group, events=lambda: counter.events)


def replica(*, address: str, topic: str, group: str, target: str) -> Numbers:
    """Into PostgreSQL, rows and positions in the same transactions."""
    import psycopg

    from tailrace.sink.postgres import Postgres

    numbers = _run(Postgres(target), address=address, topic=topic, group=group, events=lambda: 1)
    with psycopg.connect(target) as connection:
        row = connection.execute("SELECT count(*) FROM public.orders").fetchone()
    assert row is not None
    numbers["events"] = row[0]
    return numbers


def consume(*, address: str, topic: str, group: str, count: int) -> Numbers:
    """The client alone: bytes counted, nothing decoded."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": group, "auto.offset.reset": "earliest"})
    events = 0
    with Meter() as meter:
        consumer.subscribe([f"{topic}.public.orders"])
        while events < count:
            for message in consumer.consume(5_000, 0.1):
                events += message.error() is None
    consumer.close()
    return meter.numbers(events)


def latency(*, url: str, slot: str, address: str, topic: str, count: int, warm_up: int, rate: int) -> Numbers:
    """From each commit's time stamp over Kafka to the call of the handler; what fills the topic and what commits are
    processes of their own."""
    app, seen = App(f"kafka://{address}/{topic}.public.orders", name=NAME), Seen(until=count)
    register(app, "latency", seen)
    source = Kafka(f"kafka://{address}/{topic}.public.orders", group=topic)
    pipeline = Pipeline(source, app, name=NAME, checkpoint=Memory(), state_dir=None)
    seen.done = pipeline.stop
    feeding: dict[str, Numbers] = {}

    def feed() -> None:
        while not pipeline.status().lags:
            time.sleep(0.05)
        arguments = json.dumps({"url": url, "slot": slot, "address": address, "topic": topic})
        command = [sys.executable, "-m", "benchmarks.side", "kafka_feed", arguments]
        writer = [sys.executable, "-m", "benchmarks.writer", url, str(topics.FIRST), str(count), str(rate), slot]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as feeder:
            subprocess.run(writer, check=True)
            deadline = time.monotonic() + _PATIENCE_S
            while seen.events < count and time.monotonic() < deadline:
                time.sleep(0.05)
            feeder.send_signal(signal.SIGTERM)
            said, _ = feeder.communicate()
            feeding["feed"] = json.loads(said.splitlines()[-1])
        pipeline.stop()

    with Meter() as meter:
        helper = threading.Thread(target=feed)
        helper.start()
        pipeline.run()
        helper.join()
    assert seen.events == count, f"{seen.events} of {count} commits have arrived"
    return meter.numbers(count, **quantiles(seen.lags_s[warm_up:]), feeder_rss_mb=feeding["feed"]["rss_mb"])


def feed(*, url: str, slot: str, address: str, topic: str) -> Numbers:
    """PostgreSQL → Kafka until SIGTERM."""
    sink = Topics(f"kafka://{address}", format=Format(topic_prefix=topic))
    source = _source(url, slot, snapshot=False, create=True)
    pipeline = Pipeline(source, sink, name=NAME, checkpoint=Memory(), state_dir=None)
    signal.signal(signal.SIGTERM, lambda *_: pipeline.stop())
    with Meter() as meter:
        pipeline.run()
    return meter.numbers(max(1, pipeline.status().changes))


def echo(*, address: str, topic: str, count: int, warm_up: int, rate: int) -> Numbers:
    """The client alone: from `produce`, at a steady rate and sent at once, to the consumer that has the message."""
    settings = {"bootstrap.servers": address, "linger.ms": 0, "acks": "all", "enable.idempotence": True}
    producer, name = Producer(settings), f"{topic}.public.orders"
    consumer = Consumer({"bootstrap.servers": address, "group.id": topic, "auto.offset.reset": "earliest"})
    consumer.subscribe([name])
    while not consumer.assignment():
        consumer.poll(0.1)

    def send() -> None:
        due = time.perf_counter()
        for _ in range(count):
            producer.produce(name, struct.pack(">d", time.time()) + bytes(900))
            producer.poll(0)
            due += 1 / rate
            if (pause := due - time.perf_counter()) > 0:
                time.sleep(pause)
        producer.flush()

    lags_s: list[float] = []
    with Meter() as meter:
        sender = threading.Thread(target=send)
        sender.start()
        while len(lags_s) < count:
            message = consumer.poll(1)
            if message is not None and message.error() is None:
                lags_s.append(time.time() - struct.unpack(">d", (message.value() or b"")[:8])[0])
        sender.join()
    consumer.close()
    return meter.numbers(count, **quantiles(lags_s[warm_up:]))


def _run(sink: Sink, *, address: str, topic: str, group: str, events: Callable[[], int]) -> Numbers:
    """Read a topic to the end that it has now; `events` is asked afterwards."""
    source = Kafka(f"kafka://{address}/{topic}.public.orders", group=group)
    checkpoint = None if sink.transactional else Memory()
    pipeline = Pipeline(source, sink, name=NAME, checkpoint=checkpoint, state_dir=None)
    with Meter() as meter:
        pipeline.run(until_current=True)
    return meter.numbers(events())


SIDES: dict[str, Callable[..., Numbers]] = {
    "kafka_handlers": handlers,
    "kafka_json": json_,
    "kafka_replica": replica,
    "kafka_consume": consume,
    "kafka_latency": latency,
    "kafka_feed": feed,
    "kafka_echo": echo,
}
