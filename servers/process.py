"""What every real server's process needs: a user who is not root, files of that user, and a port. Starts nothing."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import random
import shutil
import socket
import tempfile
from collections import deque
from pathlib import Path
from typing import TextIO

from servers.artifact import Unavailable

_PORTS = range(12_000, 32_000)
_held: deque[TextIO] = deque(maxlen=200)
"""Locks on the ports that were given out last; the system lets go of them when the process ends."""


def as_server_user(command: list[str]) -> list[str]:
    """`command`, dying with the thread that starts it, and as nobody when we are root (PostgreSQL refuses root)."""
    if shutil.which("setpriv") is None:
        if os.geteuid() == 0:
            raise Unavailable("PostgreSQL refuses to run as root, and there is no setpriv to become nobody")
        return command
    drop = ["--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
    return ["setpriv", "--pdeathsig=QUIT", *drop, *command]


def dying_with_us(command: list[str]) -> list[str]:
    """`command`, killed when the thread that starts it ends, as ourselves."""
    return command if shutil.which("setpriv") is None else ["setpriv", "--pdeathsig=KILL", *command]


def own(path: Path) -> None:
    """Hand a file or folder to the user that servers run as."""
    if os.geteuid() == 0:
        user = pwd.getpwnam("nobody")
        os.chown(path, user.pw_uid, user.pw_gid)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on, and that no other process is given by this while ours lives.

    It is below those that the kernel gives to outgoing connections: a server that is restarted finds it free again.
    """
    folder = Path(tempfile.gettempdir(), f"tailrace-ports-{os.geteuid()}")
    folder.mkdir(exist_ok=True)
    for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
        held = (folder / str(port)).open("w")
        with contextlib.suppress(OSError), socket.socket() as probe:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            _held.append(held)
            return port
        held.close()
    raise Unavailable("no port of 127.0.0.1 is free")
