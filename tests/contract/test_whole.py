"""One suite over every implementation: none of ours is missing in that of its seam."""

from __future__ import annotations

import pytest

from tailrace.plugin import Group, find, kinds
from tests.contract import conftest, test_checkpoint, test_replay, test_sinks, test_sources, test_transforms

SUITES = {
    Group.SOURCE: test_sources,
    Group.SINK: test_sinks,
    Group.TRANSFORM: test_transforms,
    Group.CHECKPOINT: test_checkpoint,
    Group.DEAD_LETTERS: conftest,
}


@pytest.mark.parametrize("group", Group)
def test_every_kind_is_in_its_suite(group: Group) -> None:
    names = vars(SUITES[group]).values()
    missing = [kind for kind in kinds(group) if find(group, kind) not in names]
    assert kinds(group) and not missing


def test_every_sink_that_keeps_its_position_is_in_the_suite_of_replays() -> None:
    sinks = [find(Group.SINK, kind) for kind in kinds(Group.SINK)]
    keeping = [sink for sink in sinks if getattr(sink, "transactional", False)]
    assert keeping and not [sink for sink in keeping if sink not in vars(test_replay).values()]
