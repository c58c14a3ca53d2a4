"""Operating `tailrace run`: probes over HTTP, a status that tells, logs with fields, a stop that ends."""

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest

from servers.postgres import Server
from servers.process import free_port
from tailrace.pipeline import State, Status, ask, socket_path
from tests.cli.conftest import Cli
from tests.serving import Answering, serving
from tests.waiting import until
from tests.wanting import needs_root

SECRET = "a-note-of-a-customer"


def execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def get(port: int, path: str) -> tuple[int, str]:
    """Status and body; 0 while nobody listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def asked(cli: Cli) -> Status:
    status = ask(socket_path(cli.folder / ".tailrace", "orders"))
    return status or Status(name="orders", state=State.STOPPED, pid=0, since=0, started_at=0)


@contextmanager
def running(cli: Cli, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = cli.start("run", "t.toml", *arguments)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and the lines of the log, once a signal has stopped it."""
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    return process.returncode, [json.loads(line) for line in err.splitlines()]


def test_probes_and_metrics_follow_a_server_that_goes_and_comes(
    cli: Cli, config: Path, shop: str, start_postgres: Callable[..., Server]
) -> None:
    server = start_postgres(18)
    url = server.create_database("shop")
    execute(url, "create table orders (id int primary key, note text)", f"insert into orders values (1, '{SECRET}')")
    port = free_port()
    config.write_text(
        f'[http]\nlisten = "127.0.0.1:{port}"\nstalled_s = 2\n'
        + config.read_text().replace(shop, url)
        + "\n[pipeline.orders.limits]\nbackoff_s_max = 0.5\n"
    )
    with running(cli) as process:
        until(lambda: get(port, "/readyz")[0] == 200)
        until(lambda: (status := asked(cli)).reason == "caught up" and (status.lag_s, status.lag_bytes) == (0, 0))
        until(lambda: get(port, "/healthz")[0] == 200)
        status = asked(cli)
        assert status.changes == 1
        until(lambda: "tailrace_retained_bytes{" in get(port, "/metrics")[1])
        idle_since = status.progressed_at
        assert idle_since is not None
        until(lambda: (asked(cli).progressed_at or 0) > idle_since + 3, "an idle source is well")
        until(lambda: get(port, "/healthz")[0] == 200)
        server.stop()
        until(lambda: get(port, "/healthz")[0] == 503)
        told = json.loads(get(port, "/healthz")[1])["pipelines"]["orders"]
        assert told["state"] in {"retrying", "starting"}
        assert "no progress for" in told["reason"]
        assert get(port, "/readyz")[0] == 503
        metrics = get(port, "/metrics")[1]
        assert 'tailrace_healthy{pipeline="orders"} 0.0' in metrics
        assert 'tailrace_lag_seconds{pipeline="orders"}' not in metrics, "nobody knows"
        assert 'tailrace_caught_up_timestamp_seconds{pipeline="orders"}' in metrics
        server.start()
        until(lambda: get(port, "/healthz")[0] == get(port, "/readyz")[0] == 200)
        execute(url, f"insert into orders values (2, '{SECRET}')")
        until(lambda: asked(cli).changes == 2)
        assert 'tailrace_changes_total{pipeline="orders"} 2.0' in get(port, "/metrics")[1]
        code, lines = ended(process)
    assert code == 143
    waits = [line for line in lines if "trying again" in line["event"]]
    assert waits
    for line in waits:
        assert (line["pipeline"], line["level"], line["error_type"]) == ("orders", "warning", "Retryable")
        assert line["error"] in line["event"]
        assert line["state"] in set(State)
        assert line["position"]
    assert all(line["pipeline"] == "orders" for line in lines if line["logger"].startswith("tailrace.source"))
    assert SECRET not in json.dumps(lines)


def test_a_sink_that_is_stuck_turns_health_and_a_stop_ends_in_time(cli: Cli, config: Path, shop: str) -> None:
    port = free_port()
    config.write_text(
        "[http]\nstalled_s = 1.5\n"
        + config.read_text().replace('"file:out.jsonl"', '"stdout:"')
        + "\n[pipeline.orders.limits]\nstop_timeout_s = 1\n"
    )
    execute(shop, "insert into orders select i, repeat('x', 1000) from generate_series(10, 5000) i")
    with running(cli, "--http", str(port)) as process:  # nobody reads its stdout: the pipe is full soon
        until(lambda: get(port, "/healthz")[0] == 503)
        told = json.loads(get(port, "/healthz")[1])["pipelines"]["orders"]
        assert told["reason"].startswith("no progress for")
        until(lambda: "stdout has been at work" in asked(cli).reason)
        until(lambda: (asked(cli).lag_s or 0) > 1.5)
        shown = cli.run("status", "t.toml").out.splitlines()
        assert shown[-1].startswith("orders: sink stdout has been at work for ")
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 1, "not a clean stop, and not for ever"
        assert process.stderr is not None
        last = json.loads(process.stderr.read().splitlines()[-1])
    assert "did not stop in time: sink stdout has been at work" in last["error"]
    assert (last["pipeline"], last["state"], last["error_type"], last["exit_code"]) == ("orders", "failed", "Fatal", 1)
    assert "comes again" in last["hint"]


