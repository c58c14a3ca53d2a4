"""TOML, URLs and environment variables → the same dataclasses that Python code uses. Never connects to anything."""

from tailrace.config.http import Http
from tailrace.config.load import Config, load, sink_from_url, source_fields, source_from_url

__all__ = ["Config", "Http", "load", "sink_from_url", "source_fields", "source_from_url"]
