"""One assertion for the conformance suites, alive under `python -O` too. Never catches anything."""

from __future__ import annotations


def expect(held: bool, promise: str) -> None:
    """AssertionError with the promise that was not kept."""
    if not held:
        raise AssertionError(promise)
