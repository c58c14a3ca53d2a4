"""What can be seen of a function before it is called: whether it can be a handler at all. Never calls it."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from tailrace.error import ConfigError


def check_signature(call: Callable[..., object], name: str) -> None:
    """`ConfigError` when a change alone cannot be given to `call`, or would not run it, as with a generator."""
    try:
        # Not the signature of what it wraps: a decorator may well give that more arguments than it takes itself.
        inspect.signature(call, follow_wrapped=False).bind(object())
    except TypeError as error:
        raise ConfigError(
            f"Handler {name} cannot be called with the change alone: {error}",
            hint="give it one parameter, the change; a method is registered on its object: app.on(…)(thing.method)",
        ) from None
    if _makes_generator(call):
        raise ConfigError(
            f"Handler {name} is a generator: calling it would run nothing of it",
            hint="leave out `yield`; a wrapper that runs it to the end must not name it as its `__wrapped__`",
        )


def check_patterns(patterns: tuple[object, ...], *, hint: str) -> None:
    """`ConfigError` when one is no text: the function itself, for one, under a decorator without its parentheses."""
    for pattern in patterns:
        if not isinstance(pattern, str):
            what = getattr(pattern, "__qualname__", type(pattern).__name__)
            raise ConfigError(f"A handler is registered for {what}, which is no text", hint=hint)


def check_globs(patterns: tuple[str, ...]) -> None:
    """`ConfigError` for patterns that sources take and handlers do not: the source would send what no handler gets."""
    for pattern in patterns:
        if pattern.startswith("!") or (len(pattern) > 1 and pattern.startswith("/") and pattern.endswith("/")):
            raise ConfigError(
                f"A handler is registered for {pattern!r}, and handlers take globs alone",
                hint='write @app.on("public.*"), and choose tables for all handlers with App(…, tables=[…])',
            )


def _makes_generator(call: Callable[..., object]) -> bool:
    """It, what it wraps, or what its class calls is a generator function."""
    inner = inspect.unwrap(call)
    forms = (inner, getattr(inner, "__call__", None))  # noqa: B004
    return any(inspect.isgeneratorfunction(form) or inspect.isasyncgenfunction(form) for form in forms)
