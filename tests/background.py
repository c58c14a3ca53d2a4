"""Work beside a test, until the end of a block: what it raises fails the test, unless the test has failed by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager

from tailrace.pipeline import Pipeline


@contextmanager
def beside(work: Callable[[], object], stop: Callable[[], object]) -> Iterator[None]:
    """`work` runs in a thread of its own and ends once `stop` was called."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(work)
        try:
            yield
        finally:
            stop()
        running.result()


def running(pipeline: Pipeline) -> AbstractContextManager[None]:
    """The pipeline, until the end of the block."""
    return beside(pipeline.run, pipeline.stop)
