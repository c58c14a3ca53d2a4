"""`/healthz`, `/readyz` and `/metrics` over HTTP/1.1, by the standard library. Only reads; has nothing to protect.

Every answer is of the moment: nothing is kept between two questions but what `retained.py` asks the servers.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec

from tailrace.error import ConfigError
from tailrace.health.address import Address
from tailrace.health.judge import judge
from tailrace.health.retained import Retained
from tailrace.pipeline import Pipeline

__all__ = ["HealthServer"]

_TIMEOUT_S = 5.0
_CLIENTS_MAX = 16
_TEXT, _JSON = "text/plain; charset=utf-8", "application/json"

log = logging.getLogger("tailrace.health")


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a question gets."""

    status: HTTPStatus
    kind: str
    body: bytes


class HealthServer:
    """Listens from its making until `close`; `address` says where, with the port that was found for port 0."""

    def __init__(self, address: Address, pipelines: Sequence[Pipeline], *, stalled_s: float) -> None:
        self._pipelines = tuple(pipelines)
        self._stalled_s = stalled_s
        try:
            self._server = _Server(address, {"/healthz": self._health, "/readyz": self._ready, "/metrics": self._told})
        except OSError as error:
            raise ConfigError(
                f"cannot listen at {address}: {error.strerror}", hint="choose another port with --http or [http] listen"
            ) from error
        self.address = Address(address.host, self._server.server_address[1])
        if not address.local:
            log.warning("http: %s can be reached from elsewhere, and asks nobody who he is", self.address)
        self._retained = Retained(self._pipelines)
        self._scrape = self._metrics()
        threading.Thread(target=self._server.serve_forever, name="tailrace-http", daemon=True).start()
        log.info("http: listening at http://%s", self.address)

    def close(self) -> None:
        """Stop answering; closing twice is harmless (I12)."""
        self._retained.close()
        self._server.shutdown()
        self._server.server_close()

    def _judged(self, ask: Callable[[bool, bool], bool], name: str) -> _Answer:
        """200 when `ask(healthy, ready)` holds for every pipeline, else 503; the body says it of each."""
        now = time.time()
        statuses = [pipeline.status() for pipeline in self._pipelines]
        verdicts = {status.name: judge(status, stalled_s=self._stalled_s, now=now) for status in statuses}
        good = all(ask(verdict.healthy, verdict.ready) for verdict in verdicts.values())
        body = msgspec.json.encode({name: good, "pipelines": verdicts})
        return _Answer(HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE, _JSON, body + b"\n")

    def _health(self) -> _Answer:
        return self._judged(lambda healthy, ready: healthy, "healthy")

    def _ready(self) -> _Answer:
        return self._judged(lambda healthy, ready: ready, "ready")

    def _told(self) -> _Answer:
        if self._scrape is None:
            return _Answer(HTTPStatus.NOT_IMPLEMENTED, _TEXT, b"pip install 'tailrace[metrics]'\n")
        return self._scrape()

    def _metrics(self) -> Callable[[], _Answer] | None:
        try:
            from tailrace.health.metrics import CONTENT_TYPE, Metrics, Seen
        except ImportError:
            log.warning("http: no /metrics without prometheus_client: pip install 'tailrace[metrics]'")
            return None

        def look() -> list[Seen]:
            now = time.time()
            statuses = [pipeline.status() for pipeline in self._pipelines]
            return [
                Seen(each, judge(each, stalled_s=self._stalled_s, now=now).healthy, self._retained.nbytes(each.name))
                for each in statuses
            ]

        metrics = Metrics(look)
        return lambda: _Answer(HTTPStatus.OK, CONTENT_TYPE, metrics.text())


class _Server(ThreadingHTTPServer):
    """Answers at most so many at once (I8); whoever comes then is sent away."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, address: Address, pages: dict[str, Callable[[], _Answer]]) -> None:
        self.pages = pages
        self._room = threading.BoundedSemaphore(_CLIENTS_MAX)
        self.address_family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        super().__init__((address.host, address.port), _Handler)

    def verify_request(self, request: object, client_address: object) -> bool:
        """False refuses: no thread is to be had."""
        return self._room.acquire(blocking=False)

    def process_request_thread(self, request: socket.socket, client_address: tuple[str, int]) -> None:  # type: ignore[override]
        """Answer, on a thread of its own."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away, or a fault of ours: never a traceback on stderr."""
        log.debug("http: a client was not answered", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    """One question."""

    server: _Server
    timeout = _TIMEOUT_S
    server_version = "tailrace"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer with a body."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """Answer without one."""
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        page = self.server.pages.get(self.path.partition("?")[0])
        answer = page() if page else _Answer(HTTPStatus.NOT_FOUND, _TEXT, b"/healthz /readyz /metrics\n")
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if body:
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:
        """Scrapes are not news."""
