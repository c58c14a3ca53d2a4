"""Handlers: the Python face of a pipeline whose sink is your functions. Never names a server or another sink."""

from tailrace.app.face import App
from tailrace.app.handler import Handler

__all__ = ["App", "Handler"]
