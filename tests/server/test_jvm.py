"""The JVMs of servers that tests start are killed in the end, and leave nothing in the folder for temporary files."""

from __future__ import annotations

import psutil

from servers import kafka as server
from servers import registry as registries

_OPTION = "-Djava.io.tmpdir="


def test_what_a_jvm_unpacks_lies_in_its_servers_own_folder(kafka: server.Broker, registry: registries.Server) -> None:
    jvms = [each.cmdline() for each in psutil.Process().children() if each.name() == "java"]
    scratch = [[part for part in command if part.startswith(_OPTION)] for command in jvms]
    assert [f"{_OPTION}{kafka.folder}/scratch"] in scratch and len(scratch) >= 2
    assert all(len(each) == 1 and "/tailrace-" in each[0] for each in scratch), scratch
