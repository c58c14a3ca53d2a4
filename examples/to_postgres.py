"""Keep a copy of some tables in a schema for reports, exactly once. Another server is but another URL."""

import tailrace as tr

pipeline = tr.Pipeline(
    tr.source.Postgres(url="postgresql://localhost/shop", tables=["public.orders", "public.customers"]),
    tr.sink.Postgres("postgresql://localhost/shop", schema={"public": "reports"}),
    name="reports",
    transforms=[tr.transform.Mask(columns=("public.customers.name",), method="hash", salt="pepper")],
)
pipeline.run(until_current=True)
print("the copy is up to date; run() instead of run(until_current=True) keeps it so")
