"""Appends changes as JSON Lines to a file, and knows after a crash where the file ends. Never rewrites what is final.

Beside `orders.jsonl` lie `orders.jsonl.position` (the sidecar: where the file ends, and the position there) and
`orders.jsonl.lock`. A full file becomes `orders.<UTC time>.<number>.jsonl`. With `.partial` behind it, it belongs to a
snapshot that is not complete and may still be taken back. Exactly-once for readers of rotated files, and for readers of
the current file that stop at the sidecar's `final`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from tailrace.durable import obstacles, require_file
from tailrace.error import ConfigError, TailraceError
from tailrace.format import Format
from tailrace.model import Finding, Limits, Position, Severity, Table
from tailrace.sink.file.sidecar import Sidecar, sidecar_path
from tailrace.sink.file.writer import FileWriter

__all__ = ["Compression", "File"]

tailrace_contract = 1


class Compression(StrEnum):
    """How the bytes are packed: `ZSTD` writes one frame a batch, so that every cut is at the border of a frame."""

    NONE = "none"
    ZSTD = "zstd"


@dataclass(frozen=True, slots=True)
class File:
    """JSON Lines at `path`, one a record, with the position beside them, in `<path>.position`: exactly once.

    A line is `{"topic": …, "key": …, "value": …, "headers": […]}`, key and value as `format` spells them for Kafka. A
    new file begins once `rotate_bytes` or `rotate_s` (since the first byte) are exceeded, as is looked at before each
    batch, so that a file may be longer by one; an idle pipeline looks each 10 s.
    """

    path: str | Path
    rotate_bytes: int | None = None
    rotate_s: float | None = None
    compression: Compression = Compression.NONE
    format: Format = field(default_factory=Format)

    kind: ClassVar[str] = "file"
    transactional: ClassVar[bool] = True
    table_like: ClassVar[bool] = False
    truncate: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_file(self.path)
        if self.compression not in tuple(Compression):
            raise ConfigError(f"sink.compression is {str(self.compression)!r}", hint='it can be "none" or "zstd"')
        for name, value in (("rotate_bytes", self.rotate_bytes), ("rotate_s", self.rotate_s)):
            if value is not None and value <= 0:
                raise ConfigError(f"sink.{name} is {value}", hint="give a number above 0, or leave it out")

    @property
    def beat_interval_s(self) -> float:
        """See `Beating.beat_interval_s`."""
        return self.format.heartbeat_interval_s

    def check(self) -> list[Finding]:
        """Whether the folder can be written to and the compressor is installed."""
        findings = obstacles(Path(self.path))
        if self.compression == Compression.ZSTD and importlib.util.find_spec("zstandard") is None:
            findings.append(Finding(Severity.ERROR, "zstandard", "it is not installed", "pip install 'tailrace[zstd]'"))
        return findings or [Finding(Severity.OK, str(self.path), "it can be written")]

    def check_tables(self, name: str, tables: Sequence[Table]) -> list[Finding]:
        """See `Receiving.check_tables`: whether the file is this pipeline's."""
        try:
            state = Sidecar(sidecar_path(Path(self.path))).load()
        except TailraceError as error:
            return [Finding(Severity.ERROR, str(self.path), str(error.args[0]), error.hint)]
        if state is None or state.pipeline == name:
            return [Finding(Severity.OK, str(self.path), "no other pipeline has it")]
        message = f"it belongs to the pipeline {state.pipeline!r}: give each pipeline a path of its own"
        return [Finding(Severity.ERROR, str(self.path), message)]

    def saved(self, name: str) -> Mapping[str, Position | None]:
        """See `Remembering.saved`."""
        state = Sidecar(sidecar_path(Path(self.path))).load()
        return state.positions() if state is not None and state.pipeline == name else {}

    def open(self, name: str, limits: Limits) -> FileWriter:
        """Take the file for pipeline `name` and cut what lies beyond the sidecar.

        `Retryable` while another process has it; `Fatal` when the file is not this pipeline's, or lost bytes.
        """
        compress = None
        if self.compression == Compression.ZSTD:
            try:
                import zstandard
            except ImportError:
                raise ConfigError(
                    'compression = "zstd" needs a package that is not installed', hint="pip install 'tailrace[zstd]'"
                ) from None
            compress = zstandard.ZstdCompressor(write_checksum=True).compressobj
        return FileWriter(
            Path(self.path),
            name,
            profile=self.format.profile(name),
            compress=compress,
            rotate_bytes=self.rotate_bytes,
            rotate_s=self.rotate_s,
        )
