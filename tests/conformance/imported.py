"""A connector's properties as a team brings them over: `import-debezium`'s TOML, read by our own loader. Compares
nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from tailrace.config import load
from tailrace.debezium import Choices, translate
from tailrace.debezium.connector import Connector, Form
from tailrace.format import Format
from tailrace.sink.stdout import Stdout
from tailrace.source.postgres import Postgres

_PASSWORD = "TAILRACE_DATABASE_PASSWORD"


def imported(properties: Mapping[str, str]) -> tuple[Postgres, Format]:
    """The source that the pipeline reads, and how it writes events."""
    toml = translate(Connector(Form.ENGINE, properties), Choices(name="tailrace")).toml
    with tempfile.TemporaryDirectory(prefix="tailrace-imported-") as folder:
        file = Path(folder, "tailrace.toml")
        file.write_text(toml, encoding="utf-8")
        environ = {_PASSWORD: properties["database.password"]}
        pipeline = load(file, environ=environ).pipelines["tailrace"]
    assert isinstance(pipeline.source, Postgres) and isinstance(pipeline.sink, Stdout)
    return pipeline.source, pipeline.sink.format
