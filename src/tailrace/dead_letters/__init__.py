"""Where changes are parked that the sink refused for good. `Letters` in `contract.py` says what each must do."""

from tailrace.dead_letters.file import File
from tailrace.dead_letters.topic import Kafka

__all__ = ["File", "Kafka"]
