"""Call functions with typed rows: new orders one by one, deletions in lists, retried and in order by key."""

from dataclasses import dataclass
from decimal import Decimal

import tailrace as tr


@dataclass(frozen=True, slots=True)
class Order:
    """The columns that matter here: others are left out."""

    id: int
    customer_id: int
    amount: Decimal


app = tr.App("postgresql://localhost/shop", name="mail")


@app.on("public.orders", op="c", retries=3)
async def thank(change: tr.Change[Order]) -> None:
    """May await a mail server; another order of the same key waits for this one."""
    if change.after is None or change.after.amount <= 0:
        raise tr.Reject("an order without an amount")
    print("thank", change.after.customer_id, "for", change.after.amount, flush=True)


@app.on("public.orders", op="d")
def forget(changes: list[tr.Change]) -> None:
    """Gets up to 10,000 changes at a time."""
    print("forget", [change.key["id"] for change in changes if change.key], flush=True)


app.run()
