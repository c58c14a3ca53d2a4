"""What systemd is told of a service of Type=notify."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tailrace.health import Notifier
from tailrace.pipeline import State, Status


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(60)
        yield heard


def states() -> list[Status]:
    return [
        Status(name=name, state=state, pid=1, since=0, started_at=0)
        for name, state in (("a", State.STREAMING), ("b", State.STREAMING), ("c", State.RETRYING))
    ]


def test_up_then_what_it_does_then_that_it_stops(systemd: socket.socket) -> None:
    notifier = Notifier(states, {"NOTIFY_SOCKET": systemd.getsockname()})
    assert systemd.recv(4096) == b"READY=1"
    assert systemd.recv(4096) == b"STATUS=2 streaming, 1 retrying"
    notifier.close()
    notifier.stopping()
    assert systemd.recv(4096) == b"STOPPING=1"
    notifier.close()


def test_without_systemd_nothing_is_told() -> None:
    Notifier(states, {}).stopping()


def test_systemd_that_has_gone_is_no_fault(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="tailrace.health")
    Notifier(states, {"NOTIFY_SOCKET": str(tmp_path / "nowhere")}).close()
    assert "systemd was not told READY=1" in caplog.text
