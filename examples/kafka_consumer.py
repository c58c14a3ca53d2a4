"""Follow a topic in a consumer group: a new order is indexed, a changed one updated, a deleted one removed."""

import tailrace as tr

index: dict[int, str] = {}  # stands for OpenSearch
app = tr.App("kafka://localhost:9092/shop.public.orders?group=search", name="search")


@app.on("public.orders")
def update(change: tr.Change) -> None:
    if change.key and change.after:
        index[change.key["id"]] = change.after["status"]
    elif change.key:
        index.pop(change.key["id"], None)


app.run()
