"""A network namespace whose packets to and from this host get lost at random. Needs root; removes what it made."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import subprocess
from collections.abc import Mapping

from servers import debian
from servers.artifact import Unavailable

_PACKAGES = ("iptables", "libip4tc2", "libip6tc2", "libxtables12")
_PREFIX = "lossy"


class Lossy:
    """A namespace joined to ours by a pair of virtual interfaces: `host` is our address as seen from inside."""

    def __init__(self) -> None:
        if os.geteuid() != 0 or not shutil.which("ip"):
            raise Unavailable("network namespaces need root and ip")
        self._rules = debian.install("iptables", _PACKAGES)
        number = _named()
        self._name = f"{_PREFIX}{number}"
        outside, inside = f"lo{number}", f"li{number}"
        self.host, self.guest = (f"10.203.{number >> 6}.{number % 64 * 4 + each}" for each in (1, 2))
        try:
            _run("ip", "link", "add", outside, "type", "veth", "peer", inside, "netns", self._name)
            _run("ip", "addr", "add", f"{self.host}/30", "dev", outside)
            _run("ip", "link", "set", outside, "up")
            _run("ip", "-n", self._name, "addr", "add", f"{self.guest}/30", "dev", inside)
            _run("ip", "-n", self._name, "link", "set", inside, "up")
            _run("ip", "-n", self._name, "link", "set", "lo", "up")
        except subprocess.CalledProcessError as error:
            self.close()
            raise Unavailable(f"no network namespace: {error.stderr.strip()}") from error

    @property
    def command(self) -> tuple[str, ...]:
        """What runs a command inside."""
        return ("ip", "netns", "exec", self._name)

    def lose(self, share: float) -> None:
        """From now on drop this share of the packets, each way."""
        for chain in ("INPUT", "OUTPUT"):
            rule = ("-m", "statistic", "--mode", "random", "--probability", str(share), "-j", "DROP")
            self._iptables("-A", chain, *rule)

    @property
    def lost(self) -> tuple[int, ...]:
        """How many packets were dropped: in, out."""
        shown = (self._iptables("-L", chain, "-v", "-x", "-n") for chain in ("INPUT", "OUTPUT"))
        return tuple(sum(map(int, re.findall(r"^\s*(\d+)\s+\d+\s+DROP", text, re.MULTILINE))) for text in shown)

    def close(self) -> None:
        """Remove the namespace, and with it the interfaces."""
        subprocess.run(["ip", "netns", "del", self._name], check=False, capture_output=True)

    def _iptables(self, *options: str) -> str:
        libraries = debian.libraries(self._rules)
        found = {"LD_LIBRARY_PATH": str(libraries), "XTABLES_LIBDIR": str(libraries / "xtables")}
        program = str(self._rules / "usr" / "sbin" / "iptables-legacy")
        return _run(*self.command, program, *options, environment={**os.environ, **found})


def _named() -> int:
    """The number of a new namespace, which no other process has: what it is called and its addresses follow from it."""
    for number in random.SystemRandom().sample(range(1 << 14), 100):
        with contextlib.suppress(subprocess.CalledProcessError):  # taken, or none is allowed
            _run("ip", "netns", "add", f"{_PREFIX}{number}")
            return number
    raise Unavailable("no network namespace can be made")


def _run(*command: str, environment: Mapping[str, str] | None = None) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
