"""Apache Flink in a JVM of its own, for one query over Kafka's topics. Never a dependency of ours.

    flink.rows([f"CREATE TABLE orders (id BIGINT, note STRING) WITH ({flink.debezium(broker.address, topic)})"],
               "SELECT * FROM orders")

It comes from Maven and needs a JDK 17. `java/FlinkRows.java` prints what its changelog leaves.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from servers import maven
from servers.process import dying_with_us
from tailrace.demo import broker

_SOURCE = Path(__file__).parent / "java" / "FlinkRows.java"
_OPTIONS = ("-Xmx1g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "--add-opens=java.base/java.util=ALL-UNNAMED")
_PATIENCE_S = 300.0


def rows(statements: Sequence[str], query: str) -> list[tuple[str | None, ...]]:
    """The rows that `query` leaves at its end, cells as text, after these statements.

    A row is known by its first column: RuntimeError with Flink's words when one comes twice, when one goes that never
    came, or when Flink fails. `Unavailable` when this machine cannot run it.
    """
    root = install()
    with tempfile.TemporaryDirectory(prefix="tailrace-flink-") as scratch:
        file = Path(scratch, "statements.sql")
        file.write_text("\n--\n".join([*statements, query]))
        command = ["java", *_OPTIONS, broker.scratch(Path(scratch)), "-cp", f"{root}/*", str(_SOURCE), str(file)]
        done = subprocess.run(
            dying_with_us(command), capture_output=True, text=True, check=False, timeout=_PATIENCE_S, cwd=scratch
        )
    if done.returncode != 0:
        causes = [line for line in done.stderr.splitlines() if line.startswith(("Caused by", "Exception", "error"))]
        raise RuntimeError(f"Flink failed: {' | '.join(causes[-3:]) or done.stderr[-500:]}")
    lines = (line.split("\t") for line in done.stdout.splitlines())
    return [tuple(None if cell == r"\N" else cell for cell in line) for line in lines]


def debezium(address: str, topic: str) -> str:
    """The options of a table over a topic of Debezium's events without schemas, up to the end that it has now."""
    options = {
        "connector": "kafka",
        "topic": topic,
        "properties.bootstrap.servers": address,
        "properties.isolation.level": "read_committed",
        "scan.startup.mode": "earliest-offset",
        "scan.bounded.mode": "latest-offset",
        "format": "debezium-json",
        "debezium-json.timestamp-format.standard": "ISO-8601",
    }
    return ", ".join(f"'{name}' = '{value}'" for name, value in options.items())


def install() -> Path:
    """The folder with its JARs, 150 MB; downloaded the first time."""
    return maven.install("flink")
