"""HTTP servers of a test's own, for what no server of `servers/` is: a gate, an endpoint of tokens, a collector."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.background import beside


class Answering(BaseHTTPRequestHandler):
    """Handles requests without a word on stderr."""

    def body(self) -> bytes:
        """What the request carries."""
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def answer(self, status: int, body: bytes = b"") -> None:
        """End the request with a JSON document."""
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[None]:
    """Until the end of the block."""
    with server, beside(server.serve_forever, server.shutdown):
        yield
