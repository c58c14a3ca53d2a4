"""What a handler gave back: work that nobody has run is found, so that it does not count as done. Never runs it."""

from __future__ import annotations

import inspect
from concurrent.futures import Future

from tailrace.error import Fatal


def require_run(name: str, result: object) -> None:
    """`Fatal` when the handler `name` returned work in place of doing it: a coroutine, a generator, a future.

    The change would count as done, and be lost, although nothing was done with it. Other values mean nothing.
    """
    if inspect.iscoroutine(result):
        result.close()  # else Python warns later, and elsewhere, that it was never awaited
        kind, hint = "a coroutine", "make the handler itself `async def`, or await it in there"
    elif inspect.isgenerator(result) or inspect.isasyncgen(result):
        kind, hint = "a generator", "make it a plain function without `yield`, or run the generator in there"
    elif inspect.isawaitable(result):
        kind, hint = "an awaitable", "make the handler itself `async def`, and await it in there"
    elif isinstance(result, Future):
        kind, hint = "a future", "wait for its result() in the handler: a change is done when the handler returns"
    else:
        return
    raise Fatal(f"Handler {name} returned {kind}, so its change is not done yet", hint=hint)
