"""Print what happens to two tables, from now on. Nothing is left on the server afterwards."""

import tailrace as tr

with tr.tail("postgresql://localhost/shop", tables=["public.orders", "public.customers"]) as changes:
    for change in changes:
        print(change.committed_at, change.op, change.table, change.key, change.after, flush=True)
