"""Where the two do not agree, both sides are pinned, and the reference says why."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from servers import postgres
from tailrace.error import Reject
from tailrace.format import Format
from tests.conformance import oracle, sides
from tests.conformance.cases import Statements, Values
from tests.conformance.differences import DIFFERENCES, Difference, page
from tests.conformance.once import Once
from tests.conformance.sides import Event
from tests.conftest import fresh

_REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "debezium.md"


Compare = Callable[[Mapping[str, str]], sides.Run]


@pytest.fixture(scope="module")
def compared(postgres18: postgres.Server, debezium_host: sides.Start) -> Compare:
    """Both sides over all differences under the same options at once, with Debezium's default headers."""
    runs = Once[sides.Run]()

    def made(options: Mapping[str, str]) -> sides.Run:
        cases = [difference.case for difference in DIFFERENCES if difference.options == options]
        theirs = dict(options)
        theirs["converter_schemas_enable"] = theirs.pop("schemas_enable", "false")
        with fresh(postgres18) as url:
            return sides.run(debezium_host, url, cases, Format(**options), **theirs)

    return lambda options: runs.get(tuple(options.items()), lambda: made(options))


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.case.name)
def test_a_difference_is_what_the_reference_says(difference: Difference, compared: Compare) -> None:
    run, name = compared(difference.options), difference.case.name
    table = re.compile(f'"table":"{name}(_one)?"')
    theirs = [text for text in map(_text, run.debezium) if table.search(text)]
    ours = [text for text in map(_text, run.tailrace) if table.search(text)]
    assert len(theirs) == len(ours) > 0
    # Of rows each one shows it; of statements the last one does.
    shown = slice(None) if isinstance(difference.case, Values) else slice(-1, None)
    for text in theirs[shown]:
        assert re.search(difference.debezium, text), text
    for text in ours[shown]:
        assert difference.tailrace in text, text


def test_a_row_of_a_partition_that_debezium_reads_twice_is_read_once(database: str, debezium_host: sides.Start) -> None:
    parts = Statements(
        "twice",
        (
            "CREATE TABLE twice (id int PRIMARY KEY) PARTITION BY RANGE (id)",
            "CREATE TABLE twice_one PARTITION OF twice FOR VALUES FROM (0) TO (9)",
            "INSERT INTO twice VALUES (1)",
        ),
        ("INSERT INTO twice VALUES (2)",),
    )
    own = {"publish_via_partition_root": False}
    run = sides.run(debezium_host, database, [parts], Format(), source=own, extended_headers_enabled="false")
    topics = [
        [(event.topic, event.key) for event in events if ".twice" in event.topic]
        for events in (run.tailrace, run.debezium)
    ]
    assert topics[0] == [("shop.public.twice_one", key) for key in (b'{"id":1}', b'{"id":2}')]
    assert sorted(topics[1]) == sorted([("shop.public.twice", b'{"id":1}'), *topics[0]])


_BYTES = list(b"__debezium_unavailable_value")
_TEXT = ["__debezium_unavailable_value"]
_DECIMAL = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="
_UNCHANGED = {
    "int2[]": ("1", _BYTES),
    "oid[]": ("1", _BYTES),
    "float4[]": ("1", _BYTES),
    "float8[]": ("1", _BYTES),
    "numeric[]": ("1", [{"scale": 0, "value": _DECIMAL}]),
    "numeric(9, 2)[]": ("1", [_DECIMAL]),
    "time(3)[]": ("'12:00'", _BYTES),
    "time[]": ("'12:00'", _BYTES),
    "timestamp(3)[]": ("'2024-01-01'", _BYTES),
    "timestamp[]": ("'2024-01-01'", _BYTES),
    "timestamptz[]": ("'2024-01-01'", _TEXT),
    "timetz[]": ("'12:00+00'", _TEXT),
    "inet[]": ("'::1'", _TEXT),
    "cidr[]": ("'::1'", _TEXT),
    "macaddr[]": ("'08:00:2b:01:02:03'", _TEXT),
    "citext[]": ("'abc'", _TEXT),
    "ltree[]": ("'a.b'", _TEXT),
    "mood[]": ("'ok'", _TEXT),
    "hstore[]": ("'a=>1'", ['{"__debezium_unavailable_value":"__debezium_unavailable_value"}']),
    "numrange[]": ("'[1,2)'", _TEXT),
    "daterange[]": ("'[2024-01-01,2024-01-02)'", _TEXT),
    "bool[]": ("true", None),
    "bit(3)[]": ("B'101'", [_DECIMAL]),
    "bit(1)[]": ("B'1'", None),
}
"""Arrays of every other type: an element, and what Tailrace writes of an unchanged one; None where it has no form."""


