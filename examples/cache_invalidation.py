"""Drop rows from a cache as soon as they change in the database; empty it on TRUNCATE."""

import tailrace as tr

cache: dict[int, str] = {}  # stands for Redis: `DEL` is idempotent, so a repeat after a crash is harmless
app = tr.App("postgresql://localhost/shop", name="cache")


@app.on("public.customers", "public.orders", op="udt")
def invalidate(change: tr.Change) -> None:
    """Gets updates, deletes and TRUNCATE; rows of the snapshot and new rows cannot be in the cache."""
    if change.op == "t":
        cache.clear()
        return
    for row in (change.key, change.before):  # both keys, when an update changes it
        if row is not None:
            cache.pop(row["id"], None)
    print("invalidated", change.table, change.key, flush=True)


app.run()
