"""React to messages that a program puts into the log with its transaction: an outbox without a table.

The program says `SELECT pg_logical_emit_message(true, 'outbox.mail', '{"to": "…"}')` before it commits.
"""

import json

import psycopg

import tailrace as tr

app = tr.App("postgresql://localhost/shop", name="outbox", tables=["public.orders"])  # a publication needs a table


@app.on_message("outbox.*", retries=10)
async def send(change: tr.Change) -> None:
    """Runs in commit order, and only if the transaction committed."""
    assert change.message, "of nothing else is this called"
    message = json.loads(change.message.content)
    print("send", change.message.prefix, message["order"], flush=True)


@app.on("public.orders", op="c")
def remind(change: tr.Change) -> None:
    """For this example: emit a message for each new order, as the shop itself would."""
    assert change.after, "a new row"
    with psycopg.connect("postgresql://localhost/shop") as connection:
        body = json.dumps({"order": change.after["id"]})
        connection.execute("SELECT pg_logical_emit_message(true, 'outbox.mail', %s)", [body])


app.run()
