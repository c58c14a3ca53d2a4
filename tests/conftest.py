"""Fixtures that every test may use: real servers, started once a run, and a fresh database for each test.

A server that this machine cannot run skips its tests with a reason; under `CI=true` that is a failure instead.
"""

from __future__ import annotations

import os
import secrets
import signal
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager

import psycopg
import pytest
from hypothesis import HealthCheck, settings

from servers import connect, debezium, kafka, pgbouncer, postgres
from servers import registry as servers_registry
from tests.origin import drop_origins
from tests.wanting import WANTING, or_skip

# A shell that starts the tests in the background leaves SIGINT ignored, and what the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# An example of a random test takes as long as others let it; Hypothesis itself knows that in CI.
settings.register_profile("shared", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

pytest_plugins = ["tests.outcome", "tests.server.subject"]


@pytest.fixture(scope="session")
def postgres18() -> Iterator[postgres.Server]:
    """The shared PostgreSQL 18: make databases on it, never restart or stop it."""
    yield from _shared(18)


@pytest.fixture(scope="session")
def postgres15() -> Iterator[postgres.Server]:
    """The shared PostgreSQL 15: make databases on it, never restart or stop it."""
    yield from _shared(15)


@pytest.fixture
def start_postgres() -> Iterator[Callable[..., postgres.Server]]:
    """Starts a server of the test's own, to stop, kill or configure: `start_postgres(18, settings={...}, tls=True)`."""
    with ExitStack() as stack:

        def start(
            version: int = 18, *, settings: Mapping[str, str] | None = None, tls: bool = False, full: bool = False
        ) -> postgres.Server:
            return or_skip(lambda: stack.enter_context(postgres.start(version, settings=settings, tls=tls, full=full)))

        yield start


@pytest.fixture
def start_pgbouncer() -> Iterator[Callable[..., pgbouncer.Pooler]]:
    """Starts a pooler in front of a server: `start_pgbouncer(server.port, settings={...})`."""
    with ExitStack() as stack:

        def start(port: int, *, settings: Mapping[str, str] | None = None) -> pgbouncer.Pooler:
            return or_skip(lambda: stack.enter_context(pgbouncer.start(port, settings=settings)))

        yield start


@pytest.fixture(scope="session")
def registry() -> Iterator[servers_registry.Server]:
    """The shared schema registry, with a TLS port: take subjects of the test's own, never stop it."""
    with ExitStack() as stack:
        yield or_skip(lambda: stack.enter_context(servers_registry.start(tls=True)))


@pytest.fixture(scope="session")
def start_debezium() -> Callable[..., AbstractContextManager[debezium.Engine]]:
    """`debezium.run`, for tests that compare with the real engine."""
    or_skip(debezium.install)
    return debezium.run


@pytest.fixture(scope="session")
def debezium_host() -> Iterator[Callable[..., AbstractContextManager[debezium.Engine]]]:
    """As `start_debezium`, in one JVM for all tests, one engine after the other: for those that end it in peace."""
    with ExitStack() as stack:
        yield or_skip(lambda: stack.enter_context(debezium.host())).run


@pytest.fixture(scope="session", name="kafka")
def shared_kafka() -> Iterator[kafka.Broker]:
    """The shared broker: make topics and groups with names of the test's own on it, never restart or stop it."""
    with ExitStack() as stack:
        yield or_skip(lambda: stack.enter_context(kafka.start()))


@pytest.fixture(scope="session")
def secure_kafka() -> Iterator[kafka.Broker]:
    """A shared broker that also listens with TLS and SASL, and where users may do only what an ACL allows."""
    with ExitStack() as stack:
        yield or_skip(lambda: stack.enter_context(kafka.start(secure=True)))


@pytest.fixture
def start_kafka() -> Iterator[Callable[..., kafka.Broker]]:
    """Starts a broker of the test's own, to stop, kill or configure: `start_kafka(settings={...}, secure=True)`."""
    with ExitStack() as stack:

        def start(*, settings: Mapping[str, str] | None = None, secure: bool = False) -> kafka.Broker:
            return or_skip(lambda: stack.enter_context(kafka.start(settings=settings, secure=secure)))

        yield start


@pytest.fixture
def kafka_cluster() -> Iterator[kafka.Cluster]:
    """Three brokers of the test's own, to kill one after another."""
    with ExitStack() as stack:
        yield or_skip(lambda: stack.enter_context(kafka.start_cluster()))


@pytest.fixture
def seed() -> int:
    """What is random in a test follows from it; pytest shows it when the test fails."""
    chosen = int(os.environ.get("TAILRACE_SEED") or 1 + secrets.randbelow((1 << 31) - 1))
    print(f"TAILRACE_SEED={chosen} makes the same choices again")
    return chosen


@pytest.fixture
def topic(kafka: kafka.Broker) -> Iterator[str]:
    """A name for topics of the test's own on the shared broker; all that begin with it are deleted at the end."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield name
    kafka.drop_topics(name)


@pytest.fixture(scope="session", name="connect")
def shared_connect(kafka: kafka.Broker) -> Iterator[connect.Worker]:
    """Kafka Connect with Debezium and Confluent's AvroConverter beside the shared broker: make connectors with names of
    the test's own on it."""
    with ExitStack() as stack:
        yield or_skip(lambda: stack.enter_context(connect.start(kafka.address, jars=debezium.avro_jars())))


@pytest.fixture
def database(postgres18: postgres.Server) -> Iterator[str]:
    """The superuser's URL of a fresh database on the shared PostgreSQL 18; its slots and it are dropped at the end."""
    with fresh(postgres18) as url:
        yield url


@pytest.fixture
def target_database(postgres18: postgres.Server) -> Iterator[str]:
    """A fresh database beside `database`, for the target's side."""
    name = f"target_{uuid.uuid4().hex[:12]}"
    yield postgres18.create_database(name)
    with psycopg.connect(postgres18.url, autocommit=True) as admin:
        drop_origins(admin, name)
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@pytest.fixture
def database15(postgres15: postgres.Server) -> Iterator[str]:
    """As `database`, on PostgreSQL 15."""
    with fresh(postgres15) as url:
        yield url


@pytest.fixture(scope="module", params=postgres.VERSIONS, ids=lambda version: f"postgres{version}")
def every_postgres(request: pytest.FixtureRequest) -> Iterator[postgres.Server]:
    """A server of each version that Tailrace supports, one after another: for a few tests of what differs."""
    if request.param in (15, 18):
        yield request.getfixturevalue(f"postgres{request.param}")
    else:
        yield from _shared(request.param)


@pytest.fixture
def every_database(every_postgres: postgres.Server) -> Iterator[str]:
    """As `database`, once on each version."""
    with fresh(every_postgres) as url:
        yield url


@pytest.fixture(params=[18, 15], ids=["postgres18", "postgres15"])
def any_database(request: pytest.FixtureRequest) -> Iterator[str]:
    """As `database`, once on each version that CI covers."""
    with fresh(request.getfixturevalue(f"postgres{request.param}")) as url:
        yield url


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count the tests that no server could be found for, where nobody can overlook it."""
    skipped = [report for report in terminalreporter.stats.get("skipped", ()) if WANTING in str(report.longrepr)]
    if skipped:
        terminalreporter.write_line(
            f"{len(skipped)} tests did not run for want of what this machine lacks", yellow=True
        )


def _shared(version: int) -> Iterator[postgres.Server]:
    with ExitStack() as stack:
        yield or_skip(lambda: stack.enter_context(postgres.start(version)))


@contextmanager
def fresh(server: postgres.Server) -> Iterator[str]:
    """A database of its own name, dropped with its slots when the caller is done with it, or fails."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    url = server.create_database(name)
    try:
        yield url
    finally:
        _drop(server, name)


def _fresh(server: postgres.Server) -> Iterator[str]:
    """As a generator, for fixtures that go on with it."""
    with fresh(server) as url:
        yield url


def _drop(server: postgres.Server, name: str) -> None:
    with psycopg.connect(server.url, autocommit=True) as admin:
        drop_origins(admin, name)
        admin.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
            " WHERE database = %s AND NOT temporary",
            [name],
        )
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())
