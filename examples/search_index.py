"""Keep a full-text index of the notes of orders: snapshot first, then every change, in lists."""

import sqlite3

import tailrace as tr

index = sqlite3.connect("notes.sqlite", check_same_thread=False)  # stands for OpenSearch and its bulk requests
index.execute("CREATE VIRTUAL TABLE IF NOT EXISTS notes USING fts5(note)")
app = tr.App("postgresql://localhost/shop", name="search", dead_letters=tr.DeadLetterFile("search.dead.jsonl"))


@app.on("public.orders")
def update_index(changes: list[tr.Change]) -> None:
    """One transaction a list: it is applied whole, or not at all and offered again."""
    with index:
        for change in changes:
            assert change.key, "orders have a primary key"
            note = change.after["note"] if change.after else None
            if note is tr.UNCHANGED:  # a long note that the update left alone is not sent: it is indexed already
                continue
            index.execute("DELETE FROM notes WHERE rowid = ?", [change.key["id"]])
            if note:
                index.execute("INSERT INTO notes (rowid, note) VALUES (?, ?)", [change.key["id"], note])
    print("indexed", len(changes), "changes", flush=True)


app.run()
