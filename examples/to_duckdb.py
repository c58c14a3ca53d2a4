"""Keep a DuckDB file equal to a database, exactly once, with e-mail addresses and notes masked. Stop it with Ctrl-C."""

import signal

import tailrace as tr

pipeline = tr.Pipeline(
    tr.source.Postgres(url="postgresql://localhost/shop", tables=["public.*"]),
    tr.sink.DuckDB("shop.duckdb"),
    name="shop",
    transforms=[tr.transform.Mask(columns=("public.*.email", "public.orders.note"), method="hash", salt="pepper")],
)
signal.signal(signal.SIGINT, lambda *_: pipeline.stop())  # finish what is held, then return
pipeline.run()
print("stopped; the next run goes on where this one ended")
