"""Login at Kafka with tokens of an endpoint (OIDC's client credentials), at the sink and the source. The broker takes
only those that an issuer has signed, whose public key it asks for."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from servers import kafka as server
from servers import token
from servers.process import free_port
from tailrace.dialect.kafka import client
from tailrace.dialect.kafka.address import Security
from tailrace.error import Fatal, Retryable
from tailrace.format import Format
from tailrace.model import Limits
from tailrace.sink.kafka import Kafka as KafkaSink
from tailrace.source.kafka import Kafka
from tests.server.kafka.filling import fill
from tests.server.kafka.test_certificate import allow, run, write
from tests.server.kafka.test_registry import batch
from tests.server.sink.kafka.topics import read
from tests.serving import Answering, serving
from tests.waiting import until

CLIENT, SECRET = "tailrace", "s3cret"


@dataclass
class Endpoint:
    """Gives tokens to the client that shows its secret. They say who it is, for so long, and for whom they are."""

    url: str
    claims: dict[str, object]
    sign: Callable[[Mapping[str, object]], str]
    lasts_s: float = 3600.0
    status: int = 200
    """With another one it gives none."""
    scopes: list[str] = field(default_factory=list)
    """Of the tokens that it gave."""

    def token(self) -> str:
        now = time.time()
        return self.sign({"iat": now, "exp": now + self.lasts_s, **self.claims})


@contextmanager
def endpoint(road: Road) -> Iterator[Endpoint]:
    class Handler(Answering):
        def do_POST(self) -> None:
            form = parse_qs(self.body().decode())
            if made.status != 200:
                self.answer(made.status, b"no tokens")
                return
            login = f"Basic {base64.b64encode(f'{CLIENT}:{SECRET}'.encode()).decode()}"
            if self.headers.get("authorization") != login or form.get("grant_type") != ["client_credentials"]:
                refused = {"error": "invalid_client", "error_description": "no such client"}
                self.answer(401, json.dumps(refused).encode())
                return
            made.scopes += form.get("scope", [""])
            given = {"access_token": made.token(), "token_type": "Bearer", "expires_in": made.lasts_s}
            self.answer(200, json.dumps(given).encode())

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    claims: dict[str, object] = {"sub": road.topic, "iss": road.secure.issuer.name, "aud": server.AUDIENCE}
    made = Endpoint(f"http://127.0.0.1:{http.server_port}/token", claims, road.secure.issuer.sign)
    with serving(http):
        yield made


def options(url: str, *, secret: str = SECRET) -> dict[str, str]:
    return {
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.client.id": CLIENT,
        "sasl.oauthbearer.client.secret": secret,
        "sasl.oauthbearer.scope": "topics",
        "sasl.oauthbearer.token.endpoint.url": url,
    }


@dataclass(frozen=True, slots=True)
class Road:
    """A topic that is written and read as whom the tokens of an endpoint tell."""

    broker: server.Broker
    topic: str
    folder: Path

    def source(self, options: dict[str, str]) -> Kafka:
        url, security = self._reached()
        return Kafka(f"{url}/{self.topic}?group={self.topic}", security=security, options=options)

    def sink(self, options: dict[str, str]) -> KafkaSink:
        url, security = self._reached()
        return KafkaSink(url, format=Format(topic_prefix=self.topic), security=security, options=options)

    @property
    def secure(self) -> server.Secure:
        """Of the broker."""
        assert self.broker.secure is not None
        return self.broker.secure

    def _reached(self) -> tuple[str, Security]:
        return f"kafka://{self.secure.signed}", Security(tls=True, ca=self.secure.authority, mechanism="OAUTHBEARER")


@pytest.fixture
def road(secure_kafka: server.Broker, topic: str, tmp_path: Path) -> Road:
    names = [secure_kafka.create_topic(f"{topic}.public.orders"), secure_kafka.create_topic(topic)]
    fill(secure_kafka, topic, range(3))
    allow(secure_kafka, topic, names)
    return Road(secure_kafka, topic, tmp_path)


def test_a_token_says_who_writes_and_reads(road: Road) -> None:
    with endpoint(road) as tokens:
        source, sink = road.source(options(tokens.url)), road.sink(options(tokens.url))
        until(lambda: all(found.severity.name == "OK" for found in (*source.check(), *sink.check())), "for the ACL")
        write(sink)
        changes = [record.event["op"] for record in read(road.broker, f"{road.topic}.public.orders") if record.value]
        assert changes == ["c", "u", "d"]
        assert run(source, road.folder) == ["0", "1", "2"]
        assert set(tokens.scopes) == {"topics"}
        tokens.claims["sub"] = "nobody"
        with pytest.raises(Fatal, match="may not be seen"):
            run(source, road.folder)


def test_a_token_that_ends_is_followed_by_another_while_the_pipeline_runs(road: Road) -> None:
    with endpoint(road) as tokens:
        tokens.lasts_s = 5.0
        writer = road.sink(options(tokens.url)).open("p", Limits())
        given = len(tokens.scopes)
        try:
            until(lambda: len(tokens.scopes) > given + 2, "for two more tokens")
            writer.write(batch())
        finally:
            writer.close()
    assert len(read(road.broker, f"{road.topic}.public.orders")) == 4  # with a tombstone


@pytest.mark.parametrize("forged", ["not signed", "signed by another", "for another", "of another"])
def test_a_token_that_the_issuer_has_not_signed_for_the_broker_lets_nobody_in(road: Road, forged: str) -> None:
    with endpoint(road) as tokens, token.issuing(road.folder / "another") as another:
        if forged == "not signed":
            tokens.sign = lambda claims: f"{token.encoded({'alg': 'none'})}.{token.encoded(claims)}."
        elif forged == "signed by another":
            tokens.sign = another.sign
        elif forged == "for another":
            tokens.claims["aud"] = "another broker"
        else:
            tokens.claims["iss"] = another.name
        with pytest.raises(Fatal, match=r"connecting to Kafka: .*invalid_token"):
            road.sink(options(tokens.url)).open("p", Limits())


@pytest.mark.parametrize("end", ["sink", "source"])
def test_an_endpoint_that_refuses_us_is_fatal_and_one_that_is_away_is_waited_for(road: Road, end: str) -> None:
    def go(options: dict[str, str]) -> None:
        if end == "sink":
            road.sink(options).open("p", Limits()).close()
        else:
            run(road.source(options), road.folder)

    with endpoint(road) as tokens:
        with pytest.raises(Fatal, match="connecting to Kafka") as refused:
            go(options(tokens.url, secret="wr0ng"))
        assert "OAUTHBEARER token: " in str(refused.value) and "invalid_client" in str(refused.value)
        assert "token.endpoint.url" in str(refused.value.hint)
        assert "wr0ng" not in str(refused.value) + repr(road.sink(options(tokens.url, secret="wr0ng")))
        tokens.status = 403
        with pytest.raises(Fatal, match=r"connecting to Kafka: .*OAUTHBEARER token: no tokens"):
            go(options(tokens.url))
    port = free_port()
    with pytest.raises(Retryable, match=rf"OAUTHBEARER token: .*{port}"):
        go(options(f"http://127.0.0.1:{port}/token"))


@pytest.mark.parametrize(
    ("status", "words"),
    [(503, "no Kafka broker answered"), (507, "OAUTHBEARER token: no tokens (HTTP status 507)")],
    ids=["asked again by the client", "told at once"],
)
def test_an_endpoint_that_has_no_token_now_is_waited_for_and_named(road: Road, status: int, words: str) -> None:
    """The client says nothing for a minute of an answer that it takes for a moment's."""
    with endpoint(road) as tokens:
        tokens.status, told = status, client.Told()
        waiting = client.producer(road.sink(options(tokens.url)).producing("p"), told)

        def heard() -> bool:
            waiting.poll(0.1)
            return told.last is not None

        if status == 507:
            until(heard, "for the endpoint's answer")
        with pytest.raises(Retryable) as raised:
            client.reach(waiting, told, timeout_s=2.0)
        waiting.close()
    assert str(raised.value.args[0]).endswith(words)
    assert "sasl.oauthbearer.token.endpoint.url" in str(raised.value.hint)
