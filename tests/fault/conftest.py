"""Fixtures of the fault matrix: pipelines run by the command line, traffic, and the end that the test declares."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.fault.disk import Disk, mountable
from tests.fault.pipe import Pipe
from tests.fault.row import End
from tests.fault.traffic import Traffic
from tests.wanting import or_skip

MakePipe = Callable[..., Pipe]
MakeTraffic = Callable[..., Traffic]
MakeDisk = Callable[[str], Disk]
_PIPES = pytest.StashKey[list[Pipe]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """A test that ends well fails all the same unless one of its pipelines was seen to end as declared. One that was
    skipped for want of something has nothing to see."""
    yield
    pipes = item.stash.get(_PIPES, None)
    assert pipes is None or any(pipe.judged for pipe in pipes), "no pipeline was held against the declared end"


@pytest.fixture
def end(request: pytest.FixtureRequest) -> End:
    """How the fault of this test must end."""
    mark = request.node.get_closest_marker("fault")
    assert mark is not None, "declare the row of this test: @fault(...)"
    declared: End = mark.args[0].end
    return declared


@pytest.fixture
def make_pipe(
    request: pytest.FixtureRequest, tmp_path: Path, end: End, record_property: Callable[[str, object], None]
) -> Iterator[MakePipe]:
    """Makes a `Pipe` from a URL; the test fails unless one of them was seen to end as declared."""
    made = request.node.stash.setdefault(_PIPES, list[Pipe]())

    def make(url: str, kind: str = "file", **options: Any) -> Pipe:
        if kind == "postgres" and "replica" not in options:
            options["replica"] = request.getfixturevalue("replica")
        made.append(Pipe(options.pop("folder", tmp_path), url, kind, end, **options))
        record_property("with", made[-1].shown_with)
        return made[-1]

    yield make
    for pipe in made:
        pipe.kill()


@pytest.fixture
def replica(target_database: str) -> str:
    """The URL of an empty database of its own, to be a target."""
    return target_database


@pytest.fixture
def traffic(seed: int) -> Iterator[MakeTraffic]:
    """Begins `Traffic` on a source, of the transactions that follow from the seed."""
    begun: list[Traffic] = []

    def begin(url: str, **options: Any) -> Traffic:
        begun.append(Traffic(url, seed=seed, **options))
        return begun[-1]

    yield begin
    for each in begun:
        each.stop()


@pytest.fixture
def execute() -> Callable[..., list[tuple[Any, ...]]]:
    """Runs statements on a database, each in a transaction of its own; returns the rows of the last."""

    def run(url: str, *statements: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    return run


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[Callable[[str], Disk]]:
    """Mounts a tmpfs of a size, as root may."""
    or_skip(mountable)
    with ExitStack() as stack:

        def make(size: str) -> Disk:
            path = Path(tempfile.mkdtemp(prefix="tailrace-disk-"))
            stack.callback(path.rmdir)
            disk = Disk(path, size)
            stack.callback(disk.close)
            return disk

        yield make
