"""A way over from Debezium: a connector's configuration and its stored offsets, as Tailrace's own.

Nothing of Debezium is run or imported; what it has is read as text. `option` is the closed table of all options.
"""

from tailrace.debezium.connector import read, worker_options
from tailrace.debezium.option import RULES
from tailrace.debezium.rule import Fate, Rule
from tailrace.debezium.translate import Choices, Translated, translate

__all__ = ["RULES", "Choices", "Fate", "Rule", "Translated", "read", "translate", "worker_options"]
