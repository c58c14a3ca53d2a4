"""The command line. Never holds logic that a Python program could want: that is in the packages below.

Every import of weight happens inside the command that needs it, so that `--help` is quick.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. Errors are one clear message on stderr."""
    import cyclopts

    from tailrace import output
    from tailrace.cli.command import app
    from tailrace.cli.report import fail

    output.reserve()
    try:
        result = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except cyclopts.CycloptsError as error:
        hint = " ".join(("tailrace", *(error.command_chain or ()), "--help"))
        print(f"tailrace: {error}\n  hint: {hint}", file=sys.stderr)  # noqa: T201
        return 2
    except BrokenPipeError:
        _give_up_output()  # the reader has seen enough
        return 0
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 - the last place: told in one line, with its traceback at debug
        if (fault := output.fault_of(error)) is None:
            return fail(error)
        _give_up_output()
        return fail(fault)
    return result if isinstance(result, int) else 0


def _give_up_output() -> None:
    """What is still buffered must not fail again when Python exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
