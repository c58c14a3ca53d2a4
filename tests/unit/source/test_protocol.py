"""Which protocol version a server is asked for, and with which options: what its release understands."""

import pytest

from tailrace.source.postgres.walsender import StreamOptions, _start_command


@pytest.mark.parametrize(
    ("server_version", "protocol", "origin"),
    [(140000, 2, False), (149999, 2, False), (150000, 3, False), (160000, 4, True), (180001, 4, True)],
)
@pytest.mark.parametrize(("messages", "streaming"), [(False, "on"), (True, "on"), (True, "off")])
def test_each_release_is_asked_for_all_that_it_understands(
    server_version: int, protocol: int, origin: bool, messages: bool, streaming: str
) -> None:
    options = StreamOptions(
        slot="tail", publication='the "shop"', origin="none", messages=messages, streaming=streaming == "on"
    )
    command = _start_command(options, (1 << 32) + 0xAB, server_version).as_string(None)
    head, _, rest = command.partition(" (")
    assert head == 'START_REPLICATION SLOT "tail" LOGICAL 1/AB'
    told = [
        f"proto_version '{protocol}'",
        'publication_names \'"the ""shop"""\'',
        f"streaming '{streaming}'",
        f"messages '{str(messages).lower()}'",
    ]
    assert rest == ", ".join([*told, *(["origin 'none'"] if origin else [])]) + ")"
