"""The command line. Never holds logic that a Python program could want: that is in the packages below.

Every import of weight happens inside the command that needs it, so that `--help` is quick.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. Errors are one clear message on stderr.

    Without `arguments` this is the program, and Ctrl-C stays as quiet as it is here until the process has ended.
    """
    from tailrace.cli.interrupt import leave_at_once

    restore = leave_at_once()
    try:
        return _perform(arguments)
    finally:
        if arguments is not None:
            restore()


def _perform(arguments: Sequence[str] | None) -> int:
    import sys

    import cyclopts

    from tailrace import output
    from tailrace.cli.command import app
    from tailrace.cli.report import fail, say

    output.reserve()
    try:
        result = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except cyclopts.CycloptsError as error:
        hint = " ".join(("tailrace", *(error.command_chain or ()), "--help"))
        say(f"tailrace: {error}\n  hint: {hint}")
        return 2
    except BrokenPipeError:
        output.give_up(sys.stdout)  # the reader has seen enough
        return 0
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # what rich makes of it, which prints the help
            return 0
        raise
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 - the last place: told in one line, with its traceback at debug
        if (fault := output.fault_of(error)) is None:
            return fail(error)
        output.give_up(sys.stdout)
        return fail(fault)
    return result if isinstance(result, int) else 0
