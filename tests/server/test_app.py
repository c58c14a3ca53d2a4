"""Handlers on a real server: typed values, messages, TRUNCATE, large values, and where a restart goes on."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypedDict
from uuid import UUID

import msgspec
import psycopg
import pydantic
import pytest

import tailrace as tr
from tests.slots import drop_slots


@dataclasses.dataclass
class EventClass:
    id: UUID
    amount: Decimal
    at: datetime
    day: date
    tags: list[str | None]
    body: dict[str, Any]
    raw: bytes


class EventStruct(msgspec.Struct):
    id: UUID
    amount: Decimal
    at: datetime
    day: date
    tags: list[str | None]
    body: dict[str, Any]
    raw: bytes


class EventModel(pydantic.BaseModel):
    id: UUID
    amount: Decimal
    at: datetime
    day: date
    tags: list[str | None]
    body: dict[str, Any]
    raw: bytes


class EventDict(TypedDict):
    id: UUID
    amount: Decimal
    at: datetime
    day: date
    tags: list[str | None]
    body: dict[str, Any]
    raw: bytes


@pytest.fixture
def connection(any_database: str) -> Any:
    with psycopg.connect(any_database, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE events (id uuid PRIMARY KEY, amount numeric(9,2), at timestamptz, day date, tags text[],"
            " body jsonb, raw bytea)"
        )
        yield connection


INSERT = """INSERT INTO events VALUES ('6f1c1f0e-0000-4000-8000-00000000000{}', 1.50, '2026-01-02 03:04:05.678+00',
            '2026-02-28', '{{a,NULL}}', '{{"a": [1]}}', '\\x00ff')"""


@pytest.mark.parametrize("kind", [EventClass, EventStruct, EventModel, EventDict])
def test_typed_rows_have_python_values_from_snapshot_and_stream(
    connection: psycopg.Connection, any_database: str, tmp_path: Path, kind: Any
) -> None:
    seen: list[tuple[str, Any]] = []
    app = tr.App(any_database, name="typed")

    @app.on("public.events")
    def note(change: tr.Change[kind]) -> None:
        assert change.after is not None
        seen.append((change.op, change.after))

    connection.execute(INSERT.format(1).encode())
    app.pipeline(state_dir=tmp_path).run(until_current=True)
    connection.execute(INSERT.format(2).encode())
    app.pipeline(state_dir=tmp_path).run(until_current=True)
    wanted = {
        "amount": Decimal("1.50"),
        "at": datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC),
        "day": date(2026, 2, 28),
        "tags": ["a", None],
        "body": {"a": [1]},
        "raw": b"\x00\xff",
    }
    ids = [UUID(f"6f1c1f0e-0000-4000-8000-00000000000{number}") for number in (1, 2)]
    assert seen == [("r", kind(id=ids[0], **wanted)), ("c", kind(id=ids[1], **wanted))]
    for _, row in seen:
        values = row if kind is EventDict else {name: getattr(row, name) for name in wanted}
        assert {name: type(values[name]) for name in wanted} == {name: type(value) for name, value in wanted.items()}


def test_messages_and_truncate_come_in_their_place(
    connection: psycopg.Connection, any_database: str, tmp_path: Path
) -> None:
    seen: list[str] = []
    app = tr.App(any_database, name="places")

    @app.on("public.events", op="ct")
    async def note(change: tr.Change) -> None:
        seen.append(change.op)

    @app.on_message("mail")
    def send(change: tr.Change) -> None:
        assert change.message is not None
        seen.append(change.message.content.decode())

    app.pipeline(state_dir=tmp_path).run(until_current=True)
    with connection.transaction():
        connection.execute(INSERT.format(1).encode())
        connection.execute("SELECT pg_logical_emit_message(true, 'mail', 'one')")
        connection.execute("SELECT pg_logical_emit_message(true, 'other', 'no')")
        connection.execute("TRUNCATE events")
        connection.execute("SELECT pg_logical_emit_message(true, 'mail', 'two')")
    app.pipeline(state_dir=tmp_path).run(until_current=True)
    assert seen == ["c", "one", "t", "two"]


def test_a_large_value_that_an_update_left_alone_is_taken_from_the_old_row(
    connection: psycopg.Connection, any_database: str, tmp_path: Path
) -> None:
    connection.execute("CREATE TABLE papers (id int PRIMARY KEY, title text, body text)")
    connection.execute("ALTER TABLE papers REPLICA IDENTITY FULL")
    connection.execute("ALTER TABLE papers ALTER body SET STORAGE EXTERNAL")
    seen: list[Any] = []
    app = tr.App(any_database, name="papers")

    @app.on("public.papers", op="u")
    def note(change: tr.Change[dict[str, Any]]) -> None:
        seen.append(change.after)

    app.pipeline(state_dir=tmp_path).run(until_current=True)
    connection.execute("INSERT INTO papers VALUES (1, 'draft', repeat('x', 9000))")
    connection.execute("UPDATE papers SET title = 'final'")
    app.pipeline(state_dir=tmp_path).run(until_current=True)
    assert seen == [{"id": 1, "title": "final", "body": "x" * 9000}]


def test_an_app_of_messages_alone_says_that_it_needs_a_table(any_database: str) -> None:
    app = tr.App(any_database, name="messages")
    app.on_message("*")(print)
    with pytest.raises(tr.ConfigError, match="a publication needs a table"):
        app.pipeline()


def noting(url: str, name: str) -> tuple[tr.App, list[str]]:
    """An App, and the list in which its handler notes the op of each change."""
    seen: list[str] = []
    app = tr.App(url, name=name)

    @app.on("public.events")
    def note(change: tr.Change) -> None:
        seen.append(change.op)

    return app, seen


def test_an_app_that_is_dropped_leaves_nothing_and_begins_anew(
    connection: psycopg.Connection, any_database: str, tmp_path: Path
) -> None:
    app, seen = noting(any_database, "leaving")
    connection.execute(INSERT.format(1).encode())
    app.run(until_current=True, state_dir=tmp_path)
    assert (tmp_path / "leaving.position").exists()
    assert app.drop(state_dir=tmp_path)
    slots = "SELECT slot_name FROM pg_replication_slots WHERE slot_name = 'tailrace_leaving'"
    for query in (slots, "SELECT pubname FROM pg_publication"):
        assert not connection.execute(query).fetchall()  # type: ignore[call-overload]
    app.run(until_current=True, state_dir=tmp_path)
    assert seen == ["r", "r"]
    app.drop(state_dir=tmp_path)


def test_the_way_out_of_a_lost_history_is_one_that_an_app_has(
    connection: psycopg.Connection, any_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app, seen = noting(any_database, "losing")
    connection.execute(INSERT.format(1).encode())
    app.run(until_current=True)
    drop_slots(any_database)
    with pytest.raises(tr.HistoryLost) as lost:
        app.run(until_current=True)
    assert "app.drop(), once, in place of app.run()" in str(lost.value)
    app.drop()
    app.run(until_current=True)
    assert seen == ["r", "r"]
    app.drop()


def test_i14_a_reason_that_quotes_half_a_surrogate_pair_is_parked(
    connection: psycopg.Connection, any_database: str, tmp_path: Path
) -> None:
    """A json column may hold one. The letter could not be written, and the same change came again for ever."""
    connection.execute("CREATE TABLE notes (id int PRIMARY KEY, body json)")
    connection.execute("INSERT INTO notes VALUES (1, '\"\\ud800\"'), (2, '\"fine\"')")
    seen: list[str] = []
    letters = tmp_path / "letters.jsonl"
    app = tr.App(
        any_database,
        name="halves",
        checkpoint=tr.checkpoint.File(tmp_path / "position"),
        dead_letters=tr.DeadLetterFile(letters),
    )

    @app.on("public.notes")
    def read(change: tr.Change) -> None:
        body = change.after["body"]
        if body != "fine":
            raise tr.Reject(f"not understood: {body}")
        seen.append(body)

    app.run(until_current=True)
    assert seen == ["fine"]
    (letter,) = [line for line in letters.read_text().splitlines() if "letter" in line]
    assert r'"reason":"not understood: \\ud800"' in letter
