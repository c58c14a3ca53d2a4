"""Test handlers without a server: the client feeds them real batches, and retries do not pause."""

import tailrace as tr
import tailrace.testing

seen: list[int] = []
app = tr.App("postgresql://localhost/shop", name="count")


@app.on("public.orders", op="c")
def count(change: tr.Change) -> None:
    """Refuses what it cannot handle."""
    assert change.after, "a new row"
    if change.after["amount"] < 0:
        raise tr.Reject("a negative amount")
    seen.append(change.after["id"])


with tailrace.testing.client(app) as client:
    client.insert("public.orders", {"id": 1, "amount": 5})
    client.insert("public.orders", {"id": 2, "amount": -5})
    assert seen == [1]
    assert [parked.reason for parked in client.parked] == ["a negative amount"]
