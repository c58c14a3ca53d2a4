"""Where changes come from: one folder a product. Never imports a sink, and one source never imports another."""

from tailrace.source.kafka import Kafka
from tailrace.source.postgres import Postgres

__all__ = ["Kafka", "Postgres"]
