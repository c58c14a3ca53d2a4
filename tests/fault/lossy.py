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
_IP = ("iproute2", "libbpf1", "libelf1", "libmnl0", "libbsd0", "libmd0", "libcap2")
_PREFIX = "lossy"


class Lossy:
    """A namespace joined to ours by a pair of virtual interfaces: `host` is our address as seen from inside."""

    def __init__(self) -> None:
        if os.geteuid() != 0:
            raise Unavailable("network namespaces need root")
        self._rules = debian.install("iptables", _PACKAGES)
        self._found = None if shutil.which("ip") else debian.install("iproute2", _IP)
        number = self._named()
        self._name = f"{_PREFIX}{number}"
        outside, inside = f"lo{number}", f"li{number}"
        self.host, self.guest = (f"10.203.{number >> 6}.{number % 64 * 4 + each}" for each in (1, 2))
        try:
            self._ip("link", "add", outside, "type", "veth", "peer", inside, "netns", self._name)
            self._ip("addr", "add", f"{self.host}/30", "dev", outside)
            self._ip("link", "set", outside, "up")
            self._ip("-n", self._name, "addr", "add", f"{self.guest}/30", "dev", inside)
            self._ip("-n", self._name, "link", "set", inside, "up")
            self._ip("-n", self._name, "link", "set", "lo", "up")
        except subprocess.CalledProcessError as error:
            self.close()
            raise Unavailable(f"no network namespace: {error.stderr.strip()}") from error

    @property
    def command(self) -> tuple[str, ...]:
        """What runs a command inside."""
        return ("nsenter", f"--net=/run/netns/{self._name}")

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
        with contextlib.suppress(subprocess.CalledProcessError):  # it may never have been made
            self._ip("netns", "del", self._name)

    def _ip(self, *options: str) -> str:
        if self._found is None:
            return _run("ip", *options)
        return _run(str(self._found / "bin" / "ip"), *options, environment=debian.environment(self._found))

    def _iptables(self, *options: str) -> str:
        found = {"XTABLES_LIBDIR": str(debian.libraries(self._rules) / "xtables")}
        program = str(self._rules / "usr" / "sbin" / "iptables-legacy")
        return _run(*self.command, program, *options, environment={**debian.environment(self._rules), **found})

    def _named(self) -> int:
        """The number of a new namespace, which no other process has: its name and its addresses follow from it."""
        for number in random.SystemRandom().sample(range(1 << 14), 100):
            with contextlib.suppress(subprocess.CalledProcessError):  # taken, or none is allowed
                self._ip("netns", "add", f"{_PREFIX}{number}")
                return number
        raise Unavailable("no network namespace can be made")


def _run(*command: str, environment: Mapping[str, str] | None = None) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
