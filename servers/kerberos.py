"""A real Kerberos realm: MIT's KDC on a free port of 127.0.0.1. Never touches a system's own realm or tickets.

    with kerberos.start() as realm:
        server.configure(krb_server_keyfile=str(realm.service("postgres/localhost")))
        realm.ticket(realm.keytab("cdc"), "cdc", realm.folder / "tickets")

It comes out of Debian's packages (servers/debian.py). Names of hosts are taken as they are written, so that the service
of a server of ours is `postgres/localhost` on every machine.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from servers import artifact, debian
from servers.artifact import Unavailable
from servers.process import dying_with_us, free_port, own

REALM = "TAILRACE.TEST"
_PACKAGES = (
    *("krb5-kdc", "krb5-admin-server", "krb5-user", "libkadm5srv-mit12", "libkadm5clnt-mit12", "libkdb5-10"),
    *("libgssrpc4", "libverto1", "libverto-libev1", "libev4", "libss2", "libcom-err2", "libkeyutils1"),
    # Programs and libraries of one release: a system's own may be older.
    *("libkrb5-3", "libk5crypto3", "libkrb5support0", "libgssapi-krb5-2"),
)
_KRB5_CONF = """\
[libdefaults]
default_realm = {realm}
dns_canonicalize_hostname = false
dns_lookup_kdc = false
qualify_shortname = ""
[realms]
{realm} = {{
    kdc = 127.0.0.1:{port}
}}
"""
_KDC_CONF = """\
[kdcdefaults]
kdc_listen = 127.0.0.1:{port}
kdc_tcp_listen = 127.0.0.1:{port}
[realms]
{realm} = {{
    database_name = {folder}/principal
    key_stash_file = {folder}/stash
}}
[dbmodules]
db_module_dir = {libraries}/krb5/plugins/kdb
"""
_START_S, _STOP_S = 120.0, 60.0


@dataclass(frozen=True, slots=True)
class Realm:
    """A running realm. Principals are added by asking for their keys."""

    folder: Path
    root: Path

    @property
    def environ(self) -> dict[str, str]:
        """What clients and servers of this realm need in their environment to find it."""
        return {"KRB5_CONFIG": str(self.folder / "krb5.conf"), "KRB5RCACHENAME": "none:"}

    def keytab(self, principal: str) -> Path:
        """A file with the key of a client of this name, which is added to the realm."""
        path = self.folder / f"{principal}.keytab"
        self._add(principal, path)
        return path

    def service(self, *principals: str) -> Path:
        """A file with the keys of a server that answers to these names; it belongs to the user that servers run as."""
        path = self.folder / "service.keytab"
        for principal in principals:
            self._add(principal, path)
        own(path)
        return path

    def ticket(self, keytab: Path, principal: str, into: Path, *, lifetime: str = "1h") -> None:
        """Write a forwardable ticket of `principal` to the file `into`, as `kinit` does."""
        self._run("bin/kinit", "-f", "-l", lifetime, "-c", f"FILE:{into}", "-k", "-t", str(keytab), principal)

    def _add(self, principal: str, keytab: Path) -> None:
        for query in (f"addprinc -randkey {principal}", f"ktadd -k {keytab} {principal}"):
            self._run("sbin/kadmin.local", "-q", query)

    def _run(self, program: str, *options: str) -> None:
        try:
            done = subprocess.run(
                [str(self.root / "usr" / program), *options], env=self._variables(), capture_output=True, text=True,
                check=False, timeout=_START_S,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"{program} did not end within {_START_S:g} s") from error
        if done.returncode != 0:
            raise Unavailable(f"{program} failed: {' | '.join(done.stderr.splitlines()[-3:])}")

    def _variables(self) -> dict[str, str]:
        profile = {"KRB5_KDC_PROFILE": str(self.folder / "kdc.conf")}
        return {**debian.environment(self.root), **self.environ, **profile}

    @contextmanager
    def _serving(self) -> Iterator[None]:
        command = dying_with_us([str(self.root / "usr" / "sbin" / "krb5kdc"), "-n", "-r", REALM])
        with (self.folder / "log").open("wb") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._variables(), start_new_session=True
            )
        try:
            self._wait(process)
            yield
        finally:
            process.kill()
            process.wait(_STOP_S)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline, keytab = time.monotonic() + _START_S, self.keytab("ready")
        while True:
            try:
                self.ticket(keytab, "ready", self.folder / "ready")
            except Unavailable as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    said = (self.folder / "log").read_text(errors="replace").splitlines()[-3:]
                    raise Unavailable(f"krb5kdc did not start: {' | '.join(said)}") from error
                time.sleep(0.05)
            else:
                return


@contextmanager
def start() -> Iterator[Realm]:
    """A running realm `REALM`, gone with all its keys at the end. `Unavailable` when this machine cannot run it."""
    root, folder = install(), Path(tempfile.mkdtemp(prefix="tailrace-kerberos-"))
    folder.chmod(0o711)  # servers read their keys here as another user
    realm, place = Realm(folder, root), {"realm": REALM, "port": free_port(), "folder": folder}
    try:
        (folder / "krb5.conf").write_text(_KRB5_CONF.format(**place))
        (folder / "kdc.conf").write_text(_KDC_CONF.format(**place, libraries=debian.libraries(root)))
        realm._run("sbin/kdb5_util", "create", "-s", "-P", "master", "-r", REALM)
        with realm._serving():
            yield realm
    finally:
        artifact.remove(folder)


def install() -> Path:
    """The folder with the KDC, its tools and the libraries that they need, downloaded the first time."""
    return debian.install("kerberos", _PACKAGES)
