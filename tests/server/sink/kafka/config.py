"""The configuration of a pipeline from PostgreSQL to Kafka, as a user writes it."""

from __future__ import annotations

from servers import kafka

DEAD_LETTERS = """
[pipeline.shop.dead_letters]
kind = "file"
path = "dead.jsonl"
"""


def toml(
    database: str, broker: kafka.Broker, *, table: str = "orders", transactions: bool, sink: str = "", more: str = ""
) -> str:
    """Of pipeline `shop`: its `table` in topics that it makes; `sink` are lines of that section, `more` are sections.

    Slot and publication have the database's name, so that tests can share a server.
    """
    slot = database.rpartition("/")[2]
    return f"""
[pipeline.shop.source]
kind = "postgres"
url = "{database}"
tables = ["public.{table}"]
slot = "{slot}"
publication = "{slot}"
[pipeline.shop.sink]
kind = "kafka"
url = "kafka://{broker.address}"
create_topics = true
transactions = {str(transactions).lower()}
{sink}
{more}
"""