def test_unchanged_arrays_of_every_other_type_are_null_in_debezium(database: str, debezium_host: sides.Start) -> None:
    columns = {f"c{at}": (kind, *rest) for at, (kind, rest) in enumerate(_UNCHANGED.items())}
    declared = ", ".join(f"{name} {kind}" for name, (kind, *_) in columns.items())
    cells = ", ".join(f"array_fill({one}::{kind[:-2]}, ARRAY[4000])" for kind, one, _ in columns.values())
    table = Statements(
        "unchanged",
        (
            f"CREATE TABLE unchanged (id int PRIMARY KEY, x int, {declared})",
            *(f"ALTER TABLE unchanged ALTER {name} SET STORAGE EXTERNAL" for name in columns),
        ),
        (f"INSERT INTO unchanged VALUES (1, 1, {cells})", "UPDATE unchanged SET x = 2"),
    )
    run = sides.run(debezium_host, database, [table], Format(), extended_headers_enabled="false")
    theirs, ours = (json.loads(events[-1].value or b"")["after"] for events in (run.debezium, run.tailrace))
    wanted = {name: expected for name, (_, _, expected) in columns.items()}
    assert {name: ours[name] for name in columns} == wanted
    assert {theirs[name] and columns[name][0] for name in columns if name in theirs} == {None}


def test_an_array_of_more_than_one_dimension_is_refused_where_debezium_writes_nulls_to_its_schema(
    database: str, debezium_host: sides.Start
) -> None:
    rows = Values("nested", "c int[]", ("'{{1,2},{3,4}}'", "'{5}'"))
    batches, records = sides.watched(debezium_host, database, [rows], converter_schemas_enable="true")
    theirs = [json.loads(record.value or b"")["payload"]["after"]["c"] for record in records]
    assert theirs == 2 * [[None, None], [5]]
    profile, refused, ours = Format(schemas_enable=True).profile(sides.PREFIX), list[str](), list[object]()
    for batch in batches:
        try:
            list(sides.encoded(batch, profile))
        except Reject as reject:
            refused += reject.reasons.values()
            batch = batch.without(sorted(reject.reasons))
        events = [event for event in sides.encoded(batch, profile) if event.topic == "shop.public.nested"]
        ours += [json.loads(event.value or b"")["payload"]["after"]["c"] for event in events]
    reason = "an array of more than one dimension does not fit Debezium's schema, which is of one"
    assert refused == 2 * [f'public.nested, column "c" (int4[]): {reason}']
    assert ours == 2 * [[5]]


def test_a_domain_over_an_enum_stops_debezium_before_it_begins(database: str, debezium_host: sides.Start) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TYPE shade AS ENUM ('light', 'dark')")
        connection.execute("CREATE DOMAIN tone AS shade")
        connection.execute("CREATE TABLE tones (id int PRIMARY KEY, c tone)")
        connection.execute("INSERT INTO tones VALUES (1, 'dark')")
    with (
        pytest.raises(RuntimeError, match=r"java\.sql\.Array"),
        oracle.recording(debezium_host, database),
    ):
        pytest.fail("the engine took its snapshot")
    with closing(sides._open(database, {})) as stream:
        batches = list(sides._snapshot(stream))
    profile = Format().profile(sides.PREFIX)
    events = [event for batch in batches for event in sides.encoded(batch, profile)]
    values = [json.loads(event.value or b"")["after"] for event in events if event.topic == "shop.public.tones"]
    assert values == [{"id": 1, "c": "dark"}]


def test_context_headers_are_the_only_ones_that_are_left_out(compared: Compare) -> None:
    run = compared({})
    names = {name for event in run.debezium for name, _ in event.headers}
    context = {name for name in names if name.startswith("__debezium.context.")}
    assert names - context == {"__debezium.newkey", "__debezium.oldkey"}
    assert {name for event in run.tailrace for name, _ in event.headers} == names - context


def test_the_reference_lists_every_difference() -> None:
    assert page() == _REFERENCE.read_text()


def _text(event: Event) -> str:
    return f"{(event.key or b'null').decode()} {(event.value or b'null').decode()}"
