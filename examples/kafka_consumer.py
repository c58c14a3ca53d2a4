"""Follow a topic in a consumer group: a new order is indexed, a changed one updated, a deleted one removed."""

import tailrace as tr

index: dict[int, str] = {}  # stands for OpenSearch
app = tr.App("kafka://localhost:9092/shop.public.orders?group=search", name="search")


@app.on("public.orders", op="cru")
def update(change: tr.Change) -> None:
    index[change.key["id"]] = change.after["status"]


@app.on("public.orders", op="d")
def remove(change: tr.Change) -> None:
    index.pop(change.key["id"], None)


app.run()
