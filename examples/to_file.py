"""Write Debezium events to a file that rotates, only of paid orders, until everything of this moment is in it."""

import tailrace as tr


def only_paid(change: tr.Change) -> tr.Change | None:
    """A change for a change, or None to leave it out."""
    return change if change.after and change.after["status"] == "paid" else None


tr.Pipeline(
    tr.source.Postgres(url="postgresql://localhost/shop", tables=["public.orders"]),
    tr.sink.File("orders.jsonl", rotate_bytes=100_000_000),
    name="paid",
    transforms=[tr.transform.map_changes(only_paid)],
).run(until_current=True)
