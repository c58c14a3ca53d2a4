"""What can be seen of a function before it is called: whether it can be a handler at all. Never calls it."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from tailrace.error import ConfigError


def check_signature(call: Callable[..., object], name: str) -> None:
    """`ConfigError` when calling `call` with a change cannot be what was meant: a generator would never run."""
    if _makes_generator(call):
        raise ConfigError(
            f"Handler {name} is a generator: calling it would run nothing of it",
            hint="leave out `yield`; a wrapper that runs it to the end must not name it as its `__wrapped__`",
        )


def _makes_generator(call: Callable[..., object]) -> bool:
    """It, what it wraps, or what its class calls is a generator function."""
    inner = inspect.unwrap(call)
    forms = (inner, getattr(inner, "__call__", None))  # noqa: B004
    return any(inspect.isgeneratorfunction(form) or inspect.isasyncgenfunction(form) for form in forms)
