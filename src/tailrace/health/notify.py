"""Tells systemd of a service of Type=notify that it is up, what it does, and that it stops. Silent without systemd.

The protocol is a datagram of NAME=VALUE lines to the socket in NOTIFY_SOCKET (sd_notify(3)).
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from tailrace.pipeline import Status

__all__ = ["Notifier"]

_EVERY_S = 5.0

log = logging.getLogger("tailrace.health")


class Notifier:
    """`READY=1` when made, a `STATUS=` line every few seconds, `STOPPING=1` when asked. Does nothing where nobody
    listens."""

    def __init__(self, status: Callable[[], Sequence[Status]], environ: Mapping[str, str] = os.environ) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._status = status
        self._closed = threading.Event()
        if self._address:
            self._send("READY=1")
            threading.Thread(target=self._tell, name="tailrace-notify", daemon=True).start()

    def stopping(self) -> None:
        """A stop was asked for."""
        self._send("STOPPING=1")

    def close(self) -> None:
        """Tell no more; closing twice is harmless (I12)."""
        self._closed.set()

    def _tell(self) -> None:
        while not self._closed.is_set():
            states = Counter(status.state for status in self._status())
            self._send("STATUS=" + ", ".join(f"{count} {state}" for state, count in states.items()))
            self._closed.wait(_EVERY_S)

    def _send(self, line: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
                client.connect(self._address)
                client.send(line.encode())
        except OSError as error:
            log.info("systemd was not told %s: %s", line, error.strerror)
