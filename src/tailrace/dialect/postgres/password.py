"""Asks a command for the password, for tokens that rotate. Never keeps one; neither shows nor logs what it prints.

The command is split as a shell would split it, and run without one.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from contextlib import suppress

from tailrace.error import ConfigError, Retryable

_TIMEOUT_S = 30.0
_BYTES_MAX = 1 << 16


def parse(command: str) -> list[str]:
    """The words of a command; `ConfigError` when it has none or an open quote."""
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    if not words:
        raise ConfigError("password_command is empty or has an open quote", hint="write it as in a shell: sh -c '...'")
    return words


def run(command: str, *, timeout_s: float = _TIMEOUT_S) -> str:
    """The one line that `command` prints. `Retryable` when it fails or takes too long, `ConfigError` when it cannot be
    run or prints something else."""
    words = parse(command)
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # so that whatever it started can be ended with it
        )
    except OSError as error:
        raise ConfigError(
            f"password_command cannot be run: {error.strerror}", hint="name it by its full path"
        ) from error
    with process:
        try:
            printed, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise Retryable(f"password_command took longer than {timeout_s:g} s, and was killed") from None
        finally:
            with suppress(ProcessLookupError):  # none of it is left: the rule
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode != 0:
        raise Retryable(
            f"password_command ended with code {process.returncode}", hint="run it by hand: its output is never shown"
        )
    return _one_line(printed)


def _one_line(printed: bytes) -> str:
    try:
        text = printed.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        text = ""
    if not text or "\n" in text or "\0" in text or len(text) > _BYTES_MAX:
        raise ConfigError("password_command did not print one line", hint="it must print the password and nothing else")
    return text
