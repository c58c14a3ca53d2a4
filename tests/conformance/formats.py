"""What both sides write in the formats whose schemas a registry keeps. As data: knows nothing of either side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tests.conformance import generated
from tests.conformance.cases import Case, Values
from tests.conformance.defaults import DEFAULTS
from tests.conformance.foreign import FOREIGN, UNKNOWN
from tests.conformance.modes import MODES
from tests.conformance.shapes import SHAPES
from tests.conformance.values import VALUES

ODD = '"We ird$.Näme"'
"""A table with column names that neither Avro nor Protobuf allows."""
_SERIALS = "serials"
"""Debezium takes defaults of columns into its schemas, and 0 for what a sequence gives."""
LOST = ("dates_bc", "dates_infinite")
"""Tables with dates of which Confluent's Protobuf converter loses the era."""
_NESTED = ("vector_arrays", "unknown_shape_arrays")
"""Tables with lists of lists."""
FAMILIES = frozenset(case.name for case in generated.families(seed=0))
"""Tables whose arrays have nulls at any place, which Protobuf has none for: Avro's have them."""


def whole(case: Case) -> Case:
    """A case without nulls in its arrays, which Protobuf has no place for."""

    def filled(statement: str) -> str:
        for null, rest in ((",NULL,", ","), (",NULL}", "}"), (", null, 'null'", ", 'null'"), ("[null", "['n'")):
            statement = statement.replace(null, rest)
        return statement.replace(", null", ", 'n'") if case.name == "g_texts" else statement

    if isinstance(case, Values):
        return replace(case, rows=tuple(map(filled, case.rows)))
    steps = (filled(step) if isinstance(step, str) else tuple(map(filled, step)) for step in case.run)
    return replace(case, create=tuple(map(filled, case.create)), run=tuple(steps))


AVRO: list[Case] = [
    *(case for case in (*VALUES, *SHAPES) if case.name not in (ODD, _SERIALS)),
    *generated.cases(seed=20261128),
    *generated.families(seed=20261128),
]
JSON_SCHEMA: list[Case] = [*AVRO, *DEFAULTS, *FOREIGN]
PROTOBUF = [
    whole(case)
    for case in (*VALUES, *SHAPES, *FOREIGN, *UNKNOWN, *generated.cases(seed=20261128))
    if case.name not in (ODD, *_NESTED)
]
FLAT = [whole(case) for case in AVRO if case.name not in {"message", *FAMILIES}]
"""As flat rows, in Avro and in Protobuf."""


@dataclass(frozen=True, slots=True)
class Converted:
    """Options of the Protobuf converter, and those of one of `modes.MODES` with what is run under it."""

    name: str
    converter: Mapping[str, str]
    base: int

    @property
    def options(self) -> dict[str, str]:
        """What both sides are told of the events themselves."""
        return {name: text for name, text in MODES[self.base].options.items() if name != "schemas_enable"}

    @property
    def cases(self) -> list[Case]:
        """Without lists of lists, and without names that Protobuf does not allow unless they are scrubbed."""
        odd = () if "scrub_invalid_names" in self.converter else (ODD,)
        return [whole(case) for case in MODES[self.base].cases if case.name not in {*odd, *_NESTED, *FAMILIES}]

    @property
    def compared(self) -> list[Case]:
        """Those of which the converter loses nothing."""
        return [case for case in self.cases if self != CONNECT or case.name not in LOST]


CONNECT = Converted("wrappers, Connect's times", {"wrapper_for_nullables": "true"}, 2)
PROTOBUF_MODES = [
    Converted("columns with defaults", {}, 0),
    Converted("optional fields, times as text, maps", {"optional_for_nullables": "true"}, 1),
    CONNECT,
    Converted(
        "optional fields with wrappers, names scrubbed, nanoseconds",
        {
            "optional_for_nullables": "true",
            "wrapper_for_nullables": "true",
            "scrub_invalid_names": "true",
            "enhanced_protobuf_schema_support": "true",
        },
        4,
    ),
]


@dataclass(frozen=True, slots=True)
class Registered:
    """A format, what is told to its converter beyond its defaults, and what is written in it."""

    name: str
    cases: tuple[Case, ...]


FORMATS = {
    "avro": Registered("Avro, by AvroConverter", tuple(AVRO)),
    "json_schema": Registered("JSON Schema, as recorded from JsonSchemaConverter", tuple(JSON_SCHEMA)),
    "protobuf": Registered("Protobuf, by ProtobufConverter", tuple(PROTOBUF)),
}
