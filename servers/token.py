"""An issuer of signed tokens for tests (RS256), which shows its public key to whom must check them (JWKS, RFC 7517).

    with token.issuing(folder) as issuer:
        issuer.keys_url    # where a broker asks for the key
        issuer.sign({"sub": "tailrace", "exp": …})

Never asks who wants a token.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from servers.certificate import new_key

_KEYS, _ID = "keys.json", "tailrace-1"


@dataclass(frozen=True, slots=True)
class Issuer:
    """Has a key of its own."""

    name: str
    """What its tokens should say of who made them (`iss`)."""
    keys_url: str
    key: RSAPrivateKey

    def sign(self, claims: Mapping[str, object]) -> str:
        """A token that says `claims`, signed."""
        said = f"{encoded({'alg': 'RS256', 'kid': _ID})}.{encoded(claims)}"
        return f"{said}.{_text(self.key.sign(said.encode(), PKCS1v15(), hashes.SHA256()))}"


@contextmanager
def issuing(folder: Path) -> Iterator[Issuer]:
    """An issuer whose keys can be asked for until the end of the block; it keeps them in `folder`, which it makes."""
    (shown := folder / "shown").mkdir(parents=True)
    key = new_key(folder / "issuer.key")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(shown))) as http:
        url = f"http://127.0.0.1:{http.server_port}"
        (shown / _KEYS).write_text(json.dumps({"keys": [_public(key.public_key())]}))
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


def _public(key: RSAPublicKey) -> dict[str, str]:
    numbers = key.public_numbers()
    modulus, exponent = (number.to_bytes((number.bit_length() + 7) // 8, "big") for number in (numbers.n, numbers.e))
    return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": _ID, "n": _text(modulus), "e": _text(exponent)}


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass
