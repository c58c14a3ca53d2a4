"""The servers that everything else is tested against keep their promises themselves."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import psycopg
import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer

from servers import connect as servers_connect
from servers import debezium, kafka, postgres
from tests.waiting import until

Start = Callable[..., postgres.Server]
StartDebezium = Callable[..., AbstractContextManager[debezium.Engine]]


def test_a_fresh_database_can_make_a_pgoutput_slot(any_database: str) -> None:
    with psycopg.connect(any_database, autocommit=True) as connection:
        row = connection.execute("SELECT slot_name FROM pg_create_logical_replication_slot('s', 'pgoutput')").fetchone()
    assert row == ("s",)


def test_a_killed_server_comes_back_on_its_port_with_what_was_committed(start_postgres: Start) -> None:
    server = start_postgres(18)
    server.execute("CREATE TABLE kept (id int)")
    port = server.port
    server.kill()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.url)
    server.start()
    assert server.port == port
    server.execute("SELECT * FROM kept")


def test_a_server_with_tls_shows_a_certificate_that_can_be_verified(start_postgres: Start) -> None:
    server = start_postgres(18, tls=True)
    with psycopg.connect(server.url, sslmode="verify-full", sslrootcert=str(server.certificate)) as connection:
        assert connection.pgconn.ssl_in_use


def test_a_member_of_by_password_is_refused_with_a_wrong_password(start_postgres: Start) -> None:
    server = start_postgres(18)
    server.execute("CREATE ROLE guarded LOGIN PASSWORD 'right' IN ROLE by_password")
    psycopg.connect(server.dsn(user="guarded", password="right")).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.dsn(user="guarded", password="wrong"))


def test_debezium_prints_a_snapshot_a_change_and_a_tombstone_byte_for_byte(
    database: str, start_debezium: StartDebezium
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (id int PRIMARY KEY, note text)")
        connection.execute("INSERT INTO kept VALUES (1, 'ü\"')")
        with start_debezium(debezium.properties(database)) as engine:
            (row,) = engine.take(1, timeout_s=180)
            connection.execute("DELETE FROM kept")
            deleted, tombstone = engine.take(2, timeout_s=180)
    assert row.topic == "shop.public.kept"
    assert row.key == b'{"id":1}'
    assert row.value is not None
    assert row.value.startswith('{"before":null,"after":{"id":1,"note":"ü\\""},"source":{"version":"3.6'.encode())
    assert deleted.value is not None
    assert (tombstone.key, tombstone.value) == (b'{"id":1}', None)


def test_a_killed_broker_comes_back_on_its_port_with_what_was_acknowledged(
    start_kafka: Callable[..., kafka.Broker],
) -> None:
    broker = start_kafka()
    broker.create_topic("kept")
    assert _produced(broker.address, "kept") is None
    port = broker.port
    broker.kill()
    broker.start()
    assert broker.port == port
    (message,) = _messages(broker, "kept", 1)
    assert (message.key(), message.value()) == (b"k", b"v")


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"])
def test_a_secure_broker_knows_who_logs_in_and_lets_nobody_do_what_no_acl_allows(
    secure_kafka: kafka.Broker, mechanism: str
) -> None:
    assert secure_kafka.secure is not None
    login = {"sasl.username": "guest", "sasl.password": kafka.PASSWORD}
    if mechanism == "OAUTHBEARER":
        login = {"enable.sasl.oauthbearer.unsecure.jwt": "true", "sasl.oauthbearer.config": "principal=guest"}
    security = {"security.protocol": "SASL_SSL", "ssl.ca.location": str(secure_kafka.secure.authority)}
    error = _produced(secure_kafka.secure.sasl_tls, "kept", **security, **login, **{"sasl.mechanism": mechanism})
    assert error is not None
    assert error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED


def test_connect_fills_a_topic_with_what_debezium_makes_of_a_row(
    kafka: kafka.Broker, connect: servers_connect.Worker, database: str, topic: str
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (id int PRIMARY KEY, note text)")
        connection.execute("INSERT INTO kept VALUES (1, 'ü\"')")
    connect.create(topic, servers_connect.debezium(database, topic))
    (message,) = _messages(kafka, f"{topic}.public.kept", 1)
    connect.remove(topic)
    assert message.key() == b'{"id":1}'
    assert message.value().startswith('{"before":null,"after":{"id":1,"note":"ü\\""},"source":{"version":"3.6'.encode())


def _produced(address: str, topic: str, **config: str) -> KafkaError | None:
    """Produce one message; the error that it met."""
    told: list[KafkaError | None] = []
    producer = Producer({"bootstrap.servers": address, "message.timeout.ms": 60_000, **config})
    producer.produce(topic, b"v", b"k", on_delivery=lambda error, _: told.append(error))
    producer.flush(90)
    return told[0]


def _messages(broker: kafka.Broker, topic: str, count: int) -> list[Message]:
    """The first messages of `topic`, waited for."""
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": topic, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    messages: list[Message] = []

    def took() -> bool:
        found = consumer.poll(0.2)
        messages.extend([found] if found is not None and found.error() is None else [])
        return len(messages) >= count

    until(took, f"for {count} messages of {topic}", timeout_s=180)
    consumer.close()
    return messages
