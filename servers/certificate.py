"""Certificates for tests: an authority, and what it signs, expired if asked for. Never reads what others issued."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.x509.oid import NameOID

LOCALHOST = (x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1")))
_VALID = timedelta(days=2)


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
        self.certificate = folder / "authority.crt"
        self._key = self_signed(Signed(self.certificate, folder / "authority.key"), folder.name)
        self._name = _named(folder.name)

    def issue(self, subject: str, *, days: int = 2, name: str = "", passphrase: str | None = None) -> Signed:
        """A certificate for user `subject` or, if it is localhost, for a server; expired if `days` is negative, its key
        encrypted if there is a `passphrase`.

        Issued again under the same `name` (by default the subject), it takes the place of the one before.
        """
        made = Signed(self._folder / f"{name or subject}.crt", self._folder / f"{name or subject}.key")
        key = new_key(made.key, passphrase=passphrase)
        valid = timedelta(days=days)
        builder = _unsigned(_named(subject), key.public_key(), valid).issuer_name(self._name)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(signer, critical=False)
        if subject == "localhost":
            builder = builder.add_extension(x509.SubjectAlternativeName(LOCALHOST), critical=False)
        _write(builder.sign(self._key, hashes.SHA256()), made.certificate)
        return made

    def revoke(self, *names: str) -> Path:
        """A list of what is revoked (`sslcrl`): what was issued under these names. It lies in a folder of its own, as
        OpenSSL looks for one there (`sslcrldir`)."""
        now = datetime.now(UTC)
        listed = x509.CertificateRevocationListBuilder().issuer_name(self._name)
        listed = listed.last_update(now - _VALID).next_update(now + _VALID)
        for name in names:
            revoked = x509.load_pem_x509_certificate((self._folder / f"{name}.crt").read_bytes())
            entry = x509.RevokedCertificateBuilder().serial_number(revoked.serial_number).revocation_date(now)
            listed = listed.add_revoked_certificate(entry.build())
        path = Path(tempfile.mkdtemp(dir=self._folder)) / f"{_looked_up(self._folder.name)}.r0"
        path.write_bytes(listed.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return path


def self_signed(made: Signed, subject: str, names: Sequence[x509.GeneralName] = ()) -> RSAPrivateKey:
    """Write a certificate that may sign others, with its key, which is returned; it stands for `names` too."""
    key = new_key(made.key)
    builder = _unsigned(_named(subject), key.public_key(), _VALID).issuer_name(_named(subject))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    _write(builder.sign(key, hashes.SHA256()), made.certificate)
    return key


def new_key(path: Path, *, passphrase: str | None = None) -> RSAPrivateKey:
    """A private key, which nobody but its owner can read at `path` (PEM, PKCS #8)."""
    key = generate_private_key(65_537, 2048)
    encrypted: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        encrypted = serialization.BestAvailableEncryption(passphrase.encode())
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encrypted))
    return key


def _named(subject: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])


def _unsigned(subject: x509.Name, key: RSAPublicKey, valid: timedelta) -> x509.CertificateBuilder:
    """Valid since long enough before now, and before its end, that no clock of a test is ahead of it."""
    end = datetime.now(UTC) + valid
    begin = min(datetime.now(UTC), end) - _VALID
    builder = x509.CertificateBuilder().subject_name(subject).public_key(key)
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(begin).not_valid_after(end)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _write(certificate: x509.Certificate, path: Path) -> None:
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _looked_up(subject: str) -> str:
    """The name under which OpenSSL looks for what this subject issued (`X509_NAME_hash`): a digest of the name in small
    letters, without the header of the outermost sequence (two bytes, as it is short)."""
    canonical = _named(subject.lower()).public_bytes()[2:]
    return hashlib.sha1(canonical).digest()[3::-1].hex()
