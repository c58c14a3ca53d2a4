"""What errors of a schema registry mean: which pass, and what to do about the others. Asks nothing of it."""

from __future__ import annotations

import re

from tailrace.error import Fatal, Retryable, TailraceError

__all__ = ["Denied", "translated"]

_WORDS_MAX = 500
_BUSY = {408, 425, 429}
_ALERT = re.compile(r"ALERT_\w*(?:CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED|HANDSHAKE_FAILURE)")
"""What OpenSSL calls the alerts with which a server turns a client's certificate down, or the lack of one."""


_STRANGER = "its answer is none of a schema registry's"
_ADDRESS = "schema_registry_url must be the registry's own address, as it is behind redirects, proxies and logins"


class Denied(Fatal):
    """We are not let in, do not trust the registry, or met something else: that says nothing of any record."""


def translated(error: Exception, place: str, about: str, *, missing: str) -> TailraceError | None:
    """Our error for one that the client raised while it asked `place` about a subject or an id; None for a defect.

    `missing` says what to do when there is no such thing.
    """
    from confluent_kafka.schema_registry.error import SchemaRegistryError

    if isinstance(error, SchemaRegistryError):
        return _answered(
            error.http_status_code,
            f"schema registry {place}, {about}: {str(error.error_message)[:_WORDS_MAX]}",
            missing=missing,
            numbered=_numbered(error.http_status_code, error.error_code),
        )
    if isinstance(error, ValueError | TypeError | AttributeError):  # the client met other JSON, or none
        return Denied(f"schema registry {place}, {about}: {_STRANGER}", hint=_ADDRESS)
    # The client's HTTP library goes by one of two names (httpx, httpx2), and its errors by the same in both.
    if not isinstance(error, OSError) and "TransportError" not in (kind.__name__ for kind in type(error).__mro__):
        return None
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return Denied(
            f"schema registry {place}: its certificate is not to be trusted ({error})",
            hint="schema_registry_ssl_ca_location names the PEM file of the authority that signed it",
        )
    if _ALERT.search(str(error)):
        return Denied(
            f"schema registry {place} refuses our certificate, or that there is none ({error})",
            hint="schema_registry_ssl_certificate_location and schema_registry_ssl_key_location name the PEM files of"
            " one that an authority of the registry's has signed",
        )
    return Retryable(f"schema registry {place} does not answer: {type(error).__name__}: {error}")


def _numbered(status: int, code: object) -> bool:
    """Whether `code` is one of a registry's (40403), and not what a gateway's JSON has of that name: text, 404."""
    return isinstance(code, int) and code // 100 == status


def _answered(status: int, words: str, *, missing: str, numbered: bool) -> TailraceError:
    """`numbered`: it has said its error in a registry's numbers too."""
    said = f"{words} (HTTP {status})"
    if status >= 500 or status in _BUSY:
        return Retryable(said)
    if status < 400 or (status == 404 and not numbered):
        return Denied(f"{said}; {_STRANGER}", hint=_ADDRESS)
    if status == 409:
        return Fatal(
            f"{said}; the new schema is not compatible with the subject's earlier ones",
            hint="change the table so that it is, or set the subject's compatibility in the registry to NONE",
        )
    if status in (401, 403):
        return Denied(said, hint="basic_auth_user_info, bearer_auth_token or a client certificate say who we are")
    if status == 404:
        return Fatal(said, hint=missing)
    return Fatal(said)
