"""The configuration of the PostgreSQL source."""

from __future__ import annotations

import pytest

from tailrace.dialect.postgres import session
from tailrace.error import ConfigError, Fatal
from tailrace.model import Position
from tailrace.sink import Postgres as Target
from tailrace.source import Postgres
from tailrace.source.postgres.place import Place

URL = "postgresql://cdc:hunter2@db.example:5433/shop"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "postgresql://cdc:hunter2@[db/shop"}, "neither a URI nor a conninfo string"),
        ({"url": "hunter2"}, "neither a URI nor a conninfo string"),
        ({"url": "host=db pasword=hunter2"}, "libpq knows no option 'pasword'"),
        ({"url": URL, "tables": "public.orders"}, "write it as a list"),
        ({"url": URL, "tables": ["orders"]}, "has no schema"),
        ({"url": URL, "slot": "Bad-Slot"}, "not a slot's name"),
        ({"url": URL, "publication": "p" * 64}, "not a name"),
        ({"url": URL, "snapshot": "sometimes"}, "not one of initial, always, never, only, when_needed"),
        ({"url": URL, "origin": "local"}, "not one of any, none"),
        ({"url": URL, "snapshot_readers": 0}, "snapshot_readers"),
        ({"url": URL, "retained_bytes_max": 0}, "retained_bytes_max is 0"),
        ({"url": URL, "at_retained_max": "stop"}, "without retained_bytes_max"),
        ({"url": URL, "at_retained_max": "drop", "retained_bytes_max": 1}, "without gaps"),
        ({"url": URL, "at_retained_max": "panic", "retained_bytes_max": 1}, "not one of warn, stop, drop"),
    ],
)
def test_a_wrong_option_is_named_and_i9_no_secret_is_told(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Postgres(**options)  # type: ignore[arg-type]
    assert "hunter2" not in str(caught.value)


def test_i9_neither_repr_nor_target_tells_the_password() -> None:
    command = "cat hunter2"
    beat = "UPDATE beats SET token = 'hunter2'"
    told = (
        Postgres(URL),
        Postgres("host=db", password_command=command),
        Postgres("host=db", heartbeat_action_query=beat),
    )
    for each in (*told, Target(URL), Target("host=db", password_command=command)):
        assert "hunter2" not in repr(each)
    for login in (session.Login(URL), session.Login("host=db", command)):
        assert "hunter2" not in repr(login)
    assert session.target(URL) == "db.example:5433/shop"


def test_a_position_reads_back_as_it_was_written() -> None:
    place = Place(0x16B3748, 2, 17, 1, 0x16B3790)
    assert place.position("postgres/1/shop/s").text == "00000000016B3748.2.000000000017/00000001/00000000016B3790"
    assert Place.of(place.position("postgres/1/shop/s")) == place


def test_a_position_of_another_source_is_refused() -> None:
    with pytest.raises(Fatal, match="not one of PostgreSQL's"):
        Place.of(Position("postgres/1/shop/s", "mysql-bin.000004:1234"))
