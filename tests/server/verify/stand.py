"""A pipeline that runs, load on its source if wanted, and the two ends to plant differences in."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tailrace.comparison import ComparableSink
from tailrace.contract import Sink, Transform
from tailrace.dead_letters import File
from tailrace.pipeline import Pipeline, desk_path
from tailrace.source import Postgres as Source
from tailrace.verify import Options, Pipes, Remote, Report, TableReport, verify
from tests import waiting

NAME = "verified"


class Stand:
    """One pipeline in a thread of this process, from `url` into `sink`."""

    def __init__(self, url: str, sink: Sink, folder: Path, *transforms: Transform) -> None:
        self.url = url
        self.source: psycopg.Connection[Any] = psycopg.connect(url, autocommit=True)
        self.folder = folder
        self.pipeline = Pipeline(
            Source(url=url, tables=["public.*"]), sink, name=NAME, transforms=transforms,
            dead_letters=File(folder / "letters"), state_dir=folder,
        )  # fmt: skip
        self._thread = threading.Thread(target=self.pipeline.run, daemon=True)

    def start(self) -> None:
        """Run the pipeline until its snapshot is in the target."""
        self._thread.start()
        waiting.until(self._streams, "for the stream")

    def _streams(self) -> bool:
        """What is saved is no place within a snapshot (phase 0)."""
        return any(text.split(".")[1] != "0" for text in self.pipeline.status().positions.values())

    def verify(
        self,
        *tables: str,
        repair: bool = False,
        remote: bool = False,
        watch: Callable[[Pipes], Pipes] = lambda pipes: pipes,
        **options: Any,
    ) -> Report:
        """Compare while the pipeline runs; `remote` reads the target through the pipeline's desk."""
        sink, source = self.pipeline.sink, self.pipeline.source
        assert isinstance(sink, ComparableSink)
        assert isinstance(source, Source)
        with ExitStack() as stack:
            desk = Remote(desk_path(self.folder, NAME))
            stack.callback(desk.close)
            target = desk if remote else sink.view(NAME)
            view = stack.enter_context(closing(source.view(NAME)))
            image = sink.image()
            if image is not None:
                stack.callback(image.close)
            if not remote:
                stack.callback(target.close)
            asked = Options(tables=tables, repair=desk.repair if repair else None, **options)
            pipes = watch(Pipes(view, target, image, self.pipeline.transforms))
            return verify(NAME, pipes, asked, told=lambda report: None)

    def close(self) -> None:
        """Stop the pipeline; raises what ended it, if something did."""
        self.pipeline.stop()
        self._thread.join(120)
        self.source.close()


Act = Callable[[psycopg.Connection[Any], random.Random], None]


@contextmanager
def load(url: str, act: Act, *, seed: int, sessions: int = 2) -> Iterator[None]:
    """Run `act` over and over on sessions of their own until the block ends; its chances follow from `seed`."""
    over = threading.Event()
    failed: list[BaseException] = []

    def run(session: int) -> None:
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                chance = random.Random(f"{seed} {session}")
                while not over.is_set():
                    act(connection, chance)
        except BaseException as error:  # noqa: BLE001 - raised by the test
            failed.append(error)

    threads = [threading.Thread(target=run, args=(session,), daemon=True) for session in range(sessions)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(120)
    assert not failed, failed


def found(table: TableReport) -> dict[str, set[tuple[str, ...]]]:
    """The keys that were shown, by kind."""
    return {kind: set(keys) for kind, keys in table.keys.items()}


def only(report: Report) -> TableReport:
    """The one table that was compared."""
    [table] = report.tables
    return table


def keys(*numbers: int) -> set[tuple[str, ...]]:
    """Keys of one number each."""
    return {(str(number),) for number in numbers}


__all__ = ["NAME", "Act", "Stand", "found", "keys", "load", "only"]
