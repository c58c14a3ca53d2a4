"""For tests of users and of plug-ins: feed an App without a server, check a source or a sink against the contract.

Imports no test framework: failures are AssertionErrors.
"""

from tailrace.testing.client import Client, Parked, client

__all__ = ["Client", "Parked", "client"]
