"""Where a Kafka cluster is and how to log in, as librdkafka wants to hear it. Never connects, imports no client."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from tailrace.error import ConfigError

__all__ = ["PRODUCING", "Address", "Mechanism", "Security", "parse"]

Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]
PRODUCING = frozenset(
    {
        "bootstrap.servers",
        "enable.idempotence",
        "acks",
        "transactional.id",
        "transaction.timeout.ms",
        "partitioner",
        # A record that is given up alone is overtaken by later ones of its key.
        "message.timeout.ms",
        "message.send.max.retries",
        "queuing.strategy",
        "default.topic.config",
    }
)
"""Settings of a producer that promises hang on: their values are ours. The last one could hold others of them."""
_EXAMPLE = "kafka://broker:9092,other:9092"
_MECHANISMS = {"sasl.mechanism", "sasl.mechanisms"}
_OTHER_NAMES = {
    "delivery.timeout.ms": "message.timeout.ms",
    "metadata.broker.list": "bootstrap.servers",
    "request.required.acks": "acks",
    "retries": "message.send.max.retries",
}
"""By which librdkafka knows a setting too (CONFIGURATION.md, "Alias for")."""
_HOW = (
    'say mechanism = "SCRAM-SHA-512" in security, or '
    "?security.protocol=SASL_SSL&sasl.mechanism=SCRAM-SHA-512 in the URL (SASL_PLAINTEXT where there is no TLS)"
)


@dataclass(frozen=True, slots=True)
class Security:
    """How to reach the brokers: TLS with `ca` (default: the system's) and a client's `certificate` and `key`; SASL.

    OAUTHBEARER takes its parameters from the client's own options (`sasl.oauthbearer.…`).
    """

    tls: bool = False
    ca: str | Path | None = None
    certificate: str | Path | None = None
    key: str | Path | None = None
    mechanism: Mechanism | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def settings(self) -> dict[str, str]:
        """The same in librdkafka's words."""
        protocol = ("SASL_SSL" if self.tls else "SASL_PLAINTEXT") if self.mechanism else "SSL" if self.tls else None
        named = {
            "security.protocol": protocol,
            "ssl.ca.location": self.ca,
            "ssl.certificate.location": self.certificate,
            "ssl.key.location": self.key,
            "sasl.mechanism": self.mechanism,
            "sasl.username": self.username,
            "sasl.password": self.password,
        }
        return {name: str(value) for name, value in named.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Address:
    """What a `kafka://` URL says: the brokers to ask first, what follows them, and the query."""

    servers: str
    path: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def refuse_own(self, options: Mapping[str, str], own: Collection[str]) -> None:
        """`ConfigError` when the query or `options` have one of the settings `own`, by any of its names: promises hang
        on what Tailrace sets there."""
        for name in {**self.query, **options}:
            if _OTHER_NAMES.get(name, name) in own:
                raise ConfigError(f"the option {name!r} is Tailrace's own", hint="leave it out")

    def require_mechanism(self, security: Security, options: Mapping[str, str]) -> None:
        """`ConfigError` when the user that the URL names would not be logged in, for want of a mechanism or protocol.

        librdkafka's own settings may name both, in the query or in `options`; without a protocol it does not log in.
        """
        given = {**self.query, **options}
        if security.mechanism is not None or self.username is None:
            return
        if not _MECHANISMS & given.keys():
            raise ConfigError("the URL has a user, and no mechanism is given", hint=_HOW)
        if "security.protocol" not in given:
            raise ConfigError("the URL has a user and a mechanism, and no protocol is given", hint=_HOW)


def parse(url: str) -> Address:
    """Read `kafka://[user:password@]host:port[,host:port…][/path][?name=value]`; `ConfigError` when it is not one."""
    try:
        parts = urlsplit(url)
    except ValueError:  # of a host in brackets
        raise ConfigError("this is not a Kafka URL", hint=f"for example {_EXAMPLE}") from None
    login, _, servers = parts.netloc.rpartition("@")
    if parts.scheme != "kafka" or not servers:
        raise ConfigError("this is not a Kafka URL", hint=f"for example {_EXAMPLE}")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    # A password with one of these ends the host's part, and what stands there must not be shown.
    cut = parts.fragment or "@" in parts.path or any("@" in name for name in query)
    if cut or not all(map(_is_server, servers.split(","))):
        raise ConfigError(
            "the URL names a broker without a port",
            hint=f"for example {_EXAMPLE}; in a password / is written %2F, ? %3F, # %23 and @ %40",
        )
    user, _, password = login.partition(":")
    return Address(
        servers,
        unquote(parts.path.removeprefix("/")),
        query,
        unquote(user) or None,
        unquote(password) or None,
    )


def _is_server(server: str) -> bool:
    host, colon, port = server.rpartition(":")
    return bool(host and colon and port.isdecimal())
