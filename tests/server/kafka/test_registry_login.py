"""A schema registry behind a private authority's TLS and a login, through the Kafka sink and back by the source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from servers import registry as servers_registry
from servers.certificate import Authority
from servers.kafka import Broker
from tailrace import DeadLetterFile
from tailrace.dead_letters.journal import read_all
from tailrace.error import Fatal
from tailrace.source.kafka import Kafka, SchemaRegistry
from tests.server import gate as gates
from tests.server.kafka.test_registry import ROW, Seen, read, write
from tests.server.sink.kafka import topics

BASIC, TOKEN = {"basic_auth_user_info": "me:s3cret"}, {"bearer_auth_token": "t0ken"}


@dataclass(frozen=True, slots=True)
class Road:
    """From the sink through a topic to the source, and the gate that both pass on their way to the registry."""

    gate: gates.Gate
    broker: Broker
    topic: str
    folder: Path
    trusting: dict[str, str]
    """The options without which nobody passes, whatever the login is."""

    @property
    def letters(self) -> Path:
        """Where the source's dead letters go, which are none: what refuses us says nothing of a record."""
        return self.folder / "dead.jsonl"

    def write(self, told: dict[str, str]) -> None:
        """Three changes of a row in Avro."""
        url = {"schema_registry_url": self.gate.url}
        write(self.broker, self.topic, **{"key_converter": "avro", "value_converter": "avro", **url, **told})

    def read(self, told: dict[str, str]) -> Seen:
        """What the group has not read yet."""
        seen: Seen = []
        registry = SchemaRegistry(**{"schema_registry_url": self.gate.url, **told})
        topic = f"{self.topic}.public.orders"
        source = Kafka(f"kafka://{self.broker.address}/{topic}", group=self.topic, registry=registry)
        read(source, self.folder, seen, dead_letters=DeadLetterFile(self.letters))
        return seen

    def refused(self, told: dict[str, str], words: str) -> str:
        """What both ends say, which is the same but for what they ask about; neither writes or passes over a record."""
        said = []
        for go in (self.write, self.read):
            before = len(topics.read(self.broker, f"{self.topic}.public.orders"))
            with pytest.raises(Fatal, match=words) as caught:
                go(told)
            assert f"schema registry {self.gate.url}" in str(caught.value)
            assert len(topics.read(self.broker, f"{self.topic}.public.orders")) == before
            assert not self.letters.exists() or read_all(self.letters) == []
            said.append(f"{caught.value} {caught.value.hint}")
        return " ".join(said)


@pytest.fixture
def road(
    request: pytest.FixtureRequest, kafka: Broker, registry: servers_registry.Server, topic: str, tmp_path: Path
) -> Iterator[Road]:
    authority = Authority(tmp_path / "authority")
    trusting = {"schema_registry_ssl_ca_location": str(authority.certificate)}
    clients = None
    if getattr(request, "param", None) == "certificate":
        clients, signed = authority.certificate, authority.issue("me")
        trusting |= {
            "schema_registry_ssl_certificate_location": str(signed.certificate),
            "schema_registry_ssl_key_location": str(signed.key),
        }
    with gates.start(registry, signed=authority.issue("localhost"), clients=clients) as gate:
        yield Road(gate, kafka, topic, tmp_path, trusting)


def changed() -> Seen:
    """What `Road.write` has written."""
    return [
        ("c", {"id": 1}, None, ROW),
        ("u", {"id": 1}, ROW, {**ROW, "note": None}),
        ("d", {"id": 1}, {**ROW, "note": None}, None),
    ]


@pytest.mark.parametrize("login", ["user", "user in the URL", "token"])
def test_avro_goes_out_and_back_where_a_login_is_asked_for(road: Road, login: str) -> None:
    road.gate.allowed = "Bearer t0ken" if login == "token" else gates.basic("me:s3cret")
    told = (
        road.trusting
        | {
            "user": BASIC,
            "user in the URL": {"schema_registry_url": road.gate.url.replace("https://", "https://me:s3cret@")},
            "token": TOKEN,
        }[login]
    )
    road.write(told)
    wrong = {name: text.replace("s3cret", "wr0ng").replace("t0ken", "wr0ng") for name, text in told.items()}
    said = road.refused(wrong, r"HTTP 401")
    assert "wr0ng" not in said
    assert "basic_auth_user_info, bearer_auth_token" in said
    assert "HTTP 401" in road.refused(road.trusting, "Unauthorized")
    assert road.read(told) == changed()


def test_a_registry_of_an_unknown_authority_is_not_told_who_we_are(road: Road, tmp_path: Path) -> None:
    road.gate.allowed = gates.basic("me:s3cret")
    told = road.trusting | BASIC
    road.write(told)
    other = Authority(tmp_path / "other")
    for ca in ({}, {"schema_registry_ssl_ca_location": str(other.certificate)}):
        said = road.refused(BASIC | ca, "its certificate is not to be trusted")
        assert "s3cret" not in said
        assert "schema_registry_ssl_ca_location" in said
    assert road.read(told) == changed()


@pytest.mark.parametrize("road", ["certificate"], indirect=True)
def test_avro_goes_out_and_back_where_a_clients_certificate_is_asked_for(road: Road, tmp_path: Path) -> None:
    road.write(road.trusting)
    ca = {"schema_registry_ssl_ca_location": road.trusting["schema_registry_ssl_ca_location"]}
    refused = "refuses our certificate"
    assert "schema_registry_ssl_certificate_location" in road.refused(ca, refused)
    stranger = Authority(tmp_path / "other").issue("me")
    shown = {
        "schema_registry_ssl_certificate_location": str(stranger.certificate),
        "schema_registry_ssl_key_location": str(stranger.key),
    }
    road.refused(ca | shown, refused)
    assert road.read(road.trusting) == changed()
