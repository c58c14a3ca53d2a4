"""What a file says of health and metrics over HTTP. Never listens: `health` does."""

from __future__ import annotations

from dataclasses import dataclass

from tailrace.error import ConfigError

__all__ = ["Http"]


@dataclass(frozen=True, slots=True)
class Http:
    """`listen` is `host:port`, or nothing; a pipeline without progress for `stalled_s` seconds is not healthy.

    A single transaction that takes the sink longer than `stalled_s` looks like a sink that hangs: leave room for it.
    """

    listen: str | None = None
    stalled_s: float = 300.0

    def __post_init__(self) -> None:
        if not self.stalled_s > 0:  # nor is nan
            raise ConfigError("stalled_s: this must be above 0")
