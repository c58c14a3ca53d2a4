"""Every option that shapes keys, names, headers, topics and transactions does what it does in the real Debezium, and is
brought over by the import."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace

import psycopg
import pytest

from tailrace.error import Reject
from tailrace.format import Format
from tests.conformance import equal, sides
from tests.conformance.cases import Statements
from tests.conformance.settings import SETTINGS, Setting
from tests.conformance.sides import Event

_MESSAGE = re.compile(rb'"io\.debezium\.connector\.postgresql\.[\w.$]+\$LogicalDecodingMessageId@[0-9a-f]+"')
_HALF = re.compile(rb"\\uD83[CD](?!\\uD[C-F])")
_RUN_ID = re.compile(rb'^"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"$')


@pytest.mark.parametrize(
    "setting", [pytest.param(setting, marks=equal.mark(setting), id=setting.name) for setting in SETTINGS]
)
def test_settings_do_what_debeziums_do(
    setting: Setting, database: str, debezium_host: sides.Start, record_property: Callable[[str, object], None]
) -> None:
    theirs = dict(setting.options)
    theirs["converter_schemas_enable"] = theirs.pop("schemas_enable", "false")
    run = sides.run_imported(debezium_host, database, setting.cases, **theirs)
    ours, engines = _by_topic(run.tailrace), _by_topic(run.debezium)
    for topic in ours:
        if topic.endswith(("transaction", "tx")):
            # The engine was read up to the last row, not to the end of its transaction.
            ours[topic], engines[topic] = ours[topic][:-2], engines[topic][:-1]
            # Where messages are counted Debezium prints a Java object for a name.
            told = any(b'"message"' in (event.value or b"") for event in ours[topic])
            assert told == any(_MESSAGE.search(event.value or b"") for event in engines[topic])
            engines[topic] = [_named(event) for event in engines[topic]]
    record_property("records", sum(map(len, engines.values())))
    assert engines
    assert set(ours) == set(engines)
    for topic, events in ours.items():
        assert events == [_whole(event) for event in engines[topic]]


def test_a_key_column_that_was_not_sent_is_refused_where_debezium_invents_one(
    database: str, debezium_host: sides.Start
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE kn (id int PRIMARY KEY, a int NOT NULL, b text)")
        connection.execute("INSERT INTO kn VALUES (1, 7, 'x')")
    keys = {"message_key_columns": "public.kn:a,b"}
    batches, records = sides.watched(debezium_host, database, [Statements("kn", (), ("DELETE FROM kn",))], **keys)
    theirs = [record.key for record in records if record.topic == "shop.public.kn"]
    assert theirs == [b'{"a":7,"b":"x"}', *2 * [b'{"a":0,"b":null}']]
    ours, refused = [], []
    for batch in batches:
        try:
            events = sides.encoded(batch, Format(**keys).profile(sides.PREFIX))
            ours += [event.key for event in events if event.topic == "shop.public.kn"]
        except Reject as reject:
            refused += reject.reasons.values()
    assert ours == theirs[:1]
    assert refused == ['public.kn, column "a" (int4): a key column that was not sent: the replica identity lacks it']


def _whole(event: Event) -> Event:
    """The event without halves of pairs of surrogates: see `differences`."""
    return replace(event, value=event.value and _HALF.sub(b"", event.value))


def _named(event: Event) -> Event:
    return replace(event, value=event.value and _MESSAGE.sub(b'"message"', event.value))


def _by_topic(events: Iterable[Event]) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        found[event.topic].append(replace(event, headers=tuple(map(_masked, event.headers))))
    return dict(found)


def _masked(header: tuple[str, bytes]) -> tuple[str, bytes]:
    """The id of a run has the form of one."""
    return (header[0], _RUN_ID.sub(b'"run"', header[1])) if header[0].endswith(".runId") else header
