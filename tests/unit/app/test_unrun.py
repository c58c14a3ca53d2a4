"""Work that a handler returns in place of doing it is never taken for done."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import tailrace as tr
from tailrace import testing
from tailrace.testing.fake import Log, LogSource


async def later(_change: object) -> None: ...


async def later_still(change: object) -> object:
    return later(change)


def yielding(_change: object) -> Iterator[None]:
    yield


async def yielding_later(_change: object) -> AsyncIterator[None]:
    yield


def logged(call: Callable[[Any], object]) -> Callable[[Any], object]:
    """The commonest decorator there is."""

    @functools.wraps(call)
    def wrapper(change: object) -> object:
        return call(change)

    return wrapper


class Yielding:
    def __call__(self, _change: object) -> Iterator[None]:
        yield


class Promise:
    def __await__(self) -> Iterator[None]:
        yield


UNRUN: dict[str, tuple[Callable[[Any], object], str]] = {
    "wrapped coroutine": (logged(later), "a coroutine"),
    "lambda": (lambda change: later(change), "a coroutine"),
    "coroutine of a coroutine": (later_still, "a coroutine"),
    "generator": (lambda change: yielding(change), "a generator"),
    "async generator": (lambda change: yielding_later(change), "a generator"),
    "awaitable": (lambda _change: Promise(), "an awaitable"),
    "future": (lambda _change: Future[None](), "a future"),
}


@pytest.mark.parametrize("options", [{}, {"batch": True}, {"concurrency": 2}])
@pytest.mark.parametrize("name", UNRUN)
def test_what_a_handler_returns_unrun_stops_the_pipeline(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    call, kind = UNRUN[name]
    log = Log()
    app = tr.App(LogSource(log), name="unrun")
    app.on("public.orders", **options)(call)
    log.insert(1)
    with pytest.raises(tr.Fatal, match=f"returned {kind}, so its change is not done"):
        app.pipeline(state_dir=tmp_path).run(until_current=True)
    assert not log.confirmed


@pytest.mark.parametrize("name", UNRUN)
def test_the_testing_client_notices_it_too(name: str) -> None:
    call, kind = UNRUN[name]
    app = tr.App("postgresql://localhost/shop", name="unrun")
    app.on("public.orders")(call)
    with testing.client(app) as t, pytest.raises(tr.Fatal, match=f"returned {kind}"):
        t.insert("public.orders", {"id": 1})


def test_what_came_before_in_the_batch_is_not_called_again(tmp_path: Path) -> None:
    log, seen = Log(), []
    app = tr.App(LogSource(log), name="unrun")

    @app.on("public.orders")
    def take(change: tr.Change) -> object:
        seen.append(change.after["id"])
        return later(change) if seen == [1, 2] else None

    log.commit(*(("c", {"id": str(key)}) for key in (1, 2, 3)))
    with pytest.raises(tr.Fatal):
        app.pipeline(state_dir=tmp_path).run(until_current=True)
    app.pipeline(state_dir=tmp_path).run(until_current=True)
    assert seen == [1, 2, 2, 3]


@pytest.mark.parametrize(
    "call",
    [
        yielding,
        yielding_later,
        logged(yielding),
        functools.partial(yielding),
        Yielding(),
        logged(Yielding()),
        contextmanager(yielding),
    ],
)
def test_a_generator_function_is_refused_at_once(call: Any) -> None:
    app = tr.App("postgresql://localhost/shop", name="unrun")
    with pytest.raises(tr.ConfigError, match="is a generator: calling it would run nothing"):
        app.on("public.orders")(call)
    with pytest.raises(tr.ConfigError, match="is a generator"):
        app.on_message("*")(call)
    assert not app.handlers


def test_other_values_mean_nothing() -> None:
    app = tr.App("postgresql://localhost/shop", name="unrun")
    app.on("public.orders")(lambda _change: [1])
    app.on("public.orders")(lambda change: asyncio.run(later(change)) or iter(()))
    with testing.client(app) as t:
        t.insert("public.orders", {"id": 1})
        assert not t.parked
