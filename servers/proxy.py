"""A TCP proxy that breaks a connection in every way that networks do, for tests of clients and servers alike.

    with Proxy("127.0.0.1", server.port) as proxy:
        url = proxy.through(server.url)
        proxy.stall()    # open, but nothing passes; `resume` goes on where it stopped
        proxy.resume()
        proxy.cut()      # both sides see a reset; the next connection works

A fault holds for all connections, those to come included, until `resume`. Never looks into what it forwards, never
listens on another address than 127.0.0.1. Bytes are moved by a thread of its own; every method may be called from any
other thread and has taken effect when it returns.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from enum import Flag, StrEnum, auto
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

from servers.process import free_port

_CHUNK = 64 << 10
_TICKS_PER_S = 20
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time to linger: close() sends RST."""
T = TypeVar("T")


class Way(Flag):
    """Which direction of a connection."""

    TO_CLIENT = auto()
    TO_TARGET = auto()
    BOTH = TO_CLIENT | TO_TARGET


class Side(StrEnum):
    """Which end of a connection."""

    CLIENT = "client"
    TARGET = "target"


class _End:
    """One of the two sockets of a link."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.socket: socket.socket = writer.get_extra_info("socket")
        # Small buffers: what a stalled connection swallows is then bounded, as it is on a real path.
        writer.transport.set_write_buffer_limits(high=0)

    def reset(self) -> None:
        if not self.writer.transport.is_closing():
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.writer.transport.abort()


class _Link:
    """A client's connection with the one to the target that serves it; none while the target is out of reach."""

    def __init__(self, client: _End, target: _End | None) -> None:
        self.ends = {Side.CLIENT: client, Side.TARGET: target}
        self.swallows = target is None
        """Takes all bytes and forwards none: for the rest of its life, since what it took would be missing."""

    def reset(self) -> None:
        for end in self.ends.values():
            if end is not None:
                end.reset()


