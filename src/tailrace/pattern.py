"""Lists of patterns, as keys of sources and of transforms take them. Never matches a name: `_native.Globs` does."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tailrace.error import ConfigError

__all__ = ["refuse_left_out_alone"]


def refuse_left_out_alone(where: str, key: str, patterns: Sequence[str]) -> None:
    """`ConfigError` for patterns that all leave out: they match nothing, and read as if they matched all else."""
    if not patterns or not all(pattern.startswith("!") for pattern in patterns):
        return
    kind, every = ("columns", "*.*.*") if key.endswith("columns") else ("tables", "*.*")
    said = json.dumps([every, *patterns], ensure_ascii=False)
    raise ConfigError(f"{where}{key} only leaves {kind} out", hint=f"say which are in, as in {key} = {said}")
