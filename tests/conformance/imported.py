"""A connector's properties as a team brings them over: `import-debezium`'s TOML, read by our own loader, and run.
Compares nothing."""

from __future__ import annotations

import json
import logging
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from servers import debezium
from servers.debezium import Record
from tailrace.config import load
from tailrace.debezium import Choices, translate
from tailrace.debezium.connector import Connector, Form
from tailrace.format import Format
from tailrace.pipeline import Pipeline
from tailrace.sink.stdout import Stdout
from tailrace.source.postgres import Postgres
from tests.waiting import until

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


@contextmanager
def running(
    url: str, options: Mapping[str, str], folder: Path, *, fails: type[Exception] | None = None
) -> Iterator[Path]:
    """The file that the pipeline writes which import-debezium makes of these options (underscores for dots), with a
    slot `ours`; `fails` is what it must end by."""
    file = folder / "out.jsonl"
    given = debezium.properties(url, **{"slot_drop_on_stop": "false", **options, "slot_name": "ours"})
    given = {name: value for name, value in given.items() if not name.startswith("offset.")}
    toml = translate(Connector(Form.ENGINE, given), Choices(name="shop", sink=f"file:{file}")).toml
    (folder / "shop.toml").write_text(toml)
    pipeline = load(folder / "shop.toml", environ={"SHOP_DATABASE_PASSWORD": ""}).pipelines["shop"]
    raised: list[BaseException] = []
    thread = threading.Thread(target=_run, args=(pipeline, raised))
    thread.start()
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            until(lambda: begun(connection, "ours") or not thread.is_alive(), "for a stream")
        yield file
        if fails:
            thread.join(300)
    finally:
        pipeline.stop()
        thread.join()
    assert [type(error) for error in raised] == ([fails] if fails else [])


def begun(connection: psycopg.Connection[Any], slot: str) -> bool:
    """Whether somebody reads the slot, and what is committed from now on is in it: one that is just being made is
    active before it knows where it begins."""
    reads = "SELECT 1 FROM pg_replication_slots WHERE slot_name = %s AND active AND confirmed_flush_lsn IS NOT NULL"
    return bool(connection.execute(reads.encode(), [slot]).fetchall())


def lines(file: Path) -> list[Any]:
    """The lines that are final: those of a snapshot are once all of it was read, and a stop can take nothing back."""
    sidecar = file.with_name(f"{file.name}.position")
    final = json.loads(sidecar.read_bytes())["final"] if sidecar.exists() else 0
    return [json.loads(line) for line in file.read_bytes()[:final].splitlines()] if final else []


def line(record: Record) -> str:
    """What the engine gave, as the file sink writes it: its very bytes, in a line."""
    key, value = (part.decode() if part is not None else "null" for part in (record.key, record.value))
    assert not record.headers
    return f'{{"topic":{json.dumps(record.topic)},"key":{key},"value":{value}}}'


def _run(pipeline: Pipeline, raised: list[BaseException]) -> None:
    try:
        pipeline.run()
    except Exception as error:  # noqa: BLE001 - what ended it is looked at by the test
        logging.getLogger(__name__).warning("ended by %s", error)
        raised.append(error)
