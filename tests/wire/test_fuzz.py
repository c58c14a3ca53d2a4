"""The fuzz targets run, guided by what they cover: a panic, an endless loop or too much memory fails the test."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from servers import compiler
from tests.wanting import or_skip
from tests.wire import capture

ROOT = Path(__file__).parents[2]
FUZZ = ROOT / "crates" / "wire" / "fuzz"
FOUND = ROOT / "build" / "fuzz" / "found"
RUNS = {"pgoutput": 50_000, "copy": 60_000, "read": 25_000, "framed": 50_000}
"""Some three seconds each."""

_EVENT = {"op": "c", "before": None, "after": {"id": 1, "n": "x"}, "source": {"schema": "s", "table": "t"}}
_RECORD = {"type": "record", "name": "r", "fields": [{"name": "id", "type": "long"}, {"name": "n", "type": "string"}]}
_OBJECT = {"type": "object", "properties": {"id": {"type": "integer", "connect.type": "int64"}}}
_PROTO = b'syntax = "proto3"; message r { int64 id = 1; repeated string n = 2; }'
SEEDS: Mapping[str, list[bytes]] = {
    "copy": [b"\x021\tname\n2\t\\N\n3\ta\\tb\\\\\n"],
    "read": [b'{"id":1}\n' + json.dumps(_EVENT).encode() + b'\n{"id":1}\n\n{"id":2}\n{"n":1.5}'],
    "framed": [
        b"\x00" + json.dumps(_RECORD).encode() + b"\n\x02\x02x",
        b"\x01" + json.dumps(_OBJECT).encode() + b'\n{"id":1}',
        b"\x02" + _PROTO + b"\n\x00\x08\x01\x12\x01x",
    ],
}


@pytest.fixture(scope="module")
def programs() -> Path:
    """The folder of the targets, built with what `.cargo/config.toml` beside them says."""
    done = subprocess.run(
        ["cargo", "build", "--release", "--locked", "--message-format=json"],
        cwd=FUZZ,
        env={**os.environ, **or_skip(compiler.environment)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    made = (json.loads(line).get("executable") for line in done.stdout.splitlines())
    return next(Path(path).parent for path in made if path and Path(path).name in RUNS)


def test_every_target_is_run() -> None:
    assert {path.stem for path in (FUZZ / "fuzz_targets").glob("*.rs")} == set(RUNS)


@pytest.mark.parametrize("target", RUNS)
def test_no_input_is_too_much(programs: Path, target: str, seed: int, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, data in enumerate(SEEDS.get(target, [])):
        (corpus / str(number)).write_bytes(data)
    if target == "pgoutput":
        capture.seeds(corpus)
    FOUND.mkdir(parents=True, exist_ok=True)
    options = [f"-runs={RUNS[target]}", f"-seed={seed}", f"-artifact_prefix={FOUND}/{target}-"]
    options += ["-timeout=30", "-rss_limit_mb=512", "-malloc_limit_mb=128", "-print_final_stats=1"]
    # Started by a shell that stays: a process inherits the peak of memory of the one that starts it, which libFuzzer
    # takes for its own; and this one may have held rows of hundreds of megabytes.
    command = ["sh", "-c", '"$@"; exit $?', "sh", str(programs / target), *options, str(corpus)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, f"the input is kept in {FOUND}:\n{done.stderr[-4000:]}"
    begun, ended = (int(re.findall(rf"{word} +cov: (\d+)", done.stderr)[-1]) for word in ("INITED", "DONE"))
    assert 100 < begun < ended, "libFuzzer is blind: the targets were built without coverage"
