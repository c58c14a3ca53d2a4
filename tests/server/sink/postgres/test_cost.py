"""What does not grow with the changes of a batch: round trips where they are statements, calls of Python in bulk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from servers.proxy import Proxy
from tailrace.model import Batch, Limits
from tailrace.sink.postgres import Postgres
from tests.counting import calls
from tests.unit.sink.feed import LINEAGE, Feed

ROWS = 20_000
COUNT = "SELECT count(*)::int FROM orders WHERE note LIKE %s"


@pytest.fixture
def proxy(database: str) -> Iterator[Proxy]:
    """Between the sink and its target."""
    place = conninfo_to_dict(database)
    with Proxy(str(place["host"]), int(str(place["port"]))) as made:
        yield made


def merged(batches: list[Batch]) -> Batch:
    """As the shelf hands them over: one batch of all these transactions."""
    [batch] = Batch.merge(batches)
    return batch


def test_small_transactions_take_as_many_round_trips_as_one(database: str, proxy: Proxy) -> None:
    feed = Feed()

    def trips(write: Callable[[], None]) -> int:
        before = proxy.turns
        write()
        return proxy.turns - before

    with closing(Postgres(proxy.through(database)).open("p", Limits())) as writer:
        writer.claim(LINEAGE)
        writer.write(feed.insert(*range(100)))
        writer.write(feed.commit(("u", {"id": "1", "note": "warm"})))
        one = trips(lambda: writer.write(feed.commit(("u", {"id": "1", "note": "one"}))))
        many = merged([feed.commit(("u", {"id": str(key), "note": f"many{key}"})) for key in range(100)])
        assert len(many) == 100
        assert trips(lambda: writer.write(many)) == one <= 2
    with psycopg.connect(database) as target:
        assert target.execute(COUNT, ["many%"]).fetchone() == (100,)


def test_rows_in_bulk_are_no_objects_of_python(database: str) -> None:
    """What makes an object of a row calls something for it, as statements show."""
    feed, cells = Feed(), [{"id": str(key), "note": f"new{key}"} for key in range(ROWS)]
    few = [{"id": str(ROWS + key), "note": "few"} for key in range(100)]
    with closing(Postgres(database).open("p", Limits())) as writer:
        writer.claim(LINEAGE)
        snapshot = feed.snapshot("a", *range(ROWS), begin=True, end=True, note="read")
        assert calls(lambda: writer.write(snapshot)) < ROWS / 2
        for op, note in (("u", "new"), ("d", ""), ("c", "new")):
            batch = feed.commit(*((op, cell) for cell in cells))
            assert calls(lambda batch=batch: writer.write(batch)) < ROWS / 2, op  # type: ignore[misc]
            with psycopg.connect(database) as target:
                assert target.execute(COUNT, [f"{note}%"]).fetchone() == (ROWS if note else 0,)
        assert calls(lambda: writer.write(feed.commit(*(("c", cell) for cell in few)))) > len(few), (
            "statements, counted"
        )
