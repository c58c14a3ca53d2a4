"""What is deployed and documented for operators is what there is: options, exit codes, metrics, fields."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from pathlib import Path

from servers import systemd
from tailrace import error
from tailrace.cli.command import app
from tailrace.cli.status import _Seen
from tailrace.error import TailraceError
from tailrace.health.metrics import METRICS
from tailrace.model import Limits
from tailrace.pipeline import State
from tests.tidy import tree
from tests.wanting import or_skip

DEPLOY = tree.ROOT / "deploy"
UNIT = (DEPLOY / "tailrace.service").read_text()
IMAGE = (DEPLOY / "Containerfile").read_text()
HOWTO = (tree.ROOT / "docs" / "howto" / "operate.md").read_text()
REFERENCE = (tree.ROOT / "docs" / "reference" / "operations.md").read_text()
CLI = (tree.ROOT / "docs" / "reference" / "cli.md").read_text()


def setting(name: str) -> str:
    """The value of one line of the unit."""
    [value] = re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)
    return str(value)


def errors() -> list[type[TailraceError]]:
    kinds = [kind for kind in vars(error).values() if isinstance(kind, type) and issubclass(kind, TailraceError)]
    return [kind for kind in kinds if kind is not error.Reject]


def parsed(command: list[str]) -> None:
    """The command line takes these words; raises otherwise."""
    app.parse_args(command, exit_on_error=False, print_error=False)


def test_the_unit_starts_a_command_that_there_is() -> None:
    program, *arguments = shlex.split(setting("ExecStart"))
    assert Path(program).name == "tailrace"
    parsed(arguments)


def test_the_unit_restarts_after_what_may_pass_and_after_nothing_else() -> None:
    prevented = {int(code) for code in setting("RestartPreventExitStatus").split()}
    final = {kind.exit_code for kind in errors()} - {1, error.Retryable.exit_code}
    assert prevented == final
    assert setting("SuccessExitStatus") == "130 143"
    assert int(setting("TimeoutStopSec")) > Limits().stop_timeout_s + 10, "SIGKILL comes after the limit of a stop"


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    verify = or_skip(systemd.verify)
    unit = tmp_path / "tailrace.service"
    program = tmp_path / "tailrace"
    program.touch(mode=0o755)
    unit.write_text(UNIT.replace("/opt/tailrace/bin/tailrace", str(program)))
    done = subprocess.run([*verify, str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_image_copies_what_there_is_and_starts_a_command_that_there_is() -> None:
    lines = re.sub(r"\\\n\s*", " ", IMAGE).splitlines()
    instructions = [line.split(" ", 1) for line in lines if line and not line.startswith("#")]
    known = {"FROM", "RUN", "COPY", "ENV", "WORKDIR", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "CMD",
             "ENTRYPOINT"}  # fmt: skip
    assert {name for name, _ in instructions} <= known
    told = dict(instructions)
    assert told["ENTRYPOINT"] == '["tailrace"]'
    parsed([word.strip().strip('"') for word in told["CMD"].strip("[]").split(",")])
    assert told["STOPSIGNAL"] == "SIGTERM"
    assert told["USER"] != "root"
    extras = re.findall(r"\[([\w,]+)\]\"", IMAGE)[0].split(",")
    declared = tomllib.loads((tree.ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    # Rows of handlers are typed by programs, and who runs the demo has a clone; a configuration may ask for the others.
    assert set(extras) == declared.keys() - {"pydantic", "demo", "dev"}


def test_every_exit_code_is_explained() -> None:
    codes = {0, 130, 143} | {kind.exit_code for kind in errors()}
    for text in (HOWTO, CLI):
        rows = re.findall(r"^\| ([\d, ]+) \|", text, re.MULTILINE)
        assert {int(code) for row in rows for code in row.split(",")} == codes


def test_the_reference_lists_every_metric_with_its_help() -> None:
    rows = dict(re.findall(r"^\| `(tailrace_\w+)` \| (.*) \|$", REFERENCE, re.MULTILINE))
    del rows["tailrace_build_info"]
    assert rows == {name: told for _, name, told, _ in METRICS}


def test_metrics_are_named_as_the_field_does() -> None:
    for kind, name, _, _ in METRICS:
        assert re.fullmatch(r"tailrace(_[a-z]+)+", name)
        assert name.endswith("_total") == (kind.__name__ == "CounterMetricFamily")
        assert not re.search(r"_(ms|us|kb|mb|s)(_|$)", name), "units are seconds and bytes, spelled out"


def test_alarms_ask_for_metrics_that_there_are() -> None:
    asked = set(re.findall(r"tailrace_\w+", "".join(re.findall(r"```promql\n(.*?)```", HOWTO, re.DOTALL))))
    assert asked
    assert asked <= {name for _, name, _, _ in METRICS}


def test_the_reference_lists_every_field_and_state_of_the_status() -> None:
    section = REFERENCE.split("## HTTP")[0]
    named = set(re.findall(r"`(\w+)`", section))
    assert set(_Seen.__struct_fields__) <= named
    assert set(State) <= named
