"""Certificates for tests: an authority, and what it signs, expired if asked for. Needs the openssl command."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from servers.artifact import Unavailable


@dataclass(frozen=True, slots=True)
class Signed:
    """A certificate and its private key (mode 0600), as files."""

    certificate: Path
    key: Path


class Authority:
    """Signs for servers and clients; `certificate` is what trusts it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._key = folder / "authority.key"
        self.certificate = folder / "authority.crt"
        openssl(
            "req", "-x509", *_NEW_KEY, "-days", "2", "-subj", f"/CN={folder.name}", out=self.certificate, key=self._key
        )

    def issue(self, subject: str, *, days: int = 2, name: str = "", passphrase: str | None = None) -> Signed:
        """A certificate for user `subject` or, if it is localhost, for a server; expired if `days` is negative, its key
        encrypted if there is a `passphrase`.

        Issued again under the same `name` (by default the subject), it takes the place of the one before.
        """
        made = Signed(self._folder / f"{name or subject}.crt", self._folder / f"{name or subject}.key")
        request, names = self._folder / "request.csr", self._folder / "names.txt"
        openssl("req", *_NEW_KEY, "-subj", f"/CN={subject}", out=request, key=made.key)
        names.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1" if subject == "localhost" else "")
        signing = ["x509", "-req", "-in", str(request), "-CA", str(self.certificate), "-CAkey", str(self._key)]
        openssl(*signing, "-days", str(days), "-extfile", str(names), out=made.certificate)
        if passphrase is not None:
            openssl("rsa", "-in", str(made.key), "-aes256", "-passout", f"pass:{passphrase}", out=made.key)
        made.key.chmod(0o600)
        return made

    def revoke(self, *names: str) -> Path:
        """A list of what is revoked (`sslcrl`): what was issued under these names. It lies in a folder of its own, as
        OpenSSL looks for one there (`sslcrldir`)."""
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        (folder / "known").touch()
        settings = folder / "settings"
        settings.write_text(
            f"[ca]\ndefault_ca=us\n[us]\ndatabase={folder / 'known'}\ndefault_md=sha256\ndefault_crl_days=2\n"
        )
        listed = folder / "listed.crl"
        ca = ["ca", "-config", str(settings), "-cert", str(self.certificate), "-keyfile", str(self._key)]
        for name in names:
            openssl(*ca, "-revoke", str(self._folder / f"{name}.crt"), out=listed)
        openssl(*ca, "-gencrl", out=listed)
        found = subprocess.run(
            ["openssl", "crl", "-in", str(listed), "-noout", "-hash"], check=True, capture_output=True, text=True
        )
        return listed.rename(folder / f"{found.stdout.strip()}.r0")


_NEW_KEY = ("-newkey", "rsa:2048", "-nodes")


def openssl(*arguments: str, out: Path, key: Path | None = None) -> None:
    """Run the command, which writes to `out`, and a new private key to `key`; `Unavailable` when there is none."""
    if shutil.which("openssl") is None:
        raise Unavailable("certificates need the openssl command")
    command = ["openssl", *arguments, "-out", str(out), *(["-keyout", str(key)] if key else [])]
    subprocess.run(command, check=True, capture_output=True)
