"""Fixtures of the suites: every implementation of a seam, in turn."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailrace.dead_letters import File, Kafka
from tests.contract.parking import Dead


@pytest.fixture(params=["letters in a file", "letters in a topic"])
def dead(request: pytest.FixtureRequest, tmp_path: Path) -> Dead:
    if request.param == "letters in a file":
        return File(tmp_path / "dead.jsonl")
    broker, topic = request.getfixturevalue("kafka"), request.getfixturevalue("topic")
    return Kafka(f"kafka://{broker.address}/{topic}_dead")
