"""What every real server's process needs: a user who is not root, files of that user, and a port. Starts nothing."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
from pathlib import Path

from servers.artifact import Unavailable


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
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
