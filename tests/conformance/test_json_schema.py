"""JSON Schema equals what Confluent's JsonSchemaConverter makes of the real Debezium's records: schemas and bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from servers import postgres
from servers import registry as servers_registry
from servers.debezium import Record
from tailrace._native import Batch
from tailrace.format import Format
from tailrace.registry import Client, Registry
from tests.conformance import json_schema, sides
from tests.conformance.cases import Case, Values
from tests.conformance.defaults import DEFAULTS
from tests.conformance.foreign import FOREIGN
from tests.conformance.framed import Pair, by_table, read
from tests.conformance.oracle import masked
from tests.conformance.test_avro import CASES as OTHERS
from tests.conftest import fresh

CASES: list[Case] = [*OTHERS, *DEFAULTS, *FOREIGN]
OPTIONS = {"hstore_handling_mode": "map", "time_precision_mode": "connect", "interval_handling_mode": "string"}
"""Debezium's, for what its defaults never write: maps of texts, and Connect's own types."""
CONVERTED = sorted(Path(__file__).with_name("converted").glob("*.txt"))


class Document(msgspec.Struct):
    """A key or a value as JsonConverter prints it with its schema."""

    schema: msgspec.Raw
    payload: msgspec.Raw


@dataclass(frozen=True, slots=True)
class Half:
    """A key or a value, without what differs by nature."""

    schema: str
    data: bytes


Event = tuple[Half | None, Half | None]


@dataclass(frozen=True, slots=True)
class Both:
    """What both sides wrote of all cases."""

    batches: Sequence[Batch]
    framed: dict[str, list[Pair]]
    records: Sequence[Record]


def framed(registry: servers_registry.Server, **options: str) -> Format:
    """The format of the tests here."""
    both = {"key_converter": "json_schema", "value_converter": "json_schema"}
    return Format(**both, schema_registry_url=registry.url, **options)


@pytest.fixture(scope="module")
def both(postgres18: postgres.Server, registry: servers_registry.Server, start_debezium: sides.Start) -> Both:
    """Both sides at their defaults, over all cases at once: one start of the engine is enough."""
    with fresh(postgres18) as url:
        return written(start_debezium, url, CASES, registry)


def written(
    start: sides.Start, url: str, cases: Sequence[Case], registry: servers_registry.Server, **options: str
) -> Both:
    """What both sides write of the cases with these options of Debezium's."""
    plain = {"extended_headers_enabled": "false", "converter_schemas_enable": "true"}
    batches, records = sides.watched(start, url, cases, **plain, **options)
    encoder = framed(registry, **options).encoder(sides.PREFIX)
    found = by_table(part for batch in batches for part in encoder.encode(batch))
    encoder.close()
    return Both(batches, found, records)


def ours(pair: Pair, client: Client) -> Event:
    """What Tailrace wrote, with the schemas that the registry has."""

    def half(data: bytes | None) -> Half | None:
        if data is None:
            return None
        assert data[0] == 0
        return Half(client.schema(int.from_bytes(data[1:5])).text, masked(data[5:]))

    key, value = map(half, pair)
    return key, value


def theirs(record: Record) -> Event:
    """What Confluent's converter would have made of Debezium's record."""

    def half(data: bytes | None) -> Half | None:
        if data is None:
            return None
        document = msgspec.json.decode(data, type=Document)
        schema = json.loads(bytes(document.schema), parse_float=json_schema.Number)
        return Half(json_schema.schema_text(schema), json_schema.payload(masked(bytes(document.payload))))

    key, value = map(half, (record.key, record.value))
    return key, value


@pytest.mark.parametrize("path", CONVERTED, ids=lambda path: path.stem)
def test_the_oracle_prints_what_confluents_converter_printed(path: Path) -> None:
    record, schema, payload = path.read_bytes().splitlines()
    document = msgspec.json.decode(record, type=Document)
    connect = json.loads(bytes(document.schema), parse_float=json_schema.Number)
    assert json_schema.schema_text(connect) == schema.decode()
    assert json_schema.payload(bytes(document.payload), b"entries") == payload


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.strip('"'))
def test_schemas_and_bytes_equal_debeziums(case: Case, both: Both, registry: servers_registry.Server) -> None:
    client = Registry(registry.url).open()
    expected = [theirs(record) for record in both.records if record.topic.endswith(f".{case.name}")]
    assert expected
    assert [ours(pair, client) for pair in both.framed[case.name]] == expected
    client.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.strip('"'))
def test_what_is_written_is_read_as_json_with_schemas_is(
    case: Case, both: Both, registry: servers_registry.Server
) -> None:
    topic, client = f"shop.public.{case.name}", Registry(registry.url).open()
    profile = Format(schemas_enable=True).profile("shop")
    expected = read(topic, by_table(part for batch in both.batches for part in batch.json(profile))[case.name])
    assert expected
    assert read(topic, both.framed[case.name], client) == expected
    client.close()


def test_maps_and_connects_own_types_equal_too(
    database: str, registry: servers_registry.Server, start_debezium: sides.Start
) -> None:
    columns = "h hstore, d date NOT NULL, t time, ts timestamp DEFAULT '2024-02-29 12:34:56.123456', b bool NOT NULL"
    rows = ("'a=>1, b=>NULL', '2024-02-29', '12:34:56', now(), true", "NULL, '1969-12-31', NULL, '1969-12-31', false")
    found = written(start_debezium, database, [Values("own_types", columns, rows)], registry, **OPTIONS)
    client = Registry(registry.url).open()
    expected = [theirs(record) for record in found.records]
    assert [ours(pair, client) for pair in found.framed["own_types"]] == expected
    client.close()
    text = expected[0][1] and expected[0][1].schema
    assert text and '"connect.type":"map","additionalProperties"' in text and "connect.data.Date" in text
