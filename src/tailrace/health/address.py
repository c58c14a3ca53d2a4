"""Where to listen, from what somebody wrote. Never opens anything up to others that was not written out."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from tailrace.error import ConfigError

__all__ = ["Address"]

_LOCAL = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port; port 0 takes a free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """`host:port`, `[::1]:port`, or just `port` or `:port`, which stay on this machine; `ConfigError` otherwise."""
        host, _, port = text.strip().rpartition(":")
        host = host.removeprefix("[").removesuffix("]") or _LOCAL
        if not (port.isascii() and port.isdigit() and int(port) < 1 << 16):
            raise ConfigError(f"cannot listen at {text!r}", hint="write it as 127.0.0.1:9187, or just 9187")
        return cls(_LOCAL if host == "localhost" else host, int(port))

    @property
    def local(self) -> bool:
        """Only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:  # a name, which may be anything
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
