"""A network namespace whose packets to and from this host get lost at random. Needs root; removes what it made."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

from servers.artifact import Unavailable


class Lossy:
    """A namespace joined to ours by a pair of virtual interfaces: `host` is our address as seen from inside."""

    def __init__(self) -> None:
        if os.geteuid() != 0 or not (shutil.which("ip") and shutil.which("iptables")):
            raise Unavailable("network namespaces need root, ip and iptables")
        number = os.getpid() % (1 << 14)
        self._name = f"lossy{number}"
        self._outside, self._inside = f"lo{number}", f"li{number}"
        subnet = f"10.203.{number >> 6}.{number % 64 * 4}"
        self.host, self.guest = (f"{subnet.rpartition('.')[0]}.{number % 64 * 4 + each}" for each in (1, 2))
        try:
            _run("ip", "netns", "add", self._name)
            _run("ip", "link", "add", self._outside, "type", "veth", "peer", self._inside, "netns", self._name)
            _run("ip", "addr", "add", f"{self.host}/30", "dev", self._outside)
            _run("ip", "link", "set", self._outside, "up")
            _run("ip", "-n", self._name, "addr", "add", f"{self.guest}/30", "dev", self._inside)
            _run("ip", "-n", self._name, "link", "set", self._inside, "up")
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
            _run(*self.command, "iptables", "-A", chain, *rule)

    @property
    def lost(self) -> tuple[int, ...]:
        """How many packets were dropped: in, out."""
        shown = (_run(*self.command, "iptables", "-L", chain, "-v", "-x", "-n") for chain in ("INPUT", "OUTPUT"))
        return tuple(sum(map(int, re.findall(r"^\s*(\d+)\s+\d+\s+DROP", text, re.MULTILINE))) for text in shown)

    def close(self) -> None:
        """Remove the namespace, and with it the interfaces."""
        subprocess.run(["ip", "netns", "del", self._name], check=False, capture_output=True)


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
