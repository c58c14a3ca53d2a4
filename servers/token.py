"""An issuer of signed tokens for tests (RS256), which shows its public key to whom must check them (JWKS, RFC 7517).

    with token.issuing(folder) as issuer:
        issuer.keys_url    # where a broker asks for the key
        issuer.sign({"sub": "tailrace", "exp": …})

Never asks who wants a token. Needs the openssl command.
"""

from __future__ import annotations

import base64
import json
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from servers.certificate import openssl

_KEYS, _ID = "keys.json", "tailrace-1"


@dataclass(frozen=True, slots=True)
class Issuer:
    """Has a key of its own."""

    name: str
    """What its tokens should say of who made them (`iss`)."""
    keys_url: str
    key: Path

    def sign(self, claims: Mapping[str, object]) -> str:
        """A token that says `claims`, signed."""
        said = f"{encoded({'alg': 'RS256', 'kid': _ID})}.{encoded(claims)}"
        command = ["openssl", "dgst", "-sha256", "-sign", str(self.key)]
        signed = subprocess.run(command, input=said.encode(), capture_output=True, check=True)
        return f"{said}.{_text(signed.stdout)}"


@contextmanager
def issuing(folder: Path) -> Iterator[Issuer]:
    """An issuer whose keys can be asked for until the end of the block; it keeps them in `folder`, which it makes."""
    (shown := folder / "shown").mkdir(parents=True)
    key = folder / "issuer.key"
    openssl("genrsa", out=key)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(shown))) as http:
        url = f"http://127.0.0.1:{http.server_port}"
        (shown / _KEYS).write_text(json.dumps({"keys": [_public(key)]}))
        serving = threading.Thread(target=http.serve_forever, name="issuer", daemon=True)
        serving.start()
        try:
            yield Issuer(url, f"{url}/{_KEYS}", key)
        finally:
            http.shutdown()
            serving.join()


def encoded(part: Mapping[str, object]) -> str:
    """A header or claims, as a token has them."""
    return _text(json.dumps(part).encode())


def _public(key: Path) -> dict[str, str]:
    told = subprocess.run(
        ["openssl", "rsa", "-in", str(key), "-noout", "-modulus"], capture_output=True, text=True, check=True
    )
    modulus = bytes.fromhex(told.stdout.strip().removeprefix("Modulus="))
    exponent = (65_537).to_bytes(3, "big")  # openssl's, unless it is told another
    return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": _ID, "n": _text(modulus), "e": _text(exponent)}


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass
