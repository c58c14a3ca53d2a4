"""Debezium's transforms do what the real ones do: key, value, headers and partition of every record, byte for byte, as
the import brings them over."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from servers import postgres
from tests.conformance import chains, equal, sides
from tests.conformance.chains import CHAINS, TOLD, Chain
from tests.conformance.sides import Event
from tests.conftest import fresh

Told = Callable[[str, object], None]
_TRANSACTIONS = {"provide_transaction_metadata": "true"}


@pytest.fixture(
    scope="module",
    params=[
        {},
        {"schemas_enable": "true"},
        _TRANSACTIONS,
        {"schemas_enable": "true", **_TRANSACTIONS},
        {"time_precision_mode": "nanoseconds"},
        {"time_precision_mode": "connect"},
    ],
    ids=["bare", "with schemas", "with transactions", "with schemas and transactions", "nanoseconds", "connect"],
)
def compared(
    request: pytest.FixtureRequest, postgres18: postgres.Server, debezium_host: sides.Start
) -> Iterator[sides.Run]:
    """Both sides with all chains at once: one start of the engine is enough."""
    theirs = dict(request.param)
    theirs["converter_schemas_enable"] = theirs.pop("schemas_enable", "false")
    with fresh(postgres18) as url:
        yield sides.run_imported(
            debezium_host,
            url,
            [case for chain in CHAINS for case in chain.cases()],
            shown={"converter_replace_null_with_default": "false"},
            skipped_operations="none",
            **theirs,
            **chains.options(CHAINS),
        )


@pytest.mark.parametrize("chain", [pytest.param(chain, marks=equal.mark(chain), id=chain.name) for chain in CHAINS])
def test_transforms_do_what_debeziums_do(chain: Chain, compared: sides.Run, record_property: Told) -> None:
    run = compared.under(f"shop.public.{chain.prefix}_").but_for(TOLD)
    record_property("records", len(run.debezium))
    assert len(run.tailrace) == len(run.debezium) > 0
    for ours, theirs in zip(run.tailrace, run.debezium, strict=True):
        assert masked(ours) == masked(agreed(theirs, chain))


def test_ends_of_transactions_go_through_transforms_too(compared: sides.Run, request: pytest.FixtureRequest) -> None:
    run = compared.under(TOLD)
    # The engine was read up to the last row, not to the end of its transaction.
    ours, theirs = run.tailrace[:-2], run.debezium[:-1]
    assert bool(ours) is ("transactions" in request.node.callspec.id)
    assert ours == theirs
    assert {event.topic for event in compared.tailrace} == {event.topic for event in compared.debezium}


def test_a_delete_becomes_a_tombstone_and_not_a_null_with_a_schema(compared: sides.Run) -> None:
    run = compared.under("shop.public.a01_")
    deletes = [(ours, theirs) for ours, theirs in zip(run.tailrace, run.debezium, strict=True) if ours.value is None]
    assert len(deletes) == 4
    schemas = any((theirs.value or b"").startswith(b'{"schema"') for theirs in run.debezium)
    assert all((theirs.value or b"").endswith(b',"payload":null}') == schemas for _, theirs in deletes)


def test_headers_of_a_delete_do_not_leak_to_its_tombstone(compared: sides.Run) -> None:
    run = compared.under("shop.public.c01_")
    tombstones = [index for index, event in enumerate(run.tailrace) if event.value is None]
    assert tombstones and not any(_named(run.tailrace[index], "Changed") for index in tombstones)
    assert all(_named(run.debezium[index], "Changed") for index in tombstones)


def test_a_source_block_is_moved_once(compared: sides.Run) -> None:
    run = compared.under("shop.public.e05_a")
    moved = [
        (_source_ms(theirs) - _source_ms(ours)) // 3_600_000
        for ours, theirs in zip(run.tailrace, run.debezium, strict=True)
        if b'"snapshot":"false"' in (ours.value or b"")
    ]
    assert set(moved) == {0, 9}, "Debezium moves the block that the two events of a changed key share twice"


def masked(event: Event) -> Event:
    """The event without what is a reader's own and was copied out of the envelope by a transform."""
    value = event.value or b""
    if event.topic == "shop.public.e05_a":
        value = re.sub(rb'("source":\{"version".*?"ts_ms":)\d{13}', rb"\g<1>0", value)
    value = re.sub(rb'"seen":\d{13}', b'"seen":0', value)
    if b'"__op":"r"' in value:
        value = re.sub(rb'"(__lsn|__source_ts_ms)":\d{8,13}', rb'"\1":0', value)
    # What stands behind the times of processing keeps them from being masked as the end of an event.
    value = re.sub(rb'"ts_ms":\d{13},"ts_us":\d{16},"ts_ns":\d{19}(?=,"changed")', b'"ts_ms":0', value)
    return replace(event, value=value or None, headers=masked_headers(event.headers))


def masked_headers(headers: tuple[tuple[str, bytes], ...]) -> tuple[tuple[str, bytes], ...]:
    """The headers without what is a reader's own in those of a snapshot's row."""
    if not any(name == "__op" and b'"r"' in text for name, text in headers):
        return headers
    mask = re.compile(rb"\d{8,13}(?=\}?$)")
    return tuple((name, mask.sub(b"0", text) if "_db" not in name else text) for name, text in headers)


def agreed(theirs: Event, chain: Chain) -> Event:
    """Debezium's event without what the tests above are about."""
    # A converter that leaves nulls alone, so that those of a transform are seen, leaves this one too.
    value = (theirs.value or b"").replace(b'"snapshot":null', b'"snapshot":"false"')
    if value.startswith(b'{"schema":') and value.endswith(b',"payload":null}'):
        value = b""
    if value == b"":
        return replace(theirs, value=None, headers=chain.unleaked(theirs.headers))
    return replace(theirs, value=value)


def _named(event: Event, name: str) -> list[bytes]:
    return [value for header, value in event.headers if header == name]


def _source_ms(event: Event) -> int:
    found = re.search(rb'"source":\{.*?"ts_ms":(\d+)', event.value or b"")
    assert found is not None
    return int(found[1])
