"""The PostgreSQL source: snapshot and stream of a database through a logical replication slot."""

from tailrace.source.postgres.config import Postgres

__all__ = ["Postgres", "tailrace_contract"]

tailrace_contract = 1
