"""What answers where a schema registry should be, and is none: a web server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tailrace.error import Fatal
from tailrace.registry import Client, Denied, Registry


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """Of a web server that has the files of `tmp_path`."""
    (tmp_path / "schemas" / "ids").mkdir(parents=True)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        made = Registry(f"http://127.0.0.1:{server.server_address[1]}").open()
        try:
            yield made
        finally:
            made.close()
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("page", ["<html>Please log in</html>", "", "[]", "7", '"text"'])
def test_a_page_is_no_schema(client: Client, tmp_path: Path, page: str) -> None:
    (tmp_path / "schemas" / "ids" / "7").write_text(page)
    with pytest.raises(Denied, match="schema id 7: its answer is none of a schema registry's") as caught:
        client.schema(7)
    assert "schema_registry_url must be the registry's own address" in str(caught.value.hint)


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
