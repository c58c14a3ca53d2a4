"""A Confluent-compatible schema registry: register a schema, look one up by its id. Never knows an encoding.

The client is confluent-kafka's; this is all that Tailrace asks of it, with its errors in ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from tailrace.error import ConfigError, Fatal
from tailrace.registry.fault import Denied, translated

if TYPE_CHECKING:
    from confluent_kafka.schema_registry import SchemaRegistryClient

__all__ = ["Client", "Denied", "Registered", "Registry", "SchemaKind"]

_TIMEOUT_S = 10
T = TypeVar("T")


class SchemaKind(StrEnum):
    """What a schema's text is, in the registry's own words."""

    AVRO = "AVRO"
    JSON = "JSON"
    PROTOBUF = "PROTOBUF"


@dataclass(frozen=True, slots=True)
class Registered:
    """A schema as the registry holds it."""

    kind: SchemaKind
    text: str
    references: tuple[tuple[str, str], ...] = ()
    """What it refers to: the name that it calls each by, and that one's text, those first that others refer to."""


@dataclass(frozen=True, slots=True)
class Registry:
    """Where a registry is, who we are there, and what may be done. Fields are Confluent's options."""

    url: str
    """`schema.registry.url`; several with commas between are tried in turn."""
    basic_auth_user_info: str | None = field(default=None, repr=False)
    """`user:password`, unless the URL holds them."""
    bearer_auth_token: str | None = field(default=None, repr=False)
    ssl_ca_location: str | None = None
    """PEM file of what signs the registry's certificate; what certifi trusts if not set."""
    ssl_certificate_location: str | None = None
    ssl_key_location: str | None = None
    ssl_key_password: str | None = field(default=None, repr=False)
    auto_register_schemas: bool = True
    """Whether a schema that the subject lacks is registered; if not, it is an error."""
    use_latest_version: bool = False
    """Without auto registration: the subject's newest schema is taken for ours, whatever it is."""
    normalize_schemas: bool = False

    @property
    def place(self) -> str:
        """The URL without what is secret."""
        return ",".join(_bare(url.strip()) for url in self.url.split(","))

    def open(self) -> Client:
        """A client; `ConfigError` when an option is not possible or the extra `registry` is not installed.

        Nothing is asked of the registry yet.
        """
        try:
            from confluent_kafka.schema_registry import SchemaRegistryClient
        except ImportError as missing:
            raise ConfigError(
                f"a schema registry needs an extra: {missing}", hint="pip install 'tailrace[registry]'"
            ) from None
        try:
            return Client(self, SchemaRegistryClient(self._properties()))
        except (ValueError, OSError) as error:
            # Neither type of error holds the options' values, but for the password of a key, which OpenSSL never tells.
            raise ConfigError(f"schema registry {self.place}: {error}") from None

    def _properties(self) -> dict[str, object]:
        given: dict[str, object | None] = {
            "url": self.url,
            "basic.auth.user.info": self.basic_auth_user_info,
            "ssl.ca.location": self.ssl_ca_location,
            "ssl.certificate.location": self.ssl_certificate_location,
            "ssl.key.location": self.ssl_key_location,
            "ssl.key.password": self.ssl_key_password,
            "timeout": _TIMEOUT_S,
            "max.retries": 0,  # the pipeline retries, and says so
        }
        if self.bearer_auth_token is not None:
            given["bearer.auth.credentials.source"] = "STATIC_TOKEN"
            given["bearer.auth.token"] = self.bearer_auth_token
            # The client insists on both, which only Confluent's cloud reads.
            given["bearer.auth.logical.cluster"] = given["bearer.auth.identity.pool.id"] = ""
        return {name: value for name, value in given.items() if value is not None}


class Client:
    """A connection to a registry; remembers what it was told. Not safe for use by several threads."""

    def __init__(self, settings: Registry, client: SchemaRegistryClient) -> None:
        self._settings = settings
        self._client = client
        self._ids: dict[tuple[str, SchemaKind, str], int] = {}
        self._schemas: dict[int, Registered] = {}

    def register(self, subject: str, kind: SchemaKind, text: str) -> int:
        """The id of the schema under `subject`, registered now if it is new and that is allowed.

        `Retryable` when the registry does not answer, `Fatal` with subject and reason when it refuses.
        """
        known = self._ids.get((subject, kind, text))
        if known is None:
            known = self._asked(
                f"subject {subject}",
                lambda: self._id(subject, kind, text),
                missing="auto_register_schemas = true registers what a subject lacks",
            )
            self._ids[subject, kind, text] = known
        return known

    def schema(self, schema_id: int) -> Registered:
        """The schema of this id, with all that it refers to. Errors as of `register`."""
        known = self._schemas.get(schema_id)
        if known is None:
            known = self._asked(
                f"schema id {schema_id}",
                lambda: self._fetched(schema_id),
                missing="schema_registry_url must lead to the registry that the writer of these records used",
            )
            self._schemas[schema_id] = known
        return known

    def close(self) -> None:
        """Idempotent."""
        self._client.close()

    def _id(self, subject: str, kind: SchemaKind, text: str) -> int:
        from confluent_kafka.schema_registry import Schema

        schema, normalize = Schema(text, kind.value), self._settings.normalize_schemas
        if self._settings.auto_register_schemas:
            return _given(self._client.register_schema(subject, schema, normalize))
        if self._settings.use_latest_version:
            return _given(self._client.get_latest_version(subject).schema_id)
        return _given(self._client.lookup_schema(subject, schema, normalize).schema_id)

    def _fetched(self, schema_id: int) -> Registered:
        schema = self._client.get_schema(schema_id)
        text = _text(schema.schema_str)
        references: dict[str, str] = {}
        pending = list(schema.references or ())
        while pending:
            reference = pending.pop()
            if reference.name is None or reference.name in references:
                continue
            found = self._client.get_version(reference.subject or "", reference.version or 1).schema
            references[reference.name] = _text(found.schema_str)
            pending.extend(found.references or ())
        kind = schema.schema_type or SchemaKind.AVRO
        if kind not in set(SchemaKind):
            raise Fatal(f"schema id {schema_id} is of the type {kind}", hint=f"{', '.join(SchemaKind)} are read")
        return Registered(SchemaKind(kind), text, tuple(reversed(references.items())))

    def _asked(self, about: str, ask: Callable[[], T], *, missing: str) -> T:
        try:
            return ask()
        except Exception as error:
            known = translated(error, self._settings.place, about, missing=missing)
            if known is None:
                raise
            if isinstance(known, Denied):
                # It remembers what it was answered, by others than registries too.
                self._client.clear_caches()  # type: ignore[no-untyped-call]
            raise known from None


def _given(schema_id: object) -> int:
    if not isinstance(schema_id, int):
        raise ValueError("the registry's answer holds no id")
    return schema_id


def _text(schema: object) -> str:
    if not isinstance(schema, str) or not schema:
        raise ValueError("the registry's answer holds no schema")
    return schema


def _bare(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
