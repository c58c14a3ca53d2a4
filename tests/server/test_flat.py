"""Rows of the profile `flat` of which not all was sent come back as they were, in every form."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tailrace._native import UNCHANGED, Change, Column, EventReader, Table
from tailrace.format import Transform
from tailrace.registry import Registry
from tailrace.registry.framed import tell
from tests.server.subject import ID, Encode, Pair, Subjects, made_of, records, subjects

__all__ = ["records", "subjects"]

KINDS = {
    "text": "a", "varchar(9)": "b", "jsonb": "{}", "bytea": "\\x01", "numeric(9,2)": "1.10", "varbit": "101",
    "text[]": "{c}", "int4[]": "{1,2}", "float8[]": "{0.5}", "timestamptz[]": "{2026-01-01 00:00:00+00}",
}  # fmt: skip
TABLE = Table("public", "kinds", [ID, *(Column(kind, kind, nullable=False) for kind in KINDS)], key=["id"])
ROW = {"id": "1", **KINDS}
NAMES = {"field_name_adjustment_mode": "avro", "schema_name_adjustment_mode": "avro"}


FORMS = [("json", False), ("json", True), ("avro", False), ("json_schema", False), ("protobuf", False)]


def read(mine: Subjects, written: Sequence[Pair], placeholder: str = "y") -> list[Change]:
    """The changes that our reader finds in records."""
    reader = EventReader("kafka/c/t/0", topic=f"{mine.prefix}.public.kinds", unavailable_value_placeholder=placeholder)
    given = [(*pair, 0, at) for at, pair in enumerate(written)]
    client = Registry(mine.url).open()
    tell(reader, given, client=client)
    client.close()
    reader.feed(given)
    return list(reader.take() or ())


@pytest.mark.parametrize("placeholder", ["__debezium_unavailable_value", ""], ids=["placeholder", "none"])
@pytest.mark.parametrize(("form", "schemas"), FORMS)
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
    images = [list((change.after or {}).values()) for change in read(mine, written, placeholder or "y")]
    unsent = [[at for at, cell in enumerate(image) if cell is UNCHANGED] for image in images]
    count = len(KINDS)
    assert unsent == [[], *([at] for at in range(1, count + 1)), list(range(1, count + 1))]
    assert all(cell == images[0][at] for image in images for at, cell in enumerate(image) if cell is not UNCHANGED)


@pytest.mark.parametrize(("form", "schemas"), FORMS)
def test_an_old_row_comes_back_with_its_key_only_where_no_more_was_sent(
    subjects: Callable[[str], Subjects], records: Encode, form: str, schemas: bool
) -> None:
    mine = subjects(form)
    format = mine.format(profile="flat", schemas_enable=schemas, **({} if form == "json" else NAMES))
    table = Table("public", "kinds", [ID, Column("n", "int4", nullable=False), Column("t", "text")], key=["id"])
    row = {"id": "1", "n": "0", "t": ""}  # all that a placeholder of a missing value might be
    changes = [("c", None, row), ("d", {"id": "1"}, None), ("d", row, None)]
    deleted = [change for change in read(mine, records(format, made_of(*changes, table=table))) if change.op == "d"]
    assert [dict(change.before or {}) for change in deleted] == [{"id": 1}, {"id": 1, "n": 0, "t": ""}]


@pytest.mark.parametrize(("form", "schemas"), FORMS)
def test_what_a_transform_of_the_users_own_left_comes_back_as_not_sent(
    subjects: Callable[[str], Subjects], records: Encode, form: str, schemas: bool
) -> None:
    mine = subjects(form)
    own = Transform("extract_new_record_state", delete_tombstone_handling_mode="drop")
    format = mine.format(profile="flat", schemas_enable=schemas, transform=[own], **({} if form == "json" else NAMES))
    changes = [("c", None, ROW), ("u", None, {**ROW, "text": UNCHANGED, "int4[]": UNCHANGED})]
    first, second = read(mine, records(format, made_of(*changes, table=TABLE)))
    assert first.after is not None and second.after is not None
    assert [at for at, cell in enumerate(first.after.values()) if cell is UNCHANGED] == []
    assert [at for at, cell in enumerate(second.after.values()) if cell is UNCHANGED] == [1, 8]
