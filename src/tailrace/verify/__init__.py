"""Compares the rows at both ends of a pipeline while both are live, and has the pipeline mend what differs.

Never writes to either end itself. `docs/design/0011-verify.md` argues why no difference is reported that is none.
"""

from tailrace.verify.pace import Clock
from tailrace.verify.remote import Remote
from tailrace.verify.report import Report, TableReport
from tailrace.verify.session import Options, Pipes, Progress, verify

__all__ = ["Clock", "Options", "Pipes", "Progress", "Remote", "Report", "TableReport", "verify"]