def test_a_paused_process_is_shown_as_silent_and_a_dead_one_as_stopped(cli: Cli, config: Path, shop: str) -> None:
    with running(cli) as process:
        until(lambda: asked(cli).reason == "caught up")
        process.send_signal(signal.SIGSTOP)
        [seen] = json.loads(cli.run("status", "t.toml", "--json").out)
        text = cli.run("status", "t.toml").out
        assert (seen["state"], seen["pid"]) == ("silent", process.pid)
        assert seen["positions"], "what is saved is known all the same"
        said = f"process {process.pid}: the process that runs orders did not answer within 3 s"
        assert said in seen["reason"]
        assert f"orders: {said}" in text
        process.kill()  # while it is paused: going on, it might save another position
        process.wait()
    [left] = json.loads(cli.run("status", "t.toml", "--json").out)
    assert (left["state"], left["lag_s"]) == ("stopped", None)
    assert left["positions"] == seen["positions"]


def test_another_users_status_is_refused_in_words(cli: Cli, config: Path) -> None:
    needs_root()
    state = cli.folder / ".tailrace"
    state.mkdir(mode=0o700)
    for folder in (cli.folder, *cli.folder.parents[:2]):
        folder.chmod(0o755)
    config.chmod(0o644)
    program = """
import os, sys
from tailrace.cli import main
main(["status", "t.toml"])  # imports all that it needs, which nobody may read where it lies
os.setuid(65534)
sys.exit(main(["status", "t.toml"]))
"""
    command = [sys.executable, "-c", program]
    answer = subprocess.run(command, cwd=cli.folder, capture_output=True, text=True, check=False)
    assert answer.returncode == 1, answer.stderr
    assert "belongs to another user" in answer.stderr
    assert "sudo -u '#0'" in answer.stderr


def test_sighup_is_told_and_ignored(cli: Cli, config: Path, shop: str) -> None:
    with running(cli) as process:
        until(lambda: asked(cli).changes == 3)
        process.send_signal(signal.SIGHUP)
        execute(shop, "insert into orders values (4, 'four')")
        until(lambda: asked(cli).changes == 4)
        code, lines = ended(process, signal.SIGINT)
    assert code == 130
    assert any("SIGHUP is ignored" in line["event"] for line in lines)


@pytest.mark.parametrize("level", ["debug", "info"])
def test_i9_no_row_value_is_logged_when_a_row_is_refused(cli: Cli, config: Path, shop: str, level: str) -> None:
    (cli.folder / "refusing.py").write_text(
        "def refuse(change):\n    raise ValueError('cannot take ' + str(dict(change.after)))\n"
    )
    execute(shop, f"insert into orders values (4, '{SECRET}')")
    config.write_text(
        config.read_text() + '\n[[pipeline.orders.transform]]\nkind = "map_changes"\nfunction = "refusing:refuse"\n'
    )
    done = cli.run("run", "t.toml", "--until-current", "--log-format", "json", "--log-level", level)
    assert done.code in {1, 5}, done.err
    lines = [json.loads(line) for line in done.err.splitlines()]
    assert lines[-1]["pipeline"] == "orders"
    assert lines[-1]["exit_code"] == done.code
    assert SECRET not in done.err


def test_names_choose_what_is_run_and_shown(cli: Cli, config: Path) -> None:
    config.write_text(
        config.read_text() + '\n[pipeline.other]\nsource = "postgresql://127.0.0.1:1/x"\nsink = "stdout:"\n'
    )
    assert cli.run("run", "t.toml", "orders", "--until-current").code == 0
    assert cli.run("run", "t.toml", "orders", "another").code == 2
    shown = json.loads(cli.run("status", "t.toml", "other", "--json").out)
    assert [pipeline["name"] for pipeline in shown] == ["other"]
    assert cli.run("status", "t.toml", "another").code == 2


def test_traces_are_sent_by_otlp(cli: Cli, config: Path, shop: str) -> None:
    execute(shop, f"insert into orders values (4, '{SECRET}')")
    spans = bytearray()

    class Collector(Answering):
        """Takes spans as a collector does."""

        def do_POST(self) -> None:
            spans.extend(self.body())
            self.answer(200)

    with serving(collector := ThreadingHTTPServer(("127.0.0.1", 0), Collector)):
        endpoint = f"http://127.0.0.1:{collector.server_address[1]}"
        done = cli.run(
            "run", "t.toml", "--until-current", "--traces",
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_EXPORTER_OTLP_COMPRESSION="none",
        )  # fmt: skip
    assert done.code == 0, done.err
    for name in (b"tailrace.batch", b"tailrace.write", b"tailrace.save", b"public.orders"):
        assert name in spans
    assert SECRET.encode() not in spans  # a short note is in their random numbers now and then
