"""`python -m benchmarks`: runs the cases that were asked for, prints the table, writes `build/bench.json`.

Asked by environment, as make passes it: ONLY (names, comma-separated), ROWS, BIG_ROWS, COMMITS, PAIRS, RIVALS; the file
is another with OUTPUT.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from benchmarks import orders, result
from benchmarks.bench import Bench
from benchmarks.cases import cases
from benchmarks.process import SideFailed
from servers import postgres
from servers.artifact import Unavailable

OUTPUT = Path(os.environ.get("OUTPUT") or Path(__file__).parents[1] / "build" / "bench.json")


def main() -> int:
    """Exit code 0 when every case could be measured, whatever the numbers are; 2 for a name that no case has.

    A case that could not be is told at the end, with the reason, and the exit code is 1: the file is a part then.
    """
    only = [name for name in os.environ.get("ONLY", "").split(",") if name]
    known = [name for case in cases() for name in case.NAMES]
    if unknown := [name for name in only if name not in known]:
        print(f"no case measures {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    rows, failed = list[result.Row](), list[str]()
    chosen = list(cases(only))
    with postgres.start(18, settings=orders.SETTINGS) as server:
        bench = Bench(
            server,
            rows=int(os.environ.get("ROWS") or 1_000_000),
            big_rows=int(os.environ.get("BIG_ROWS") or 10_000_000),
            commits=int(os.environ.get("COMMITS") or 12_000),
            pairs=int(os.environ.get("PAIRS") or 5),
            rivals=os.environ.get("RIVALS", "") not in ("", "0"),
        )
        for case in chosen:
            print(f"measuring {', '.join(case.NAMES)} …", file=sys.stderr)
            try:
                rows += case.measure(bench)
            except (SideFailed, Unavailable) as error:  # without a network, the rest can be measured all the same
                failed.append(f"{', '.join(case.NAMES)}: {error}")
                print(f"not measured: {error}", file=sys.stderr)
            _write(rows)
    result.show(rows)
    if failed:
        print(f"{len(failed)} of {len(chosen)} cases not measured:", *failed, sep="\n  ", file=sys.stderr)
    return 1 if failed or not rows else 0


def _write(rows: list[result.Row]) -> None:
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps([row.as_dict() for row in rows], indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    sys.exit(main())
