"""Every option that shapes keys, names, headers, topics and transactions does what it does in the real Debezium."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

import pytest

from tailrace.format import Format
from tests.conformance import sides
from tests.conformance.settings import SETTINGS, Setting
from tests.conformance.sides import Event

_RUN_ID = re.compile(rb'^"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"$')


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_settings_do_what_debeziums_do(setting: Setting, database: str, start_debezium: sides.Start) -> None:
    theirs = {"extended_headers_enabled": "false", **setting.options, **setting.debezium}
    theirs["converter_schemas_enable"] = theirs.pop("schemas_enable", "false")
    run = sides.run(start_debezium, database, setting.cases, Format(**setting.options), source=setting.source, **theirs)
    ours, engines = _by_topic(run.tailrace), _by_topic(run.debezium)
    for topic in ours:
        if topic.endswith(("transaction", "tx")):
            # The engine was read up to the last row, not to the end of its transaction.
            ours[topic], engines[topic] = ours[topic][:-2], engines[topic][:-1]
    assert engines
    assert set(ours) == set(engines)
    for topic, events in ours.items():
        assert events == engines[topic]


def _by_topic(events: Iterable[Event]) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        found[event.topic].append(replace(event, headers=tuple(map(_masked, event.headers))))
    return dict(found)


def _masked(header: tuple[str, bytes]) -> tuple[str, bytes]:
    """The id of a run has the form of one."""
    return (header[0], _RUN_ID.sub(b'"run"', header[1])) if header[0].endswith(".runId") else header
