"""Asks a HealthServer as a probe or Prometheus would."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from tailrace.health import HealthServer

TIMEOUT_S = 60.0


def get(server: HealthServer, path: str) -> tuple[int, str]:
    """Status and body."""
    try:
        with urllib.request.urlopen(f"http://{server.address}{path}", timeout=TIMEOUT_S) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def verdict(server: HealthServer, path: str = "/healthz") -> tuple[int, Any]:
    """Status and what is told of each pipeline."""
    code, body = get(server, path)
    return code, json.loads(body)["pipelines"]