class Proxy:
    """Forwards `port` of 127.0.0.1 to a target, and misbehaves on demand. A context manager."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self.port = free_port()
        """Where to connect to."""
        self._listener = _bound(self.port)
        self.accepted = 0
        """How many connections were taken since the start."""
        self.to_client_bytes = 0
        """How much was forwarded from the target to clients, over all connections."""
        self.to_target_bytes = 0
        """How much was forwarded from clients to the target, over all connections."""
        self.turns = 0
        """How often something went to the target behind something that came from it: a client's round trips."""
        self._last = Way.TO_CLIENT
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._stalled = Way(0)
        self._swallowing = False
        self._rate: int | None = None
        self._delay_s = 0.0
        self._slice_bytes = _CHUNK
        self._cut_after: int | None = None
        self._replaced: tuple[bytes, bytes] | None = None
        self._stall_at: tuple[bytes, Way] | None = None
        self._changed = asyncio.Event()
        self._connecting: set[asyncio.Future[_End]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy {self.port}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def through(self, url: str) -> str:
        """`url` with the proxy's address in place of its host and port."""
        parts = urlsplit(url)
        login, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{login}{at}127.0.0.1:{self.port}"))

    @property
    def connections(self) -> int:
        """How many connections are open now, dead ones included."""
        return len(self._links)

    def cut(self) -> None:
        """Reset every open connection at both ends, as a restarted firewall would. Later connections are served."""
        self._call(self._cut)

    def cut_after(self, bytes_more: int) -> None:
        """Reset all connections once as many more bytes went to clients: in the middle of a message, if need be."""
        self._call(lambda: setattr(self, "_cut_after", bytes_more))

    def refuse(self) -> None:
        """Refuse new connections, as a server that is down does. Open ones live on: `cut` them."""
        self._run(self._refuse())

    def stall(self, way: Way = Way.BOTH) -> None:
        """Forward nothing that way, not even an end; keep all connections open. What is sent piles up at its sender."""
        self._call(lambda: self._set(_stalled=way))

    def stall_at(self, text: bytes, way: Way) -> None:
        """`stall` that way, once, when a client sends `text`: with `Way.TO_TARGET` the target does not get it, with
        `Way.TO_CLIENT` it does, and its answer does not pass."""
        self._call(lambda: self._set(_stall_at=(text, way)))

    @property
    def stalled(self) -> bool:
        """Something does not pass, by `stall` or since what `stall_at` waits for came."""
        return bool(self._stalled)

    def blackhole(self) -> None:
        """Take what both ends send and drop it, as if the other host had vanished: neither end ever hears of it.

        Connections that lived through this stay dead for good; after `resume` only new ones are served.
        """
        self._call(self._blackhole)

    def half_open(self, alive: Side = Side.CLIENT) -> None:
        """Reset one end of every connection while the other, `alive`, is not told: it may send for ever.

        Later connections are served.
        """
        self._call(lambda: self._half_open(alive))

    def limit(self, bytes_per_s: int) -> None:
        """Forward no faster than this, each connection and direction by itself."""
        self._call(lambda: self._set(_rate=bytes_per_s))

    def delay(self, delay_s: float) -> None:
        """Hold back each piece of up to 64 kB for so long: latency, with the throughput of a small window."""
        self._call(lambda: self._set(_delay_s=delay_s))

    def slice(self, bytes_max: int) -> None:
        """Forward pieces of at most this size, so that every message arrives in parts."""
        self._call(lambda: self._set(_slice_bytes=bytes_max))

    def replace(self, old: bytes, new: bytes) -> None:
        """Forward other bytes to clients, as many as there were: a target, or a network, that is not to be trusted."""
        assert len(old) == len(new)
        self._call(lambda: self._set(_replaced=(old, new)))

    def resume(self) -> None:
        """End every fault: accept, forward all at full speed. What was cut or swallowed does not come back."""
        self._run(self._resume())

    def close(self) -> None:
        """Reset all connections and stop listening. Idempotent."""
        if self._loop.is_closed():
            return
        self._run(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[None, None, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _call(self, change: Callable[[], None]) -> None:
        async def work() -> None:
            # The target may know of a connection before we do: a fault must not miss it.
            await asyncio.gather(*self._connecting, return_exceptions=True)
            await asyncio.sleep(0)
            change()

        self._run(work())

    def _set(self, **settings: object) -> None:
        for name, value in settings.items():
            setattr(self, name, value)
        self._changed.set()
        self._changed = asyncio.Event()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, sock=self._listener)

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
            self._listener = _bound(self.port)  # kept from others, and refuses as long as nobody listens

    async def _resume(self) -> None:
        self._set(_stalled=Way(0), _swallowing=False, _rate=None, _delay_s=0.0, _slice_bytes=_CHUNK, _cut_after=None)
        self._replaced = self._stall_at = None
        if self._server is None:
            await self._listen()

    async def _shut(self) -> None:
        await self._refuse()
        self._listener.close()
        self._cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _cut(self) -> None:
        self._cut_after = None
        for link in self._links:
            link.reset()
        self._links.clear()
        self._set()

    def _blackhole(self) -> None:
        for link in self._links:
            link.swallows = True
        self._set(_swallowing=True)

    def _half_open(self, alive: Side) -> None:
        for link in self._links:
            link.swallows = True
            for side, end in link.ends.items():
                if end is not None and side is not alive:
                    end.reset()
        self._set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(_End(reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: _End) -> None:
        self.accepted += 1
        try:
            link = _Link(client, None if self._swallowing else await self._reach())
        except OSError:
            client.reset()
            return
        self._links.add(link)
        try:
            await asyncio.gather(self._pump(link, Way.TO_TARGET), self._pump(link, Way.TO_CLIENT))
        except OSError:
            link.reset()
        finally:
            self._links.discard(link)
            for end in link.ends.values():
                if end is not None:
                    end.writer.close()

    async def _reach(self) -> _End:
        async def connect() -> _End:
            return _End(*await asyncio.open_connection(*self._target))

        connecting = asyncio.ensure_future(connect())
        self._connecting.add(connecting)
        connecting.add_done_callback(self._connecting.discard)
        return await connecting

    async def _pump(self, link: _Link, way: Way) -> None:
        ends = (link.ends[Side.CLIENT], link.ends[Side.TARGET])
        source, sink = ends if way is Way.TO_TARGET else ends[::-1]
        while True:
            if source is None:
                return await self._silence(link)
            try:
                # A slow connection must not read ahead: the sender has to feel it.
                size = min(self._slice_bytes, max(1, self._rate // _TICKS_PER_S) if self._rate else _CHUNK)
                data = await source.reader.read(size)
            except OSError:
                await self._hold(link, way)
                if link.swallows:
                    return await self._silence(link)
                raise
            if way is Way.TO_TARGET and self._stall_at is not None and self._stall_at[0] in data:
                self._stalled, self._stall_at = self._stall_at[1], None
            await self._hold(link, way)
            if link.swallows:
                if not data:
                    return await self._silence(link)
                continue
            if sink is None or not data:
                break
            await self._pace(len(data))
            try:
                await self._forward(data, sink, way)
            except OSError:
                if link.swallows:  # a half-open end fell while these bytes were on their way to it
                    return await self._silence(link)
                raise
        if sink is not None and not sink.writer.transport.is_closing():
            sink.writer.write_eof()
        return None

    async def _forward(self, data: bytes, sink: _End, way: Way) -> None:
        turned, self._last = way is not self._last, way
        if way is Way.TO_TARGET:
            self.to_target_bytes += len(data)
            self.turns += turned
        else:
            if self._replaced is not None:
                data = data.replace(*self._replaced)
            if self._cut_after is not None:
                data, self._cut_after = data[: self._cut_after], self._cut_after - len(data)
            self.to_client_bytes += len(data)
        sink.writer.write(data)
        await sink.writer.drain()
        if self._cut_after is not None and self._cut_after <= 0:
            self._cut()

    async def _hold(self, link: _Link, way: Way) -> None:
        while way in self._stalled and not link.swallows and link in self._links:
            await self._changed.wait()

    async def _pace(self, size: int) -> None:
        seconds = self._delay_s + (size / self._rate if self._rate else 0.0)
        if seconds > 0:
            await asyncio.sleep(seconds)

    async def _silence(self, link: _Link) -> None:
        """One end is gone and the other must not hear of it: wait until the whole link is cut."""
        while link in self._links:
            await self._changed.wait()


def _bound(port: int) -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound
