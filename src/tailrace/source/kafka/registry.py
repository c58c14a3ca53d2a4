"""Which schema registry knows the schemas of records, in the words of the format options. Never asks it anything."""

from __future__ import annotations

from dataclasses import dataclass, field

from tailrace.error import ConfigError
from tailrace.registry import Registry

__all__ = ["SchemaRegistry"]


@dataclass(frozen=True, slots=True)
class SchemaRegistry:
    """A Confluent-compatible registry; keys are those of `[format]` for whoever writes.

    `schema_registry_url` may name several with commas between. Login by `basic_auth_user_info` (`user:password`, unless
    the URL holds them) or by `bearer_auth_token`. Files are PEM.
    """

    schema_registry_url: str = field(repr=False)
    basic_auth_user_info: str | None = field(default=None, repr=False)
    bearer_auth_token: str | None = field(default=None, repr=False)
    schema_registry_ssl_ca_location: str | None = None
    schema_registry_ssl_certificate_location: str | None = None
    schema_registry_ssl_key_location: str | None = None
    schema_registry_ssl_key_password: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.schema_registry_url:
            raise ConfigError("schema_registry_url is empty", hint='schema_registry_url = "http://registry:8081"')

    def settings(self) -> Registry:
        """The same for a client."""
        return Registry(
            self.schema_registry_url,
            basic_auth_user_info=self.basic_auth_user_info,
            bearer_auth_token=self.bearer_auth_token,
            ssl_ca_location=self.schema_registry_ssl_ca_location,
            ssl_certificate_location=self.schema_registry_ssl_certificate_location,
            ssl_key_location=self.schema_registry_ssl_key_location,
            ssl_key_password=self.schema_registry_ssl_key_password,
        )
