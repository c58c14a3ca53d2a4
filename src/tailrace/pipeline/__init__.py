"""The straight pipe from a source to a sink: two threads, one shelf. Never names a concrete source or sink."""

from tailrace.pipeline.admin import (
    adopt,
    alone,
    check_state,
    forget,
    remove,
    replay_alone,
    saved,
    transformed,
)
from tailrace.pipeline.cutover import cutover
from tailrace.pipeline.gauge import log_fields
from tailrace.pipeline.pipeline import (
    Pipeline,
    desk_path,
    impossible_limit,
    lock_path,
    position_path,
    socket_path,
    status_path,
)
from tailrace.pipeline.reader import reader_name
from tailrace.pipeline.shaping import unmatched
from tailrace.pipeline.status import State, Status, ask, read_status

__all__ = [
    "Pipeline",
    "State",
    "Status",
    "adopt",
    "alone",
    "ask",
    "check_state",
    "cutover",
    "desk_path",
    "forget",
    "impossible_limit",
    "lock_path",
    "log_fields",
    "position_path",
    "read_status",
    "reader_name",
    "remove",
    "replay_alone",
    "saved",
    "socket_path",
    "status_path",
    "transformed",
    "unmatched",
]
