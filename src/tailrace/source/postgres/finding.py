"""Makes the findings of a check. Never looks at anything."""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.error import TailraceError
from tailrace.model import Finding, Severity


def ok(subject: str, message: str) -> Finding:
    """It was looked at and is as it should be."""
    return Finding(Severity.OK, subject, message)


def warning(subject: str, message: str, fix: str | None = None) -> Finding:
    """It will hurt later."""
    return Finding(Severity.WARNING, subject, message, fix)


def error(subject: str, message: str, fix: str | None = None) -> Finding:
    """It keeps the pipeline from running."""
    return Finding(Severity.ERROR, subject, message, fix)


def failed(subject: str, fault: TailraceError) -> Finding:
    """So it says itself, and what to do about it."""
    return error(subject, str(fault.args[0]), fault.hint)


def some(names: Sequence[str], most: int = 3) -> str:
    """The first of the names, and how many more there are."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
