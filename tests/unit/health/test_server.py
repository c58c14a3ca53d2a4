"""Health and metrics over HTTP, of pipelines that are well, stuck, silent, dead, done."""

import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tailrace.checkpoint import Memory
from tailrace.error import ConfigError, Fatal, Retryable
from tailrace.health import Address, HealthServer
from tailrace.health.metrics import METRICS
from tailrace.model import Limits
from tailrace.pipeline import Pipeline
from tailrace.supervisor import Supervisor
from tailrace.testing.fake import ListSink, Log, LogSource, Target
from tests.unit.health.asking import get, verdict
from tests.waiting import until

HERE = Address("127.0.0.1", 0)
STALLED_S = 1.5
Serve = Callable[..., tuple[HealthServer, Supervisor]]


def make(name: str, log: Log, target: Target) -> Pipeline:
    limits = Limits(stop_timeout_s=60, backoff_s_max=0.2)
    return Pipeline(LogSource(log), ListSink(target), name=name, checkpoint=Memory(), state_dir=None, limits=limits)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Runs pipelines and tells of them until the test ends."""
    with ExitStack() as stack:

        def start(*pipelines: Pipeline, stalled_s: float = STALLED_S) -> tuple[HealthServer, Supervisor]:
            supervisor = Supervisor(pipelines)
            server = HealthServer(HERE, pipelines, stalled_s=stalled_s)
            stack.callback(supervisor.wait)
            stack.callback(supervisor.stop)
            stack.callback(server.close)
            supervisor.start()
            return server, supervisor

        yield start


def test_an_idle_source_is_healthy_and_stays_so(serve: Serve) -> None:
    log, target = Log(), Target()
    server, supervisor = serve(make("p", log, target))
    log.insert(1)
    target.wait(1)
    [status] = supervisor.status()
    written_at = status.progressed_at
    assert written_at is not None
    until(lambda: (supervisor.status()[0].progressed_at or 0) > written_at + 2 * STALLED_S, "while nothing is written")
    well = {"p": {"healthy": True, "ready": True, "state": "streaming", "reason": "caught up"}}
    until(lambda: verdict(server) == (200, well))
    until(lambda: [(each.lag_s, each.lag_bytes) for each in supervisor.status()] == [(0.0, 0)])


def test_a_stuck_sink_is_ill_after_a_while_and_well_again_when_it_goes_on(serve: Serve) -> None:
    log, target = Log(), Target()
    pipeline = make("p", log, target)
    server, supervisor = serve(pipeline)
    log.insert(1)
    target.wait(1)
    target.gate.clear()
    log.insert(2)
    target.wait_for(lambda: target.offers == 2)
    with closing(HealthServer(HERE, [pipeline], stalled_s=600)) as patient:
        assert verdict(patient)[0] == 200, "that it takes a moment is no illness"
    until(lambda: verdict(server)[0] == 503)
    told = verdict(server)[1]["p"]
    assert told["reason"].startswith("no progress for")
    assert "list" in told["reason"]
    [status] = supervisor.status()
    assert status.lag_s is not None and status.lag_s >= STALLED_S
    assert verdict(server, "/readyz")[0] == 200, "ready is another question"
    target.gate.set()
    until(lambda: verdict(server)[0] == 200)


def test_a_sink_that_takes_nothing_and_says_so_is_ill_for_all_its_restarts(serve: Serve) -> None:
    log, target = Log(), Target()
    log.insert(1)
    target.fail(*[Retryable("the target is down")] * 100_000)
    server, _ = serve(make("p", log, target))
    until(lambda: verdict(server)[0] == 503)
    assert "no progress for" in verdict(server)[1]["p"]["reason"]


def test_a_source_that_is_silent_is_ill(serve: Serve) -> None:
    server, supervisor = serve(make("p", log := _Deaf(), Target()))
    until(lambda: log.heard)
    until(lambda: verdict(server)[0] == 503)
    until(lambda: supervisor.status()[0].lag_s is None, "what was measured is too old to be told")
    assert "has not come back" in supervisor.status()[0].reason
    log.gate.set()


class _Deaf(Log):
    """A log whose streams do not come back from `read`."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.heard = 0

    def next(self, index: int, bound: int | None, timeout_s: float) -> None:
        self.heard += 1
        self.gate.wait()


def test_a_dead_pipeline_is_ill_at_once_and_the_others_are_told_beside_it(serve: Serve) -> None:
    good, bad, target = Log(), Log(), Target()
    bad.fail(Fatal("the slot is gone"))
    server, supervisor = serve(make("good", good, target), make("bad", bad, Target()), stalled_s=600)
    until(lambda: "bad" in supervisor.outcomes)
    code, told = verdict(server)
    assert code == 503
    assert told["bad"] == {"healthy": False, "ready": False, "state": "failed", "reason": "failed: the slot is gone"}
    assert told["good"]["healthy"]


