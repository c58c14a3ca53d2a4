"""Claim checks in a bucket of a real object store: stored once, read as what they stand for, or refused by name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from servers import s3
from servers.kafka import Broker
from servers.process import free_port
from tailrace import Pipeline
from tailrace.config import load
from tailrace.dialect.kafka.objects import Objects, place_of
from tailrace.error import ConfigError, Fatal, Retryable, TailraceError
from tailrace.format import Format
from tailrace.model import Limits, Severity
from tailrace.sink.duckdb import DuckDB
from tailrace.sink.kafka import Kafka as Sink
from tailrace.source.kafka import Kafka
from tests.server.kafka.test_our_own import LARGE, history, tables
from tests.server.sink.kafka.topics import read
from tests.waiting import until
from tests.wanting import or_skip


@pytest.fixture(scope="module")
def running() -> Iterator[s3.Store]:
    or_skip(s3.install)
    with ExitStack() as stack:
        store = or_skip(lambda: stack.enter_context(s3.start()))
        store.make_bucket("claims")
        yield store


@pytest.fixture
def store(running: s3.Store, monkeypatch: pytest.MonkeyPatch) -> s3.Store:
    """With who we are where AWS's own tools look for it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.USER)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.PASSWORD)
    return running


def write(broker: Broker, topic: str, place: str) -> None:
    sink = Sink(f"kafka://{broker.address}", format=Format(topic_prefix=topic), create_topics=True, claim_check=place)
    writer = sink.open("w", Limits())
    try:
        writer.write(history(LARGE))
    finally:
        writer.close()


def replicate(broker: Broker, topic: str, folder: Path, place: str) -> None:
    source = Kafka(f"kafka://{broker.address}?group={topic}", topics=[f"{topic}.*"], claim_check=place)
    pipeline = Pipeline(source, DuckDB(folder / "shop.duckdb"), name="p", state_dir=folder)
    pipeline.run(until_current=True, retry=False)


def refused(act: Callable[[], None], kind: type[TailraceError], words: str) -> None:
    """That it ends so. What may pass is tried again, as a pipeline does: a server may be too busy to answer in time."""

    def ends() -> bool:
        try:
            act()
        except kind as error:
            assert kind is Retryable or re.search(words, str(error)), error
            return re.search(words, str(error)) is not None
        except Retryable:
            return False
        raise AssertionError(f"it has not ended by {words}")

    until(ends, f"for {words}")


def test_a_value_lies_in_the_bucket_once_and_is_read_as_what_it_is(
    kafka: Broker, topic: str, store: s3.Store, tmp_path: Path
) -> None:
    kafka.create_topic(f"{topic}.public.orders", max_message_bytes="4000")
    place = store.url(f"claims/{topic}")
    write(kafka, topic, place)
    [stored] = (store.folder / "claims" / topic).iterdir()
    uri, first = f"s3://claims/{topic}/{stored.name}", stored.stat().st_mtime_ns
    bucket = place_of(place)
    assert isinstance(bucket, Objects)
    assert bucket.put(stored.name, stored.read_bytes()) == uri
    assert [each.stat().st_mtime_ns for each in stored.parent.iterdir()] == [first]
    [said] = [each for each in read(kafka, f"{topic}.public.orders") if each.headers]
    assert said.headers == [("tailrace.claim_check", uri.encode())]
    size = stored.stat().st_size
    assert json.loads(said.value or b"") == {"claim_check": uri, "bytes": size, "sha256": stored.name}
    assert json.loads(stored.read_bytes())["after"] == {"id": 1, "note": LARGE}
    value = stored.read_bytes()
    for spoilt, why in [(None, "is not there"), (value[:-1], "bytes, and had"), (value[:-1] + b"!", "sha256")]:
        stored.unlink() if spoilt is None else stored.write_bytes(spoilt)
        with pytest.raises(
            Fatal, match=rf"offset 2: a claim check: its value .*s3://claims/{topic}/{stored.name}.*{why}"
        ):
            replicate(kafka, topic, tmp_path, place)
    stored.write_bytes(value)
    replicate(kafka, topic, tmp_path, place)
    assert tables(tmp_path) == {"public.orders(id, note)": [(1, LARGE)]}


