"""Rows of the profile `flat` of which not all was sent come back as they were, in every form."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tailrace._native import UNCHANGED, Column, EventReader, Table
from tailrace.registry import Registry
from tailrace.registry.framed import tell
from tests.server.subject import ID, Encode, Subjects, made_of, records, subjects

__all__ = ["records", "subjects"]

KINDS = {
    "text": "a", "varchar(9)": "b", "jsonb": "{}", "bytea": "\\x01", "numeric(9,2)": "1.10", "varbit": "101",
    "text[]": "{c}", "int4[]": "{1,2}", "float8[]": "{0.5}", "timestamptz[]": "{2026-01-01 00:00:00+00}",
}  # fmt: skip
TABLE = Table("public", "kinds", [ID, *(Column(kind, kind, nullable=False) for kind in KINDS)], key=["id"])
ROW = {"id": "1", **KINDS}
NAMES = {"field_name_adjustment_mode": "avro", "schema_name_adjustment_mode": "avro"}


@pytest.mark.parametrize("placeholder", ["__debezium_unavailable_value", ""], ids=["placeholder", "none"])
@pytest.mark.parametrize(
    ("form", "schemas"),
    [("json", False), ("json", True), ("avro", False), ("json_schema", False), ("protobuf", False)],
)
def test_what_was_not_sent_comes_back_as_that(
    subjects: Callable[[str], Subjects], records: Encode, form: str, schemas: bool, placeholder: str
) -> None:
    mine = subjects(form)
    framed = {} if form == "json" else NAMES
    format = mine.format(
        profile="flat", schemas_enable=schemas, unavailable_value_placeholder=placeholder or "x", **framed
    )
    changes = [("c", None, ROW), *(("u", None, {**ROW, kind: UNCHANGED}) for kind in KINDS)]
    changes.append(("u", None, {"id": "1", **dict.fromkeys(KINDS, UNCHANGED)}))
    written = records(format, made_of(*changes, table=TABLE))
    reader = EventReader(
        "kafka/c/t/0", topic=f"{mine.prefix}.public.kinds", unavailable_value_placeholder=placeholder or "y"
    )
    given = [(*pair, 0, at) for at, pair in enumerate(written)]
    client = Registry(mine.url).open()
    tell(reader, given, client=client)
    client.close()
    reader.feed(given)
    images = [list((change.after or {}).values()) for change in reader.take() or ()]
    unsent = [[at for at, cell in enumerate(image) if cell is UNCHANGED] for image in images]
    count = len(KINDS)
    assert unsent == [[], *([at] for at in range(1, count + 1)), list(range(1, count + 1))]
    assert all(cell == images[0][at] for image in images for at, cell in enumerate(image) if cell is not UNCHANGED)
