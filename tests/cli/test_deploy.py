"""What `deploy/` starts is started here, with its paths replaced: the unit's command, and the image's.

There is no systemd and no container engine: what they would do is done by hand, as far as a test can do it.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from servers import systemd
from servers.process import free_port
from tests.cli.conftest import Cli
from tests.tidy.test_operations import IMAGE, setting
from tests.waiting import TIMEOUT_S, until
from tests.wanting import lacking, or_skip

_PR_SET_NO_NEW_PRIVS, _PR_SET_MDWE = 38, 65


def words(instruction: str) -> list[str]:
    """The JSON list behind the last instruction of that name in the container file."""
    found = re.findall(rf"{instruction} (?:\\\n\s*)?(\[.*\])$", IMAGE, re.MULTILINE)
    parsed: list[str] = json.loads(found[-1])
    return parsed


def here(command: Sequence[str], config: Path, port: int) -> list[str]:
    """The command with what there is on this machine in place of what is deployed."""
    places = {
        "/opt/tailrace/bin/tailrace": "tailrace", "/etc/tailrace/tailrace.toml": str(config),
        "127.0.0.1:9187": f"127.0.0.1:{port}", "0.0.0.0:9187": f"127.0.0.1:{port}",
    }  # fmt: skip
    program, *arguments = (places.get(word, word).replace("127.0.0.1:9187", f"127.0.0.1:{port}") for word in command)
    return [sys.executable, "-m", "tailrace", *arguments] if program == "tailrace" else [sys.executable, *arguments]


class Systemd:
    """The service manager's side: where a service says how it is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(TIMEOUT_S)

    def hears(self, text: str) -> None:
        """Wait until it is told so."""
        while text not in self._socket.recv(4096).decode().splitlines():
            pass

    def close(self) -> None:
        self._socket.close()


def sandboxed() -> None:
    """What of the unit's sandbox a process can ask for by itself: NoNewPrivileges, MemoryDenyWriteExecute, UMask."""
    assert (setting("NoNewPrivileges"), setting("MemoryDenyWriteExecute")) == ("yes", "yes")
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    libc.prctl(_PR_SET_MDWE, 1, 0, 0, 0)  # of Linux 6.3
    os.umask(int(setting("UMask"), 8))


def allowed(analyze: Sequence[str], group: str) -> set[str]:
    """The system calls of a group that systemd knows, those of its groups included."""
    text = subprocess.run([*analyze, "syscall-filter", group], capture_output=True, text=True, check=True).stdout
    calls: set[str] = set()
    for word in (line.strip() for line in text.splitlines()[1:]):
        if word.startswith("@"):
            calls |= allowed(analyze, word)
        elif word and not word.startswith("#"):
            calls.add(word)
    return calls


@pytest.fixture
def state_dir(cli: Cli, config: Path) -> Path:
    """The configuration says it, as the page asks for; its parent is there and it is not."""
    folder = cli.folder / "lib"
    config.write_text(f'state_dir = "{folder}"\n{config.read_text()}'.replace("file:out.jsonl", "duckdb:out.duckdb"))
    return folder


def test_the_units_command_tells_systemd_how_it_is_and_stops_as_the_unit_expects(
    cli: Cli, config: Path, state_dir: Path
) -> None:
    systemd = Systemd(cli.folder / "notify")
    environ = {**cli.environ, "NOTIFY_SOCKET": str(systemd.path)}
    command = here(shlex.split(setting("ExecStart")), config, free_port())
    assert setting("Type") == "notify"
    with subprocess.Popen(
        command, cwd=cli.folder, env=environ, stderr=subprocess.PIPE, text=True, preexec_fn=sandboxed
    ) as process:
        try:
            systemd.hears("READY=1")
            until(lambda: (cli.folder / "out.duckdb").exists(), "for the sink")
            process.send_signal(getattr(signal, setting("KillSignal")))
            systemd.hears("STOPPING=1")
            _, err = process.communicate(timeout=int(setting("TimeoutStopSec")))
        finally:
            process.kill()
            systemd.close()
    assert str(process.returncode) in setting("SuccessExitStatus").split(), err
    assert all(json.loads(line)["event"] for line in err.splitlines())
    modes = {path.stat().st_mode & 0o077 for path in (*state_dir.rglob("*"), cli.folder / "out.duckdb")}
    assert modes == {0}, "others may read it"
    config.write_text("[pipeline.orders]\nsink = 'none:'\n")
    refused = subprocess.run(command, cwd=cli.folder, env=cli.environ, capture_output=True, text=True, check=False)
    assert str(refused.returncode) in setting("RestartPreventExitStatus").split(), refused.stderr


def test_the_units_command_makes_no_system_call_that_the_unit_forbids(cli: Cli, config: Path, state_dir: Path) -> None:
    strace, analyze = or_skip(systemd.strace), or_skip(systemd.analyze)
    if subprocess.run([*strace, "-o", os.devnull, "true"], capture_output=True, check=False).returncode != 0:
        lacking("the right to trace a process", fails=False)
    command = [*here(shlex.split(setting("ExecStart")), config, free_port()), "--until-current"]
    trace = cli.folder / "trace"
    done = subprocess.run(
        [*strace, "-f", "-qq", "-o", str(trace), *command],
        cwd=cli.folder, env=dict(cli.environ), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    made = set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(errors="replace"), re.MULTILINE))
    assert {"execve", "connect", "fdatasync"} & made
    assert made - allowed(analyze, setting("SystemCallFilter")) == set()


def test_the_images_command_is_healthy_by_its_own_check_and_stops_at_its_signal(
    cli: Cli, config: Path, state_dir: Path
) -> None:
    port = free_port()
    check = here(words("HEALTHCHECK .* CMD"), config, port)

    def healthy() -> bool:
        return subprocess.run(check, capture_output=True, check=False).returncode == 0

    assert not healthy()
    [stop] = re.findall(r"^STOPSIGNAL (\w+)$", IMAGE, re.MULTILINE)
    command = here([*words("ENTRYPOINT"), *words("\nCMD")], config, port)
    with subprocess.Popen(command, cwd=cli.folder, env=dict(cli.environ), stderr=subprocess.PIPE) as process:
        try:
            until(healthy, "for the image's check")
            process.send_signal(getattr(signal, stop))
            process.communicate(timeout=TIMEOUT_S)
        finally:
            process.kill()
    assert process.returncode == 143
    assert not healthy()
