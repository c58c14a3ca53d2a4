"""For tests of users and of plug-ins: feed an App without a server, check a source or a sink against the contract.

Imports no test framework: failures are AssertionErrors.
"""

from tailrace.testing.checkpoint import check_checkpoint
from tailrace.testing.client import Client, Parked, client
from tailrace.testing.sinks import check_sink
from tailrace.testing.sources import check_source

__all__ = ["Client", "Parked", "check_checkpoint", "check_sink", "check_source", "client"]
