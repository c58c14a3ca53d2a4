"""Where positions are kept when the sink cannot keep them. `Positions` in `contract.py` says what each must do."""

from tailrace.checkpoint.file import File
from tailrace.checkpoint.memory import Memory
from tailrace.checkpoint.sqlite import SQLite

__all__ = ["File", "Memory", "SQLite"]
