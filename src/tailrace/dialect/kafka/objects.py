"""Values in a bucket of an object store that speaks S3. Never imports its client before it is opened, removes none.

Who we are is told where AWS's own tools look for it: `AWS_ACCESS_KEY_ID` and the like, `~/.aws`, the machine's role.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from tailrace.error import ConfigError, Fatal, Retryable

__all__ = ["Objects", "place_of", "refuse_wrong"]

_EXAMPLE = "s3://bucket/prefix?region=eu-central-1, and scheme and endpoint_override for a store that is not AWS's"
_CAUSE = re.compile(r"AWS Error (\w+)")
_UNTRUSTED = re.compile(r"curlCode: (?:60|77), (.+)")
"""What curl says of a certificate that nobody vouches for, and of a file that should say who does."""
_REFUSED = frozenset({"ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "NO_SUCH_BUCKET"})
"""A human has to change something."""


def refuse_wrong(place: Path | str | None) -> None:
    """`ConfigError` when a place of values is neither a folder nor a bucket, or tells a secret."""
    if not isinstance(place, str) or "://" not in place:
        return
    parts = urlsplit(place)
    if parts.scheme != "s3" or not parts.netloc:
        raise ConfigError("claim_check is neither a folder nor a bucket", hint=f"for example {_EXAMPLE}")
    if "@" in parts.netloc:
        raise ConfigError(
            "claim_check names a user",
            hint="say who it is in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )


def place_of(given: Path | str | None) -> Path | Objects | None:
    """What `given` names: a folder, or a bucket, which is opened once a process."""
    if isinstance(given, str) and "://" in given:
        return _opened(given)
    return None if given is None else Path(given)


@functools.lru_cache(maxsize=8)
def _opened(url: str) -> Objects:
    return Objects(url)


class Objects:
    """The objects below a prefix, by name. Safe for use by several threads."""

    def __init__(self, url: str) -> None:
        try:
            from pyarrow.fs import S3FileSystem
        except ImportError:
            raise ConfigError(
                "claim_check in a bucket needs pyarrow, which is not installed", hint="pip install 'tailrace[s3]'"
            ) from None
        try:
            self._files, path = S3FileSystem.from_uri(url)
        except ValueError as error:
            raise ConfigError(f"claim_check: {error}", hint=f"for example {_EXAMPLE}") from None
        self._path = path.rstrip("/")

    def __str__(self) -> str:
        return f"s3://{self._path}"

    def put(self, name: str, value: bytes) -> str:
        """Store `value` unless it is there; durable on return, which is its URI."""
        from pyarrow.fs import FileType

        path = f"{self._path}/{name}"
        with self._told("storing"):
            found = self._files.get_file_info(path)
            if found.type != FileType.File or found.size != len(value):
                with self._files.open_output_stream(path) as stream:
                    stream.write(value)
        return f"s3://{path}"

    def get(self, name: str, nbytes: int) -> bytes:
        """The value of so many bytes; `ValueError` in words when it is not there, or is another."""
        path = f"{self._path}/{name}"
        try:
            with self._told("reading"), self._files.open_input_file(path) as stream:
                if (size := stream.size()) != nbytes:  # before all of it is in memory
                    raise ValueError(f"its value in s3://{path} has {size} bytes, and had {nbytes} when it was stored")
                return bytes(stream.read())
        except FileNotFoundError:
            raise ValueError(f"its value s3://{path} is not there") from None

    def look(self) -> str | None:
        """Why values cannot be had here; None when the bucket is there and lets us in."""
        from pyarrow.fs import FileType

        try:
            with self._told("looking"):
                found = self._files.get_file_info(self._path.partition("/")[0])
        except (Retryable, Fatal) as error:
            return str(error.args[0])
        return "there is no such bucket" if found.type == FileType.NotFound else None

    @contextlib.contextmanager
    def _told(self, doing: str) -> Iterator[None]:
        """`Retryable` or `Fatal` for what the store answers, but for an object that is not there."""
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            found = _CAUSE.search(str(error))
            cause = "no answer" if found is None else found[1]
            message = f"object store {self}: {doing}: {cause}"
            if untrusted := _UNTRUSTED.search(str(error)):
                raise Fatal(
                    f"{message}: {untrusted[1]}",
                    hint="name who signs its certificate: &tls_ca_file_path=/etc/ssl/own.pem",
                ) from error
            if cause in _REFUSED:
                raise Fatal(message, hint="make the bucket, or see who AWS_ACCESS_KEY_ID says that we are") from error
            raise Retryable(message, hint="see whether the store can be reached") from error
