"""Standard output: whole lines, and an end when nobody reads any more."""

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from tailrace.error import Fatal
from tailrace.format import Format
from tailrace.model import Limits
from tailrace.sink import Stdout
from tests.unit.sink.feed import Feed

ROOT = Path(__file__).parents[3]


def test_each_record_is_one_line_of_json(capfd: pytest.CaptureFixture[str]) -> None:
    writer = Stdout().open("shop", Limits())
    writer.write(Feed().insert(1, 2))
    writer.close()
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [line["key"]["id"] for line in lines] == [1, 2]
    assert lines[0]["topic"] == "shop.public.orders"


def test_what_python_buffered_goes_out_first(capfd: pytest.CaptureFixture[str]) -> None:
    print("first", end="\n")
    Stdout(Format(topic_prefix="x")).open("shop", Limits()).write(Feed().insert(1))
    out = capfd.readouterr().out
    assert out.startswith("first\n")
    assert '"topic":"x.public.orders"' in out


def test_a_pipe_that_does_not_block_gets_every_byte() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    kept = os.dup(1)
    os.dup2(writing, 1)
    received = bytearray()

    def read() -> None:
        while chunk := os.read(reading, 4096):
            received.extend(chunk)

    reader = threading.Thread(target=read)
    try:
        writer = Stdout().open("shop", Limits())
        reader.start()
        for _ in range(20):
            writer.write(Feed().insert(*range(500)))
    finally:
        os.dup2(kept, 1)
        os.close(writing)
        os.close(kept)
        reader.join(60)
        os.close(reading)
    assert received.count(b"\n") == 10_000
    assert all(json.loads(line) for line in received.splitlines())


def test_lines_of_pipelines_side_by_side_stay_whole() -> None:
    writing = (
        "import threading; from tailrace.model import Limits; from tailrace.sink import Stdout;"
        " from tests.unit.sink.feed import Feed\n"
        "def run(name):\n"
        "    writer = Stdout().open(name, Limits())\n"
        "    [writer.write(batch) for batch in [Feed().insert(*range(2000))] * 5]\n"
        "threads = [threading.Thread(target=run, args=(name,)) for name in ('a', 'b', 'c')]\n"
        "[thread.start() for thread in threads]; [thread.join() for thread in threads]"
    )
    written = subprocess.run(
        [sys.executable, "-c", writing], cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=120
    ).stdout
    topics = Counter(json.loads(line)["topic"] for line in written.splitlines())
    assert topics == {f"{name}.public.orders": 10_000 for name in ("a", "b", "c")}


def test_a_reader_that_left_ends_the_pipeline() -> None:
    reading, writing = os.pipe()
    kept = os.dup(1)
    os.dup2(writing, 1)
    os.close(reading)
    try:
        writer = Stdout().open("shop", Limits())
        with pytest.raises(Fatal, match="the reader of standard output is gone"):
            writer.write(Feed().insert(1))
        writer.close()
        writer.close()
    finally:
        os.dup2(kept, 1)
        os.close(writing)
        os.close(kept)
