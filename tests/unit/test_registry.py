"""What answers where a schema registry should be, and is none: a web server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from tailrace.error import Fatal, Retryable
from tailrace.registry import Client, Denied, Registry, SchemaKind

UP = '{"status": "UP"}'
OTHERS = ["{}", UP, '{"schema": ""}', '{"schema": {"type": "int"}}', '{"id": null}', '{"id": "7", "schema": null}']


class Gateway(SimpleHTTPRequestHandler):
    """Answers a POST with the file of that name, and all with the status that `statuses` has for its path."""

    statuses: ClassVar[dict[str, int]] = {}

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def send_response(self, code: int, message: str | None = None) -> None:
        super().send_response(self.statuses.get(self.path, code), message)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """A web server that has the files of `tmp_path`."""
    monkeypatch.setattr(Gateway, "statuses", {})
    (tmp_path / "schemas" / "ids").mkdir(parents=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Gateway, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield Registry(f"http://127.0.0.1:{server.server_address[1]}")
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def client(registry: Registry) -> Iterator[Client]:
    """Of that web server."""
    made = registry.open()
    yield made
    made.close()


@pytest.mark.parametrize("page", ["<html>Please log in</html>", "", "[]", "7", '"text"', *OTHERS])
def test_a_page_is_no_schema(client: Client, tmp_path: Path, page: str) -> None:
    (tmp_path / "schemas" / "ids" / "7").write_text(page)
    with pytest.raises(Denied, match="schema id 7: its answer is none of a schema registry's") as caught:
        client.schema(7)
    assert "schema_registry_url must be the registry's own address" in str(caught.value.hint)


def test_a_schema_is_had_once_a_registry_answers(client: Client, tmp_path: Path) -> None:
    """What stood in its place is not remembered."""
    (tmp_path / "schemas" / "ids" / "7").write_text(UP)
    with pytest.raises(Denied):
        client.schema(7)
    (tmp_path / "schemas" / "ids" / "7").write_text('{"schema": "\\"int\\""}')
    assert client.schema(7).text == '"int"'


@pytest.mark.parametrize("page", OTHERS)
def test_what_a_schema_refers_to_is_none_of_other_json(client: Client, tmp_path: Path, page: str) -> None:
    reference = '{"name": "money", "subject": "money", "version": 1}'
    (tmp_path / "schemas" / "ids" / "7").write_text(f'{{"schema": "\\"money\\"", "references": [{reference}]}}')
    (tmp_path / "subjects" / "money" / "versions").mkdir(parents=True)
    (tmp_path / "subjects" / "money" / "versions" / "1").write_text(page)
    with pytest.raises(Denied, match="schema id 7: its answer is none of a schema registry's"):
        client.schema(7)


@pytest.mark.parametrize("page", OTHERS)
@pytest.mark.parametrize(
    ("road", "options"),
    [
        ("subjects/orders/versions", {}),
        ("subjects/orders/versions/latest", {"auto_register_schemas": False, "use_latest_version": True}),
        ("subjects/orders", {"auto_register_schemas": False}),
    ],
)
def test_a_page_is_no_id(registry: Registry, tmp_path: Path, road: str, options: dict[str, bool], page: str) -> None:
    (tmp_path / road).parent.mkdir(parents=True)
    (tmp_path / road).write_text(page)
    client = replace(registry, **options).open()
    with pytest.raises(Denied, match="subject orders: its answer is none of a schema registry's"):
        client.register("orders", SchemaKind.AVRO, '"int"')
    client.close()


@pytest.mark.parametrize("page", [UP, '{"message": "Busy", "error_code": "BUSY"}', '{"error_code": null}', "Busy"])
def test_a_gateway_without_a_registry_behind_it_is_waited_for(client: Client, tmp_path: Path, page: str) -> None:
    (tmp_path / "schemas" / "ids" / "7").write_text(page)
    for status in (429, 502, 503):
        Gateway.statuses["/schemas/ids/7"] = status
        with pytest.raises(Retryable, match=rf"\(HTTP {status}\)"):
            client.schema(7)


def test_a_gateway_that_lets_nobody_in_is_told(client: Client, tmp_path: Path) -> None:
    (tmp_path / "schemas" / "ids" / "7").write_text('{"message": "Forbidden"}')
    Gateway.statuses["/schemas/ids/7"] = 403
    with pytest.raises(Denied, match=r"schema id 7: Forbidden \(HTTP 403\)"):
        client.schema(7)


@pytest.mark.parametrize("code", ["404", "null", '"40403"', "-1"])
def test_only_a_registrys_own_number_says_that_a_schema_is_unknown(client: Client, tmp_path: Path, code: str) -> None:
    Gateway.statuses["/schemas/ids/7"] = 404
    (tmp_path / "schemas" / "ids" / "7").write_text(f'{{"error_code": {code}, "message": "not here"}}')
    with pytest.raises(Denied, match=r"not here \(HTTP 404\); its answer is none"):
        client.schema(7)
    (tmp_path / "schemas" / "ids" / "7").write_text('{"error_code": 40403, "message": "not here"}')
    with pytest.raises(Fatal, match=r"not here \(HTTP 404\)") as caught:
        client.schema(7)
    assert not isinstance(caught.value, Denied)


def test_a_redirect_and_a_page_that_is_missing_say_nothing_of_a_schema(client: Client, tmp_path: Path) -> None:
    """Records are not parked for them: see `Denied`."""
    (tmp_path / "schemas" / "ids" / "7").mkdir()
    with pytest.raises(Denied, match=r"\(HTTP 301\); its answer is none"):
        client.schema(7)
    with pytest.raises(Denied, match=r"\(HTTP 404\); its answer is none"):
        client.schema(8)


def test_a_schema_of_a_type_that_is_not_read_is_named(client: Client, tmp_path: Path) -> None:
    (tmp_path / "schemas" / "ids" / "7").write_text('{"schemaType": "XML", "schema": "<x/>"}')
    with pytest.raises(Fatal, match="schema id 7 is of the type XML") as caught:
        client.schema(7)
    assert not isinstance(caught.value, Denied)
