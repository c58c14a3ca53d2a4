"""A group that is asked who is in it, and nobody answers."""

from __future__ import annotations

import pytest

from servers.process import free_port
from tailrace.dialect.kafka import client
from tailrace.error import Retryable
from tailrace.source.kafka import group as module
from tailrace.source.kafka.group import Group
from tests.waiting import until


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> Group:
    """Its brokers are not there."""
    monkeypatch.setattr(module, "_PATIENCE_S", 0.2)
    servers, told = f"127.0.0.1:{free_port()}", client.Told()
    return Group("g", lambda: client.admin({"bootstrap.servers": servers}, told))


def silence(group: Group, *, asking: bool) -> float:
    """As a member sees it, one that waits for its share or one that has it."""
    group.tend()
    assert not asking or group.found(every_s=0.01) is None
    return group.silent_s()


def test_a_group_of_which_nobody_tells_is_given_up(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SILENT_S", 1.0)
    with pytest.raises(Retryable, match=r"nobody has told for \d+ s who is in the group g") as ended:
        until(lambda: silence(group, asking=True) < 0, "for an end")
    assert "--group g" in (ended.value.hint or "")
    group.close()


def test_a_silence_is_none_once_nothing_is_asked(group: Group) -> None:
    """A member that has its share does not ask for it any more, and must not be unwell for that."""
    until(lambda: silence(group, asking=True) > 0.5, "for a silence that lasts over questions")
    until(lambda: silence(group, asking=False) == 0, "for its end")
