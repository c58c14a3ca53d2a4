"""The proxy of the fault tests does to a connection what it says, seen from both of its ends."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from servers.proxy import Proxy, Side, Way
from tests import waiting

SHORT_S = 0.2


class Line:
    """Both ends of connections through a proxy: `client` and `target` are plain sockets."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._listener = stack.enter_context(closing(socket.create_server(("127.0.0.1", 0))))
        self._listener.settimeout(waiting.TIMEOUT_S)
        self.proxy = stack.enter_context(Proxy("127.0.0.1", self._listener.getsockname()[1]))

    def connect(self) -> tuple[socket.socket, socket.socket]:
        client = self.client()
        target, _ = self._listener.accept()
        self._stack.enter_context(closing(target))
        target.settimeout(waiting.TIMEOUT_S)
        return client, target

    def client(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.proxy.port), waiting.TIMEOUT_S)
        return self._stack.enter_context(closing(client))


@pytest.fixture
def line() -> Iterator[Line]:
    with ExitStack() as stack:
        yield Line(stack)


def test_what_is_sent_arrives_and_so_does_its_end(line: Line) -> None:
    client, target = line.connect()
    client.sendall(b"question" * 100_000)
    client.shutdown(socket.SHUT_WR)
    assert read_to_end(target) == b"question" * 100_000
    target.sendall(b"answer")
    target.close()
    assert read_to_end(client) == b"answer"
    assert line.proxy.to_target_bytes == 800_000
    waiting.until(lambda: line.proxy.connections == 0)


def test_a_cut_resets_both_ends_and_serves_the_next(line: Line) -> None:
    client, target = line.connect()
    line.proxy.cut()
    assert is_reset(client)
    assert is_reset(target)
    assert passes(*line.connect())


@pytest.mark.parametrize("way", [Way.TO_TARGET, Way.TO_CLIENT])
def test_a_line_stalls_at_a_text_before_it_or_behind_it(line: Line, way: Way) -> None:
    client, target = line.connect()
    line.proxy.stall_at(b"stop", way)
    client.sendall(b"go")
    assert (target.recv(2), line.proxy.stalled) == (b"go", False)
    client.sendall(b"now stop here")
    waiting.until(lambda: line.proxy.stalled)
    silent = target if way is Way.TO_TARGET else client
    if way is Way.TO_CLIENT:
        assert target.recv(20) == b"now stop here"
        target.sendall(b"answer")
    silent.settimeout(SHORT_S)
    with pytest.raises(TimeoutError):
        silent.recv(20)
    line.proxy.resume()
    silent.settimeout(waiting.TIMEOUT_S)
    assert silent.recv(20) == (b"now stop here" if way is Way.TO_TARGET else b"answer")
    client.sendall(b"stop")
    assert target.recv(20) == b"stop", "once"


def test_a_stalled_connection_goes_on_where_it_stood(line: Line) -> None:
    client, target = line.connect()
    line.proxy.stall()
    client.sendall(b"late")
    assert is_silent(target)
    line.proxy.resume()
    assert target.recv(10) == b"late"


def test_one_direction_may_stall_alone(line: Line) -> None:
    client, target = line.connect()
    line.proxy.stall(Way.TO_CLIENT)
    assert passes(client, target)
    target.sendall(b"late")
    assert is_silent(client)


def test_a_stall_holds_back_the_end_as_well(line: Line) -> None:
    client, target = line.connect()
    line.proxy.stall()
    target.close()
    assert is_silent(client)
    line.proxy.resume()
    assert client.recv(10) == b""


def test_a_black_hole_takes_everything_and_gives_nothing_back_later(line: Line) -> None:
    client, target = line.connect()
    line.proxy.blackhole()
    client.sendall(b"lost" * 2_000_000)
    late = line.client()
    late.sendall(b"lost")
    waiting.until(lambda: line.proxy.accepted == 2)
    line.proxy.resume()
    client.sendall(b"lost")
    assert is_silent(target)
    assert is_silent(client)
    assert is_silent(late)
    assert passes(*line.connect())


@pytest.mark.parametrize("alive", Side)
def test_a_half_open_connection_is_closed_at_one_end_only(line: Line, alive: Side) -> None:
    ends = dict(zip(Side, line.connect(), strict=True))
    line.proxy.half_open(alive)
    knows = ends[Side.TARGET if alive is Side.CLIENT else Side.CLIENT]
    assert is_reset(knows)
    ends[alive].sendall(b"nobody hears" * 100_000)
    assert is_silent(ends[alive])
    assert passes(*line.connect())


def test_a_proxy_that_refuses_lets_open_connections_live(line: Line) -> None:
    client, target = line.connect()
    line.proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        line.client()
    assert passes(client, target)
    line.proxy.resume()
    assert passes(*line.connect())


def test_a_target_that_is_down_resets_the_client() -> None:
    with closing(socket.socket()) as mute:
        mute.bind(("127.0.0.1", 0))  # taken, so that nobody else gets the port; but nobody listens
        with Proxy(*mute.getsockname()) as proxy:
            address = ("127.0.0.1", proxy.port)
            with pytest.raises(ConnectionResetError), socket.create_connection(address, waiting.TIMEOUT_S) as client:
                read_to_end(client)


def test_a_limit_slows_down(line: Line) -> None:
    client, target = line.connect()
    line.proxy.limit(100_000)
    begin = time.monotonic()
    client.sendall(b"x" * 50_000)
    client.shutdown(socket.SHUT_WR)
    assert len(read_to_end(target)) == 50_000
    assert time.monotonic() - begin > 0.4


def test_a_delay_holds_back(line: Line) -> None:
    client, target = line.connect()
    line.proxy.delay(SHORT_S)
    begin = time.monotonic()
    assert passes(client, target)
    assert time.monotonic() - begin >= SHORT_S


def test_slices_arrive_whole(line: Line) -> None:
    client, target = line.connect()
    line.proxy.slice(7)
    client.sendall(b"0123456789" * 50)
    client.shutdown(socket.SHUT_WR)
    assert read_to_end(target) == b"0123456789" * 50


def test_a_connection_can_be_cut_in_the_middle_of_a_message(line: Line) -> None:
    _, target = line.connect()
    line.proxy.cut_after(1000)
    target.sendall(b"x" * 5000)
    assert is_reset(target)
    assert line.proxy.to_client_bytes == 1000
    assert passes(*line.connect())


def test_a_url_keeps_all_but_its_address(line: Line) -> None:
    through = line.proxy.through("postgresql://user:secret@db:5432/shop?sslmode=disable")
    assert through == f"postgresql://user:secret@127.0.0.1:{line.proxy.port}/shop?sslmode=disable"


def passes(client: socket.socket, target: socket.socket) -> bool:
    client.sendall(b"hello")
    return target.recv(5) == b"hello"


def is_silent(end: socket.socket) -> bool:
    end.settimeout(SHORT_S)
    try:
        end.recv(1)
        return False
    except TimeoutError:
        return True
    finally:
        end.settimeout(waiting.TIMEOUT_S)


def is_reset(end: socket.socket) -> bool:
    try:
        while end.recv(1 << 16):
            continue
    except ConnectionResetError:
        return True
    return False


def read_to_end(end: socket.socket) -> bytes:
    return b"".join(iter(lambda: end.recv(1 << 16), b""))
