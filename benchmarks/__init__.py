"""Benchmarks: each number with its reference, measured in the same run on the same machine. Reports, never asserts.

`make bench [ONLY=name,name] [ROWS=n] [PAIRS=n] [RIVALS=1]`. One file a case in `cases/`; our side of each runs in a
child process of its own (`side.py`), so that its memory and processor time are its own.
"""
