"""Where changes go, one folder a product. Never imports an optional driver: each does so when it is opened."""

from tailrace.sink.duckdb import DuckDB, Existing
from tailrace.sink.file import Compression, File
from tailrace.sink.kafka import Kafka
from tailrace.sink.postgres import Postgres
from tailrace.sink.stdout import Stdout

__all__ = ["Compression", "DuckDB", "Existing", "File", "Kafka", "Postgres", "Stdout"]
