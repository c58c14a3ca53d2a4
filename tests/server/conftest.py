"""What all tests of real servers share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from servers import kafka


@pytest.fixture(autouse=True)
def shown_with(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> None:
    """Tell the page of faults with which broker its rows were shown."""
    if request.node.get_closest_marker("fault") is not None:
        record_property("with", f"Kafka {kafka.VERSION}")
