"""What a running process tells others: health and metrics over HTTP, its state to systemd. Never changes it."""

from tailrace.health.address import Address
from tailrace.health.judge import Verdict, judge, ready
from tailrace.health.notify import Notifier
from tailrace.health.server import HealthServer

__all__ = ["Address", "HealthServer", "Notifier", "Verdict", "judge", "ready"]
