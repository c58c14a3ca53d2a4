"""What stands before a real schema registry and lets in only who logs in, over TLS if told. Knows no schemas itself."""

from __future__ import annotations

import base64
import http.client
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from servers.certificate import Signed
from servers.registry import Server
from tests.serving import Answering, serving


@dataclass
class Gate:
    """Open at `url` to requests that show `allowed` in the header `authorization`."""

    url: str
    allowed: str = ""


def basic(login: str) -> str:
    """What `user:password` shows itself with."""
    return f"Basic {base64.b64encode(login.encode()).decode()}"


@contextmanager
def start(registry: Server, *, signed: Signed | None = None, clients: Path | None = None) -> Iterator[Gate]:
    """A gate before `registry`; over TLS with `signed`, to clients that `clients` has signed if given."""
    behind = urlsplit(registry.url)

    class Handler(Answering):
        def _handle(self) -> None:
            body = self.body()
            if self.headers.get("authorization", "") != gate.allowed:
                self.answer(401, b'{"error_code":40101,"message":"Unauthorized"}')
                return
            connection = http.client.HTTPConnection(behind.netloc, timeout=120)
            kind = {name: self.headers[name] for name in ("content-type",) if name in self.headers}
            connection.request(self.command, self.path, body, kind)
            answer = connection.getresponse()
            self.answer(answer.status, answer.read())
            connection.close()

        do_GET = do_POST = _handle

    class Listener(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass  # who does not trust us, or shows no certificate, breaks off

    server = Listener(("127.0.0.1", 0), Handler)
    if signed is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(signed.certificate, signed.key)
        if clients is not None:
            context.load_verify_locations(clients)
            context.verify_mode = ssl.CERT_REQUIRED
        # The handshake is the handler's, or one client that hangs in it would keep all others out.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    scheme = "http" if signed is None else "https"
    gate = Gate(f"{scheme}://localhost:{server.server_port}{behind.path}")
    with serving(server):
        yield gate
