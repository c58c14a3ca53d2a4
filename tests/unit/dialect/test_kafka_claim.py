"""Claim checks: whoever writes to a topic can have no file read but those that the sink has stored."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tailrace.dialect.kafka.claim import fetch, said

VALUE = b"a value that no broker takes"
DIGEST = hashlib.sha256(VALUE).hexdigest()


@pytest.fixture
def claims(tmp_path: Path) -> Path:
    """A folder of values, beside a file that is none."""
    (tmp_path / "secret").write_bytes(VALUE)
    folder = tmp_path / "claims"
    folder.mkdir()
    return folder


def check(**other: Any) -> bytes:
    return json.dumps({"claim_check": "file:///nowhere", "bytes": len(VALUE), "sha256": DIGEST, **other}).encode()


def test_the_value_is_found_by_its_digest_wherever_the_message_says_that_it_lies(claims: Path) -> None:
    (claims / DIGEST).write_bytes(VALUE)
    assert fetch(said("file:///of/another/machine", nbytes=len(VALUE), digest=DIGEST), claims) == VALUE


def test_a_message_names_no_file(claims: Path) -> None:
    secret = claims.parent / "secret"
    with pytest.raises(ValueError, match="cannot be read"):
        fetch(check(claim_check=secret.as_uri()), claims)
    for name in ("../secret", str(secret), f"{DIGEST}/../../secret", DIGEST.upper(), f"{DIGEST}\n", "", None, [DIGEST]):
        with pytest.raises(ValueError, match="does not say which value"):
            fetch(check(sha256=name), claims)


def test_a_link_is_not_followed_and_a_pipe_not_waited_for(claims: Path) -> None:
    path = claims / DIGEST
    path.symlink_to(claims.parent / "secret")
    with pytest.raises(ValueError, match="cannot be read"):
        fetch(check(), claims)
    path.unlink()
    for make in (os.mkfifo, os.mkdir):
        make(path)
        with pytest.raises(ValueError, match=r"is no file|Is a directory"):
            fetch(check(), claims)
        path.rmdir() if path.is_dir() else path.unlink()


@pytest.mark.parametrize("value", [VALUE + b"!", VALUE[:-1], VALUE[:-1] + b"!"])
def test_another_value_is_not_the_one(claims: Path, value: bytes) -> None:
    (claims / DIGEST).write_bytes(value)
    with pytest.raises(ValueError, match=r"bytes, and had|sha256 is another"):
        fetch(check(), claims)


@pytest.mark.parametrize(
    "raw",
    [None, b"", b"no JSON", b"7", b"[]", b"[" * 100_000, check(bytes="28"), check(bytes=True), check(bytes=-1)],
    ids=lambda raw: None if raw is None else repr(raw[:20]),
)
def test_what_is_no_claim_check_is_refused_in_words(claims: Path, raw: bytes | None) -> None:
    with pytest.raises(ValueError, match="does not say which value"):
        fetch(raw, claims)
