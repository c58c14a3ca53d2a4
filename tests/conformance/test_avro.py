"""Avro equals what Confluent's AvroConverter makes of the real Debezium's records: schemas and bytes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import psycopg
import pytest

from servers import postgres
from servers import registry as servers_registry
from tailrace._native import EventReader
from tailrace.error import Fatal
from tailrace.format import Format
from tailrace.registry import Registry
from tests.conformance import binary, generated, sides
from tests.conformance.binary import Both
from tests.conformance.cases import Case, Statements
from tests.conformance.defaults import defaults
from tests.conformance.foreign import FOREIGN
from tests.conformance.framed import Pair, by_table, read, said
from tests.conformance.shapes import SHAPES
from tests.conformance.values import VALUES
from tests.conftest import fresh

_ODD = '"We ird$.Näme"'
"""A table with column names that Avro does not allow."""
_SERIALS = "serials"
"""Debezium takes defaults of columns into its schemas, and 0 for what a sequence gives."""
_UNREGISTERED = ("jb", "jn", "nan")
"""Columns whose defaults no registry takes: this one takes a text `{}` for no Avro, and Avro NaN for no number, which
Confluent's converter writes and Tailrace leaves out."""
CASES: list[Case] = [
    *(case for case in (*VALUES, *SHAPES) if case.name not in (_ODD, _SERIALS)),
    *generated.cases(seed=20261128),
    *generated.families(seed=20261128),
]
"""What other formats and transforms are compared over too."""
_COMPARED = [
    *CASES,
    *FOREIGN,
    *defaults(without=_UNREGISTERED),
    *(case for case in VALUES if case.name == _SERIALS),
]


def avro(registry: servers_registry.Server, **options: Any) -> Format:
    """The format of the tests here."""
    return Format(key_converter="avro", value_converter="avro", schema_registry_url=registry.url, **options)


both = partial(binary.both, form="avro", mask=binary.avro)


@pytest.fixture(scope="module")
def compared(postgres18: postgres.Server, registry: servers_registry.Server, start_debezium: sides.Start) -> Both:
    """Both sides at their defaults, over all cases at once: one start of the engine is enough."""
    start = partial(start_debezium, forms=("avro",))
    with fresh(postgres18) as url:
        return both(*sides.watched(start, url, _COMPARED, extended_headers_enabled="false"), avro(registry))


@pytest.mark.parametrize("case", _COMPARED, ids=lambda case: case.name.strip('"'))
def test_schemas_and_bytes_equal_debeziums(case: Case, compared: Both) -> None:
    expected = [event for event in compared.debezium if event.table == case.name.strip('"')]
    found = [event for event in compared.tailrace if event.table == case.name.strip('"')]
    assert expected
    assert [event.key for event in found] == [event.key for event in expected]
    assert found == expected


@dataclass(frozen=True, slots=True)
class Written:
    """What Tailrace made of the batches: JSON with schemas, and Avro."""

    json: dict[str, list[Pair]]
    avro: dict[str, list[Pair]]


@pytest.fixture(scope="module")
def written(compared: Both, registry: servers_registry.Server) -> Written:
    profile = Format(schemas_enable=True).profile("shop")
    encoder = avro(registry).encoder("shop")
    made = Written(
        by_table(part for batch in compared.batches for part in batch.json(profile)),
        by_table(part for batch in compared.batches for part in encoder.encode(batch)),
    )
    encoder.close()
    return made


@pytest.mark.parametrize("case", _COMPARED, ids=lambda case: case.name.strip('"'))
def test_what_confluents_converter_and_tailrace_wrote_is_read_as_json_is(
    case: Case, compared: Both, written: Written, registry: servers_registry.Server
) -> None:
    topic, client = f"shop.public.{case.name}", Registry(registry.url).open()
    expected = read(topic, written.json[case.name])
    assert expected
    assert read(topic, written.avro[case.name], client) == expected
    client.close()
    theirs = [record.forms["avro"] for record in compared.records if record.topic.endswith(f".{case.name}")]
    reader = EventReader("kafka/cluster/topic/0", topic=topic)
    for form in (form for both in theirs for form in (both.key, both.value) if form is not None):
        reader.add_schema(form.id, "AVRO", form.schema, references=[])
    reader.feed([(*(form and form.bytes for form in (both.key, both.value)), 0, at) for at, both in enumerate(theirs)])
    assert said(reader) == expected


def test_options_of_the_converter_do_what_confluents_do(
    database: str, registry: servers_registry.Server, start_debezium: sides.Start
) -> None:
    create = 'CREATE TABLE options (id int PRIMARY KEY, "1 a-ü" numeric(5, 2), e mood, s smallint NOT NULL)'
    case = Statements("options", (create,), ("INSERT INTO options VALUES (1, 2, 'ok', 3)", "DELETE FROM options"))
    options = {"avro.scrub.invalid.names": "true", "avro.connect.meta.data": "false"}
    options["avro.enhanced.avro.schema.support"] = "true"
    start = partial(start_debezium, forms=("avro",))
    batches, records = sides.watched(start, database, [case], extended_headers_enabled="false", **options)
    found = both(
        batches,
        records,
        avro(registry, scrub_invalid_names="true", connect_meta_data="false", enhanced_avro_schema_support="true"),
    )
    assert len(found.debezium) == 3
    assert found.tailrace == found.debezium


def test_a_name_that_avro_does_not_allow_is_an_error_that_names_it(
    database: str, registry: servers_registry.Server, start_debezium: sides.Start
) -> None:
    create = 'CREATE TABLE odd (id int PRIMARY KEY, "a b" int)'
    case = Statements("odd", (create,), ("INSERT INTO odd VALUES (1, 2)",))
    start = partial(start_debezium, forms=("avro",))
    batches, records = sides.watched(start, database, [case], extended_headers_enabled="false")
    value = records[-1].forms["avro"].value
    assert value is not None and "Illegal character in: a b" in value.refused
    with pytest.raises(Fatal, match=r'shop\.public\.odd.*"a b"'):
        both(batches, [], avro(registry))
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DROP TABLE odd")