@pytest.mark.parametrize("cause", ["NO_SUCH_BUCKET", "ACCESS_DENIED", "NETWORK_CONNECTION"])
def test_a_store_that_refuses_stops_both_ends_and_one_that_is_away_may_come_back(
    kafka: Broker, topic: str, store: s3.Store, tmp_path: Path, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka.create_topic(f"{topic}.public.orders", max_message_bytes="4000")
    write(kafka, topic, store.url("claims"))
    place = store.url("nowhere" if cause == "NO_SUCH_BUCKET" else f"claims/{cause}")
    if cause == "ACCESS_DENIED":
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    elif cause == "NETWORK_CONNECTION":
        place = place.replace(store.address, f"127.0.0.1:{free_port()}")
    kind: type[TailraceError] = Retryable if cause == "NETWORK_CONNECTION" else Fatal
    refused(lambda: write(kafka, topic, place), kind, rf"object store s3://.*: storing: {cause}")
    if cause != "NO_SUCH_BUCKET":  # an object that is not there is all that a reader is told of such a bucket
        refused(lambda: replicate(kafka, topic, tmp_path, place), kind, rf"object store s3://.*: reading: {cause}")
    found = Sink(f"kafka://{kafka.address}", claim_check=place).check()
    [finding] = [each for each in found if each.subject.startswith("claim_check s3://")]
    assert finding.severity is Severity.ERROR
    assert "no such bucket" in finding.message or cause in finding.message


def test_over_tls_the_store_must_show_a_certificate_of_whom_we_trust(
    kafka: Broker, topic: str, store: s3.Store, tmp_path: Path
) -> None:
    kafka.create_topic(f"{topic}.public.orders", max_message_bytes="4000")
    with s3.start(tls=True) as safe:
        safe.make_bucket("claims")
        untold = safe.url("claims/a")
        with pytest.raises(Fatal, match=r"object store s3://claims/a: storing: .*peer certificate.*not OK") as told:
            write(kafka, topic, untold)
        assert "tls_ca_file_path" in str(told.value.hint)
        place = f"{untold}&tls_ca_file_path={safe.authority}"
        write(kafka, topic, place)
        replicate(kafka, topic, tmp_path, place)
    assert tables(tmp_path) == {"public.orders(id, note)": [(1, LARGE)]}


def test_check_looks_at_the_bucket_at_both_ends(kafka: Broker, topic: str, store: s3.Store) -> None:
    kafka.create_topic(topic)
    place = store.url("claims/a")
    for checked, words in (
        (Sink(f"kafka://{kafka.address}", claim_check=place), "the bucket is there"),
        (Kafka(f"kafka://{kafka.address}/{topic}", claim_check=place), "it can be read"),
    ):
        [finding] = [each for each in checked.check() if each.subject == "claim_check s3://claims/a"]
        assert (finding.severity, finding.message) == (Severity.OK, words)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("gs://bucket/a", "neither a folder nor a bucket"),
        ("s3:///a", "neither a folder nor a bucket"),
        ("s3://key:secret@bucket/a", "names a user"),
    ],
)
def test_a_place_that_is_none_or_tells_a_secret_is_refused(place: str, words: str) -> None:
    for make in (Sink, lambda url, **given: Kafka(f"{url}/a", **given)):
        with pytest.raises(ConfigError, match=words) as refused:
            make("kafka://b:9092", claim_check=place)
        assert "secret" not in str(refused.value)


def test_a_bucket_in_a_file_is_no_folder_beside_it(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(
        '[pipeline.a]\nsource = "kafka://b:9092/t"\n[pipeline.a.sink]\nkind = "kafka"\nurl = "kafka://b:9092"\n'
        'claim_check = "s3://claims/a"\n[pipeline.b]\nsource = "kafka://b:9092/t"\n[pipeline.b.sink]\n'
        'kind = "kafka"\nurl = "kafka://b:9092"\nclaim_check = "claims"\n'
    )
    made = load(tmp_path / "a.toml").pipelines
    places = [made[name].sink.claim_check for name in ("a", "b")]  # type: ignore[attr-defined]
    assert places == ["s3://claims/a", tmp_path / "claims"]
