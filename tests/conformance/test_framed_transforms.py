"""Transforms, profiles and transactions before Confluent's converters for Avro and Protobuf: what is registered and
written equals what the real Debezium's transforms and the real converters make of the same statements.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from servers import postgres
from servers import registry as servers_registry
from tailrace.format import Format, Transform
from tests.conformance import chains, sides, test_avro, test_protobuf
from tests.conformance.binary import Both, Event
from tests.conformance.cases import Case, Statements
from tests.conformance.chains import CHAINS, TOLD, Chain
from tests.conformance.settings import SETTINGS
from tests.conformance.test_chains import masked_headers
from tests.conformance.test_protobuf import FAMILIES, whole
from tests.conftest import fresh

_TWICE = "shop.public.e05_a"
"""Debezium moves the source block that the two events of a changed key share twice (`test_chains`)."""
_NULLS = [chain for chain in CHAINS if any(step.get("replace_null_with_default") == "false" for step in chain.steps)]
"""Where a transform leaves nulls in columns that have a default."""
_FLAT = {
    "transforms": "unwrap",
    "transforms.unwrap.type": "io.debezium.transforms.ExtractNewRecordState",
    "transforms.unwrap.delete.tombstone.handling.mode": "rewrite",
    "transforms.unwrap.add.fields": "op,lsn,source.ts_ms:ts_ms",
    "transforms.unwrap.predicate": "told",
    "transforms.unwrap.negate": "true",
    "predicates": "told",
    "predicates.told.type": "org.apache.kafka.connect.transforms.predicates.TopicNameMatches",
    "predicates.told.pattern": r".*\.(oraclemarker|zz_last)",
    "decimal.handling.mode": "string",
}
"""The profile `flat`'s transform; the oracle must see the envelopes of its marker and of the snapshot's last row."""
_UNWRAP = Transform(
    "extract_new_record_state", delete_tombstone_handling_mode="rewrite", add_fields="op,lsn,source.ts_ms:ts_ms"
)
_LAST = Statements("zz_last", ("CREATE TABLE zz_last (id int PRIMARY KEY)", "INSERT INTO zz_last VALUES (1)"), ())
_ROWS = [whole(case) for case in test_avro.CASES if case.name not in {"message", *FAMILIES}]
_FORMS: Mapping[str, tuple[Callable[..., Both], Callable[..., Format]]] = {
    "avro": (test_avro.both, test_avro.avro),
    "protobuf": (test_protobuf.both, test_protobuf.protobuf),
}
forms = pytest.mark.parametrize("form", _FORMS)


def _all(found: Any, registry: servers_registry.Server, **options: Any) -> dict[str, Both]:
    """What both sides wrote in each form."""
    return {form: both(*found, format(registry, **options)) for form, (both, format) in _FORMS.items()}


@pytest.fixture(scope="module")
def chained(
    postgres18: postgres.Server, registry: servers_registry.Server, start_debezium: sides.Start
) -> dict[str, Both]:
    """Both sides with all chains at once."""
    told = {"skipped_operations": "none", "provide_transaction_metadata": "true"}
    ours = {"transform": [step for chain in CHAINS for step in chain.ours()], **told}
    theirs = {"extended_headers_enabled": "false", **told, **chains.options(CHAINS)}
    cases = [whole(case) for chain in CHAINS for case in chain.cases()]
    start = partial(start_debezium, forms=tuple(_FORMS))
    with fresh(postgres18) as url:
        return _all(sides.watched(start, url, cases, **theirs), registry, **ours)


@forms
@pytest.mark.parametrize("chain", [chain for chain in CHAINS if chain not in _NULLS], ids=lambda chain: chain.name)
def test_what_transforms_leave_is_registered_and_written_as_confluents_does(
    chain: Chain, form: str, chained: dict[str, Both]
) -> None:
    ours, theirs = (
        [event for event in _under(f"shop.public.{chain.prefix}_", events) if event.topic not in (_TWICE, TOLD)]
        for events in (chained[form].tailrace, chained[form].debezium)
    )
    assert len(ours) == len(theirs) > 0
    for found, expected in zip(ours, theirs, strict=True):
        assert _masked(found) == _masked(_agreed(expected, chain))


@forms
@pytest.mark.parametrize("chain", _NULLS, ids=lambda chain: chain.name)
def test_confluents_converters_put_defaults_where_a_transform_left_nulls(
    chain: Chain, form: str, chained: dict[str, Both]
) -> None:
    both = chained[form]
    ours, theirs = (_under(f"shop.public.{chain.prefix}_", events) for events in (both.tailrace, both.debezium))
    pairs = [(found.value, expected.value) for found, expected in zip(ours, theirs, strict=True) if found != expected]
    assert 0 < len(pairs) < len(ours)
    for found, expected in pairs:
        assert found is not None and expected is not None and found.schema == expected.schema
        assert b"abc" in expected.data and b"abc" not in found.data


@forms
def test_ends_of_transactions_go_through_transforms_too(form: str, chained: dict[str, Both]) -> None:
    ours, theirs = (_under(TOLD, events) for events in (chained[form].tailrace, chained[form].debezium))
    # The engine was read up to the last row, not to the end of its transaction.
    assert len(ours) > 100
    assert ours[:-2] == theirs[:-1]


@pytest.fixture(scope="module")
def flat(
    postgres18: postgres.Server, registry: servers_registry.Server, start_debezium: sides.Start
) -> dict[str, Both]:
    """Both sides over all types and shapes, as flat rows."""
    start, theirs = partial(start_debezium, forms=tuple(_FORMS)), {"extended_headers_enabled": "false", **_FLAT}
    with fresh(postgres18) as url:
        found = sides.watched(start, url, [*_ROWS, _LAST], **theirs)
        return _all(found, registry, transform=[_UNWRAP], decimal_handling_mode="string")


@forms
@pytest.mark.parametrize("case", _ROWS, ids=lambda case: case.name.strip('"'))
def test_flat_rows_are_those_of_extract_new_record_state(case: Case, form: str, flat: dict[str, Both]) -> None:
    expected = [event for event in flat[form].debezium if event.table == case.name]
    assert expected
    assert [event for event in flat[form].tailrace if event.table == case.name] == expected


def test_transactions_are_told_as_confluents_converter_writes_them(
    database: str, registry: servers_registry.Server, start_debezium: sides.Start
) -> None:
    setting = next(setting for setting in SETTINGS if setting.name == "transactions")
    # Debezium counts messages under the name of a Java object, another each time (`test_settings`).
    silent = [
        replace(case, run=tuple(step for step in case.run if "pg_logical_emit_message" not in step))
        for case in setting.cases
        if isinstance(case, Statements)
    ]
    start = partial(start_debezium, forms=tuple(_FORMS))
    found = sides.watched(start, database, silent, extended_headers_enabled="false", **setting.options)
    for both in _all(found, registry, **setting.options).values():
        ours, theirs = (
            {topic: [event for event in events if event.topic == topic] for topic in {event.topic for event in events}}
            for events in (both.tailrace, both.debezium)
        )
        # The engine was read up to the last row, not to the end of its transaction.
        ours["shop.tx"], theirs["shop.tx"] = ours["shop.tx"][:-2], theirs["shop.tx"][:-1]
        assert len(theirs) == 3
        assert ours == theirs


def _under(prefix: str, events: Sequence[Event]) -> list[Event]:
    return [event for event in events if event.topic.startswith(prefix)]


def _masked(event: Event) -> Event:
    return replace(event, headers=masked_headers(event.headers))


def _agreed(theirs: Event, chain: Chain) -> Event:
    """Debezium's event without the headers that leak from a delete to its tombstone (`test_chains`)."""
    return replace(theirs, headers=chain.unleaked(theirs.headers)) if theirs.value is None else theirs
