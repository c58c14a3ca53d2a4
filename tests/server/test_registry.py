"""The seam to a schema registry against a real one: what is registered, and what each kind of refusal becomes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient

from servers import registry as servers_registry
from servers.process import free_port
from tailrace.error import ConfigError, Fatal, Retryable
from tailrace.registry import Client, Registered, Registry, SchemaKind
from tests.server import gate as gates
from tests.server.gate import Gate

AVRO = SchemaKind.AVRO


def record(*fields: str, default: object = ...) -> str:
    members = [{"name": name, "type": "int"} | ({} if default is ... else {"default": default}) for name in fields]
    return json.dumps({"type": "record", "name": "Row", "fields": members}, separators=(",", ":"))


@pytest.fixture
def subject() -> str:
    return f"{uuid.uuid4().hex}-value"


@pytest.fixture
def client(registry: servers_registry.Server) -> Iterator[Client]:
    opened = Registry(registry.url).open()
    yield opened
    opened.close()


def test_a_schema_is_registered_once_and_found_by_its_id(client: Client, subject: str) -> None:
    found = client.register(subject, AVRO, record("a"))
    assert client.register(subject, AVRO, record("a")) == found
    assert client.register(f"other-{subject}", AVRO, record("a")) == found
    assert client.schema(found) == Registered(AVRO, record("a"))


def test_a_new_version_gets_an_id_of_its_own(client: Client, subject: str) -> None:
    first = client.register(subject, AVRO, record("a"))
    assert client.register(subject, AVRO, record("a", "b", default=0)) != first


def test_an_incompatible_schema_is_fatal_and_names_subject_and_reason(
    registry: servers_registry.Server, client: Client, subject: str
) -> None:
    client.register(subject, AVRO, record("a"))
    SchemaRegistryClient({"url": registry.url}).set_compatibility(subject, "BACKWARD")
    with pytest.raises(Fatal, match=rf"{subject}.*ncompatible") as refused:
        client.register(subject, AVRO, record("b"))
    assert "compatibility" in str(refused.value.hint)


def test_what_is_no_schema_is_fatal(client: Client, subject: str) -> None:
    with pytest.raises(Fatal, match=subject):
        client.register(subject, AVRO, '{"type":"nothing"}')


def test_an_unknown_id_is_fatal(client: Client) -> None:
    with pytest.raises(Fatal, match="schema id 987654"):
        client.schema(987654)


def test_without_auto_registration_a_schema_must_be_there(
    registry: servers_registry.Server, client: Client, subject: str
) -> None:
    strict = Registry(registry.url, auto_register_schemas=False).open()
    with pytest.raises(Fatal, match=subject) as refused:
        strict.register(subject, AVRO, record("a"))
    assert "auto_register_schemas" in str(refused.value.hint)
    found = client.register(subject, AVRO, record("a"))
    assert strict.register(subject, AVRO, record("a")) == found
    with pytest.raises(Fatal, match=subject):
        strict.register(subject, AVRO, record("a", "b", default=0))
    strict.close()


def test_the_latest_version_is_taken_when_told(registry: servers_registry.Server, client: Client, subject: str) -> None:
    client.register(subject, AVRO, record("a"))
    latest = client.register(subject, AVRO, record("a", "b", default=0))
    lenient = Registry(registry.url, auto_register_schemas=False, use_latest_version=True).open()
    assert lenient.register(subject, AVRO, record("a")) == latest
    lenient.close()


def test_a_registry_that_is_down_is_retried() -> None:
    client = Registry(f"http://user:secret@127.0.0.1:{free_port()}").open()
    with pytest.raises(Retryable, match="does not answer") as down:
        client.register("s", AVRO, record("a"))
    assert "secret" not in str(down.value)
    client.close()


def test_tls_is_verified(registry: servers_registry.Server, subject: str) -> None:
    trusting = Registry(registry.tls_url, ssl_ca_location=str(registry.authority)).open()
    found = trusting.register(subject, AVRO, record("a"))
    assert trusting.schema(found).text == record("a")
    trusting.close()
    stranger = Registry(registry.tls_url).open()
    with pytest.raises(Fatal, match="certificate") as refused:
        stranger.register(subject, AVRO, record("a"))
    assert "ssl_ca_location" in str(refused.value.hint)
    stranger.close()
    with pytest.raises(ConfigError, match="schema registry"):
        Registry(registry.tls_url, ssl_ca_location="/nothing.pem").open()


@pytest.fixture
def gate(registry: servers_registry.Server) -> Iterator[Gate]:
    with gates.start(registry) as opened:
        yield opened


@pytest.mark.parametrize("way", ["options", "url", "token"])
def test_a_login_is_shown_and_a_wrong_one_is_fatal(gate: Gate, way: str, subject: str) -> None:
    gate.allowed = "Bearer t0ken" if way == "token" else gates.basic("me:s3cret")
    settings = {
        "options": Registry(gate.url, basic_auth_user_info="me:s3cret"),
        "url": Registry(gate.url.replace("http://", "http://me:s3cret@")),
        "token": Registry(gate.url, bearer_auth_token="t0ken"),
    }[way]
    assert "s3cret" not in repr(replace(settings, url=settings.place)) and "t0ken" not in repr(settings)
    client = settings.open()
    assert client.register(subject, AVRO, record("a"))
    client.close()
    gate.allowed = "Basic other"
    client = settings.open()
    with pytest.raises(Fatal, match="401") as refused:
        client.register(subject, AVRO, record("a"))
    assert "s3cret" not in str(refused.value)
    client.close()
