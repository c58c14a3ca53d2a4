"""Transforms: a Batch in, a Batch out, on the writer thread. Never reorder changes or touch positions.

`Select`, `Mask` and `Rename` run in Rust; `map_arrow` hands whole columns to Python; `map_changes` is the slow lane.
"""

from tailrace.transform.function import MapArrow, MapChanges, map_arrow, map_changes
from tailrace.transform.mask import Mask
from tailrace.transform.rename import Rename
from tailrace.transform.select import Select

__all__ = ["MapArrow", "MapChanges", "Mask", "Rename", "Select", "map_arrow", "map_changes"]
