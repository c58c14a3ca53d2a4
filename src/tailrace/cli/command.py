"""The commands with their arguments and help; each hands over to its own module. Never does the work itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from tailrace._native import __version__
from tailrace.cli.interrupt import Unwinding
from tailrace.cli.option import (
    ConsumeOptions,
    CutoverOptions,
    ImportOptions,
    Logs,
    QuietLogs,
    RunOptions,
    TailOptions,
    VerifyOptions,
)

__all__ = ["app"]

app = App(
    name="tailrace",
    help="Change data capture for Python: every committed change, delivered.",
    version=__version__,
    version_flags=["--version"],
)
letters = App(name="dead-letters", help="Changes that the sink refused, parked beside the pipeline.")
app.command(letters)


_USUAL = Logs()
_CONSUME = ConsumeOptions()
_CUTOVER = CutoverOptions()
_IMPORT = ImportOptions()
_QUIET = QuietLogs()
_RUN = RunOptions()
_OPTIONS = TailOptions()
_VERIFY = VerifyOptions()
Json = Annotated[bool, Parameter(name="--json", negative="")]
Yes = Annotated[bool, Parameter(name=["--yes", "-y"], negative="", help="Do not ask.")]
Config = Annotated[Path, Parameter(help="The TOML file.")]
Name = Annotated[str, Parameter(help="The pipeline.")]
Letters = Annotated[Path, Parameter(help="The TOML file; or the file of dead letters itself, such as an App's.")]
_LETTERS = "Usage: tailrace dead-letters {} [OPTIONS] CONFIG NAME [ID...] | FILE [ID...]"
Flag = Annotated[bool, Parameter(negative="")]


@app.command(usage="Usage: tailrace run [OPTIONS] CONFIG [NAME...]")
def run(config: Config, /, *names: str, options: RunOptions = _RUN, logs: Logs = _USUAL) -> int:
    """Run pipelines until they are stopped.

    Parameters
    ----------
    names
        The pipelines to run; all of the file without them.
    """
    logs.start()
    from tailrace.cli.run import run

    return run(config, names, options)


@app.command
def tail(url: str, /, *, options: TailOptions = _OPTIONS, logs: QuietLogs = _QUIET) -> int:
    """Print changes as they come, through a slot that goes with the connection.

    Parameters
    ----------
    url
        The database, such as postgresql://host/db.
    """
    logs.start()
    from tailrace.cli.tail import tail

    return tail(url, options)


@app.command
def consume(url: str, /, *, options: ConsumeOptions = _CONSUME, logs: QuietLogs = _QUIET) -> int:
    """Print changes of Kafka topics as they come, as a member of a consumer group.

    Parameters
    ----------
    url
        The topics, such as kafka://broker:9092/shop.public.orders.
    """
    logs.start()
    from tailrace.cli.consume import consume

    return consume(url, options)


@app.command(usage="Usage: tailrace check [OPTIONS] CONFIG|URL [NAME...]")
def check(target: str, /, *names: str, json: Json = False, logs: QuietLogs = _QUIET) -> int:
    """Show what the source and the sink lack, each with the statement that mends it. Changes nothing.

    Parameters
    ----------
    target
        The TOML file, or the URL of a source.
    names
        The pipelines to check; all of the file without them.
    json
        Print JSON in place of a table.
    """
    logs.start()
    from tailrace.cli.check import check

    return check(target, names, as_json=json)


@app.command(usage="Usage: tailrace status [OPTIONS] CONFIG [NAME...]")
def status(config: Config, /, *names: str, json: Json = False, watch: Flag = False, logs: QuietLogs = _QUIET) -> int:
    """Show per pipeline: state, position, lag, retained log, dead letters.

    Parameters
    ----------
    names
        The pipelines to show; all of the file without them.
    json
        Print JSON in place of a table.
    watch
        Print again every two seconds, until interrupted.
    """
    logs.start()
    from tailrace.cli.status import status

    return status(config, names, as_json=json, watch=watch)


@app.command
def verify(config: Config, name: Name, /, *, options: VerifyOptions = _VERIFY, logs: QuietLogs = _QUIET) -> int:
    """Compare source and target while both are live; 3 when they differ. Runs the pipeline, if nobody does."""
    logs.start()
    from tailrace.cli.verify import verify

    return verify(config, name, options)


@letters.command(name="list", usage=_LETTERS.format("list"))
def list_letters(target: Letters, /, *names: str, json: Json = False, logs: QuietLogs = _QUIET) -> int:
    """List the parked changes, without their cells.

    Parameters
    ----------
    names
        After a TOML file the pipeline; then IDs of letters, all without them.
    json
        Print JSON in place of a table.
    """
    logs.start()
    from tailrace.cli.letters import show_list

    return show_list(target, names, as_json=json)


@letters.command(name="show", usage=_LETTERS.format("show"))
def show_letters(target: Letters, /, *names: str, logs: QuietLogs = _QUIET) -> int:
    """Print parked changes whole, cells included, as JSON.

    Parameters
    ----------
    names
        After a TOML file the pipeline; then IDs of letters, all without them.
    """
    logs.start()
    from tailrace.cli.letters import show

    return show(target, names)


@letters.command(name="replay", usage=_LETTERS.format("replay"))
def replay_letters(target: Letters, /, *names: str, logs: QuietLogs = _QUIET) -> int:
    """Offer parked changes to the sink again, in the order of their keys; all of them without IDs.

    The running pipeline does it between two batches; when none runs, the sink is opened alone. An App does it at its
    next start.

    Parameters
    ----------
    names
        After a TOML file the pipeline; then IDs of letters, all without them.
    """
    logs.start()
    from tailrace.cli.letters import replay

    with Unwinding():
        return replay(target, names)


@letters.command(name="drop", usage=_LETTERS.format("drop"))
def drop_letters(target: Letters, /, *names: str, yes: Yes = False, logs: QuietLogs = _QUIET) -> int:
    """Throw parked changes away, after a question; all of them without IDs.

    Parameters
    ----------
    names
        After a TOML file the pipeline; then IDs of letters, all without them.
    """
    logs.start()
    from tailrace.cli.letters import drop

    with Unwinding():
        return drop(target, names, yes=yes)


@app.command
def cutover(config: Config, name: Name, /, *, options: CutoverOptions = _CUTOVER, logs: QuietLogs = _QUIET) -> int:
    """Check that the target has all that the source has, then let its sequences go on where those of the source stand.

    Stop what writes to the source first. The pipeline may run; if it does not, it is run until it is current.
    """
    logs.start()
    from tailrace.cli.cutover import cutover

    return cutover(config, name, options)


@app.command
def reset(
    config: Config,
    name: Name,
    /,
    *,
    dead_letters: Literal["keep", "drop"] = "keep",
    yes: Yes = False,
    logs: QuietLogs = _QUIET,
) -> int:
    """Forget the position and start again with a snapshot at the next run, after a question.

    Parameters
    ----------
    dead_letters
        Whether parked changes stay (later changes of their keys are parked behind them) or go with the position.
    """
    logs.start()
    from tailrace.cli.remove import reset

    with Unwinding():
        return reset(config, name, dead_letters=dead_letters, yes=yes)


@app.command
def drop(config: Config, name: Name, /, *, yes: Yes = False, logs: QuietLogs = _QUIET) -> int:
    """Remove what a pipeline created on the source (slot, publication) and its position, after a question."""
    logs.start()
    from tailrace.cli.remove import drop

    with Unwinding():
        return drop(config, name, yes=yes)


@app.command
def adopt(config: Config, name: Name, /, *, yes: Yes = False, logs: Logs = _USUAL) -> int:
    """Take a saved position over to a server that was upgraded with pg_upgrade, after a question."""
    logs.start()
    from tailrace.cli.adopt import adopt

    with Unwinding():
        return adopt(config, name, yes=yes)


@app.command(name="import-debezium")
def import_debezium(file: Path, /, *, options: ImportOptions = _IMPORT, logs: QuietLogs = _QUIET) -> int:
    """Write a Debezium connector as a configuration to stdout; what has no meaning here is listed on stderr.

    An option that cannot be honoured is an error that names it, and nothing is written.

    Parameters
    ----------
    file
        The connector's JSON, as Kafka Connect's REST interface takes it, or its .properties.
    """
    logs.start()
    from tailrace.cli.migrate import import_debezium

    return import_debezium(file, options)


@app.command
def demo(
    *, seconds: float = 25.0, rate: float = 3000.0, keep: Flag = False, kafka: Flag = False, logs: QuietLogs = _QUIET
) -> int:
    """Show Tailrace at work on a shop: two pipelines, two kills, a comparison row for row. Needs no server.

    Parameters
    ----------
    seconds
        How long the shop trades.
    rate
        Changes a second.
    keep
        Leave the folder with the data and the target behind.
    kafka
        Over Kafka: two consumers of one group, each killed once. Needs a JDK 17, and Maven or KAFKA_HOME.
    """
    logs.start()
    from tailrace.demo.stage import run

    with Unwinding():
        return run(seconds=seconds, rate=rate, keep=keep, kafka=kafka)


@app.command
def version() -> int:
    """Print the version."""
    print(f"tailrace {__version__}")  # noqa: T201
    return 0
