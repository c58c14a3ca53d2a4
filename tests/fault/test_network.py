"""The connection to the source breaks in every way that networks have."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from servers.postgres import Server
from servers.proxy import Proxy, Side
from tests.fault.conftest import MakePipe, MakeTraffic
from tests.fault.lossy import Lossy
from tests.fault.pipe import Pipe
from tests.fault.row import fault, goes_on, waits
from tests.fault.traffic import Traffic
from tests.waiting import until
from tests.wanting import or_skip

CUTS = 5
COPY = "the connection broke while copying …: …"
BROKE = "the connection of slot '…' broke: …"


@pytest.fixture
def proxy(postgres18: Server) -> Iterator[Proxy]:
    """Stands between the pipeline and the source."""
    with Proxy("127.0.0.1", postgres18.port) as proxy:
        yield proxy


@pytest.fixture
def lossy() -> Iterator[Lossy]:
    """A network namespace that loses packets once told to."""
    made = or_skip(Lossy)
    yield made
    made.close()


def through(proxy: Proxy, make_pipe: MakePipe, database: str, kind: str = "file") -> Pipe:
    """A pipeline that reaches its source through the proxy, and streams."""
    pipe = make_pipe(proxy.through(database), kind, direct=database)
    pipe.start()
    pipe.catch_up()
    return pipe


@pytest.mark.parametrize("kind", ["file", "duckdb"])
@fault("the connection is cut, five times", "source, streaming: a reset", waits(BROKE))
def test_a_connection_that_is_cut(
    make_pipe: MakePipe, traffic: MakeTraffic, database: str, proxy: Proxy, kind: str
) -> None:
    running = traffic(database)
    pipe = through(proxy, make_pipe, database, kind)
    for _ in range(CUTS):
        running.passes()
        proxy.cut()
    pipe.goes_on(running)


@fault(
    "the connection is cut in the middle of a message",
    "source, streaming: twenty times, after 1 to 40 kB",
    waits(BROKE),
)
def test_a_connection_that_is_cut_in_the_middle_of_a_message(
    make_pipe: MakePipe, traffic: MakeTraffic, database: str, proxy: Proxy
) -> None:
    running = traffic(database)
    pipe = through(proxy, make_pipe, database)
    for cut in range(20):
        accepted = proxy.accepted
        proxy.cut_after(1_000 + 2_053 * cut)
        until(lambda before=accepted: proxy.accepted > before, "for a new connection")
    pipe.goes_on(running)


@fault(
    "the connection is cut",
    "source, snapshot: after 300 kB",
    waits(COPY, "with a new snapshot, nothing lost"),
)
def test_a_connection_that_is_cut_during_the_snapshot(
    make_pipe: MakePipe, traffic: MakeTraffic, database: str, proxy: Proxy
) -> None:
    running = traffic(database, rows=50_000)
    pipe = make_pipe(proxy.through(database), "duckdb", direct=database)
    proxy.cut_after(300_000)
    pipe.start()
    pipe.waits()
    pipe.catch_up()
    pipe.goes_on(running)


@fault(
    "nobody listens at the source's address", "source, streaming, then refused", waits("cannot connect to …: …refused…")
)
def test_a_source_that_refuses_connections(
    make_pipe: MakePipe, traffic: MakeTraffic, database: str, proxy: Proxy
) -> None:
    running = traffic(database)
    pipe = through(proxy, make_pipe, database, "duckdb")
    proxy.refuse()
    proxy.cut()
    pipe.waits()
    running.passes()
    proxy.resume()
    pipe.goes_on(running)


@fault("the connection is slow", "source, streaming: pieces of 7 bytes, then 20 kB/s, then 50 ms of latency", goes_on())
def test_a_slow_connection(make_pipe: MakePipe, traffic: MakeTraffic, database: str, proxy: Proxy) -> None:
    running = traffic(database, writers=(1,))
    pipe = through(proxy, make_pipe, database)
    _passes(proxy, running, lambda: proxy.slice(7))
    _passes(proxy, running, lambda: proxy.limit(20_000))
    _passes(proxy, running, lambda: proxy.delay(0.05))
    pipe.goes_on(running)


@fault("the connection stalls and goes on", "source, streaming", goes_on())
def test_a_connection_that_stalls(make_pipe: MakePipe, traffic: MakeTraffic, database: str, proxy: Proxy) -> None:
    running = traffic(database)
    pipe = through(proxy, make_pipe, database, "duckdb")
    for _ in range(CUTS):
        proxy.stall()
        running.passes(6)
        proxy.resume()
        running.passes()
    pipe.goes_on(running)


@fault("the connection is half open", "source: the server's end is gone, ours is not told", waits(
    "nothing was heard from the server of slot '…' for 60 s"
))  # fmt: skip
def test_i11_a_half_open_connection(make_pipe: MakePipe, traffic: MakeTraffic, database: str, proxy: Proxy) -> None:
    running = traffic(database, writers=(1,))
    pipe = through(proxy, make_pipe, database, "duckdb")
    proxy.half_open(Side.CLIENT)
    running.passes()
    running.stop()
    pipe.waits()
    pipe.goes_on(running)


@fault(
    "the connection is half open",
    "source, snapshot: the server's end is gone, a proxy goes on acknowledging",
    waits("nothing was heard for 5 s while copying …, and the server has no such session any more",
          "with a new snapshot, nothing lost"),
)  # fmt: skip
def test_a_half_open_connection_during_the_snapshot(
    make_pipe: MakePipe, traffic: MakeTraffic, start_postgres: Callable[..., Server]
) -> None:
    server = start_postgres(settings={"wal_sender_timeout": "4s"})
    running = traffic(server.url, rows=50_000, writers=(1,))
    with Proxy("127.0.0.1", server.port) as proxy:
        pipe = make_pipe(proxy.through(server.url), direct=server.url)
        proxy.limit(50_000)  # so that the fault meets the snapshot: the table takes 20 s
        pipe.start()
        pipe.says("snapshot of public.entries")
        proxy.half_open(Side.CLIENT)
        proxy.resume()
        pipe.waits()
        pipe.catch_up()
        pipe.goes_on(running)


@fault(
    "the network swallows everything",
    "source, snapshot: neither end hears of it; new connections too, for a while",
    waits("nothing was heard for 5 s while copying …, and cannot connect to …", "with a new snapshot, nothing lost"),
)
def test_a_black_hole_during_the_snapshot(
    make_pipe: MakePipe, traffic: MakeTraffic, start_postgres: Callable[..., Server]
) -> None:
    server = start_postgres(settings={"wal_sender_timeout": "4s"})
    running = traffic(server.url, rows=50_000, writers=(1,))
    with Proxy("127.0.0.1", server.port) as proxy:
        pipe = make_pipe(proxy.through(server.url) + "?connect_timeout=2", direct=server.url)
        proxy.limit(50_000)
        pipe.start()
        pipe.says("snapshot of public.entries")
        proxy.blackhole()
        pipe.waits()
        proxy.resume()
        pipe.catch_up()
        pipe.goes_on(running)


@fault(
    "packets are lost",
    "source, snapshot and streaming: a tenth of them, each way, between network namespaces",
    goes_on(),
)
def test_packets_that_are_lost(
    make_pipe: MakePipe, traffic: MakeTraffic, start_postgres: Callable[..., Server], lossy: Lossy
) -> None:
    server = start_postgres(settings={"listen_addresses": f"127.0.0.1,{lossy.host}"})
    with (server.data / "pg_hba.conf").open("a") as rules:
        rules.write(f"host all,replication all {lossy.guest}/32 trust\n")
    server.execute("SELECT pg_reload_conf()")
    running = traffic(server.url, rows=5_000)
    url = server.url.replace("127.0.0.1", lossy.host)
    # In the ten seconds by default the first packets of a connection are lost too often.
    pipe = make_pipe(f"{url}?connect_timeout=60", "duckdb", direct=server.url, inside=lossy.command)
    lossy.lose(0.1)
    pipe.start()
    pipe.catch_up()
    running.passes(20)
    until(lambda: min(lossy.lost) > 10, "for packets to be lost")
    pipe.goes_on(running)


def _passes(proxy: Proxy, running: Traffic, slow: object) -> None:
    before = proxy.to_client_bytes
    assert callable(slow)
    slow()
    until(lambda: proxy.to_client_bytes > before + 20_000, "for bytes")
    running.passes(1)
    proxy.resume()
