"""Columns of `xml`, which the build of the other comparisons lacks: their events are those of the real engine."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from servers import postgres
from tailrace.format import Format
from tests.conformance import equal, sides
from tests.conformance.settings import XML, Setting
from tests.conftest import _fresh


@pytest.mark.parametrize("setting", [pytest.param(each, marks=equal.mark(each), id=each.name) for each in XML])
def test_events_with_xml_equal_debeziums(
    setting: Setting,
    postgres15: postgres.Server,
    debezium_host: sides.Start,
    record_property: Callable[[str, object], None],
) -> None:
    theirs = {"extended_headers_enabled": "false", **setting.options}
    theirs["converter_schemas_enable"] = theirs.pop("schemas_enable", "false")
    for url in _fresh(postgres15):
        run = sides.run(debezium_host, url, setting.cases, Format(**setting.options), **theirs)
    record_property("records", len(run.debezium))
    assert len(run.debezium) > 10
    assert any(b"<a>" in (event.value or b"") for event in run.debezium)
    assert run.tailrace == run.debezium