def test_a_source_that_cannot_be_opened_is_neither_ready_nor_well_until_it_can(serve: Serve) -> None:
    log, target = Log(), Target()
    source = _Shut(log)
    limits = Limits(backoff_s_max=0.1, stop_timeout_s=60)
    shut = Pipeline(source, ListSink(target), name="p", checkpoint=Memory(), state_dir=None, limits=limits)  # type: ignore[arg-type]
    server, _ = serve(shut)
    until(lambda: shut.status().restarts > 1)
    assert verdict(server, "/readyz")[0] == 503
    until(lambda: verdict(server)[0] == 503)
    assert verdict(server)[1]["p"]["reason"].endswith(": no server")
    source.shut = False
    until(lambda: verdict(server, "/readyz")[0] == 200)
    until(lambda: verdict(server)[0] == 200)


def test_a_pipeline_that_has_ended_as_wanted_is_ready_and_well(serve: Serve) -> None:
    log, target = Log(), Target()
    pipeline = make("p", log, target)
    server, supervisor = serve(pipeline, stalled_s=0.01)
    supervisor.stop()
    supervisor.wait()
    assert (verdict(server, "/readyz")[0], verdict(server)[0]) == (200, 200)
    server.close()
    server.close()


class _Shut:
    """A source that cannot be opened while `shut`."""

    kind = "shut"

    def __init__(self, log: Log) -> None:
        self.shut = True
        self._source = LogSource(log)

    def open(self, *arguments: object, **named: object) -> object:
        if self.shut:
            raise Retryable("no server")
        return self._source.open(*arguments, **named)  # type: ignore[arg-type]


def test_metrics_are_prometheus_own_text_and_keep_to_its_conventions(serve: Serve) -> None:
    log, target = Log(), Target()
    server, _ = serve(make("a", log, target), make("b", Log(), Target()))
    log.insert(1)
    target.wait(1)

    def scrape() -> dict[str, dict[str, float]]:
        families = text_string_to_metric_families(get(server, "/metrics")[1])
        samples = [sample for family in families for sample in family.samples if "pipeline" in sample.labels]
        assert all(sample.labels.keys() == {"pipeline"} for sample in samples)
        found: dict[str, dict[str, float]] = {}
        for sample in samples:
            found.setdefault(sample.name, {})[sample.labels["pipeline"]] = sample.value
        return found

    until(lambda: scrape()["tailrace_changes_total"] == {"a": 1, "b": 0})
    until(lambda: scrape().get("tailrace_lag_seconds") == {"a": 0, "b": 0})
    until(lambda: scrape()["tailrace_healthy"] == {"a": 1, "b": 1})
    found = scrape()
    assert found["tailrace_caught_up_timestamp_seconds"]["a"] > 0
    assert "tailrace_retained_bytes" not in found, "a source that does not know what it keeps"
    families = {family.name: family for family in text_string_to_metric_families(get(server, "/metrics")[1])}
    assert "process_resident_memory_bytes" in families
    for _, name, told, _ in METRICS:
        family = families[name.removesuffix("_total")]
        assert family.documentation == told and told.endswith(".")
        assert family.type == ("counter" if name.endswith("_total") else "gauge")


def test_a_port_that_is_taken_is_a_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen at 127.0.0.1:{port}: Address already in use"):
            HealthServer(Address("127.0.0.1", port), [], stalled_s=1)


def test_other_paths_and_other_methods_are_refused(serve: Serve) -> None:
    server, _ = serve(make("p", Log(), Target()), stalled_s=600)
    assert get(server, "/")[0] == 404
    assert get(server, "/metrics/../etc/passwd")[0] == 404
    client = http.client.HTTPConnection(server.address.host, server.address.port, timeout=60)
    client.request("POST", "/healthz", b"x")
    assert client.getresponse().status == 501
    client.request("HEAD", "/healthz")
    reply = client.getresponse()
    assert (reply.status, reply.read()) == (200, b"")
    client.close()


def test_i8_idle_clients_do_not_keep_probes_out_for_ever(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailrace.health.server._Handler.timeout", 0.5)
    server, _ = serve(make("p", Log(), Target()))
    idle = [socket.create_connection((server.address.host, server.address.port)) for _ in range(40)]
    try:
        until(lambda: _answers(server))
    finally:
        for client in idle:
            client.close()


def _answers(server: HealthServer) -> bool:
    try:
        return get(server, "/healthz")[0] == 200
    except OSError:
        return False


def test_beyond_this_machine_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    HealthServer(Address("0.0.0.0", 0), [], stalled_s=1).close()
    assert "asks nobody who he is" in caplog.text
    caplog.clear()
    HealthServer(HERE, [], stalled_s=1).close()
    assert "asks nobody" not in caplog.text
