"""`make bench`: how much longer kplan takes than the least that any tool could take.

`python -m tests.bench` measures every row and writes docs/benchmarks.md; with names of rows it measures and shows those
alone. KPLAN_BENCH_ROUNDS (5), KPLAN_BENCH_RUNS (1000) and KPLAN_BENCH_SIZES (10,100,1000,3000,10000) make it shorter;
KPLAN_BENCH_REPEATS (1) measures all several times in a row, the other tools in the last one. KPLAN_BENCH_PEERS is the
folder of other tools (`make bench PEERS=DIR`). Needs Java and Maven, as the tests of services do.
"""

from __future__ import annotations

import compileall
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.bench import report
from tests.bench.measure import ROOT
from tests.bench.rows import ROWS, Bench, Figure
from tests.bench.sides import render_absent, render_sides

REPEATS = max(1, int(os.environ.get("KPLAN_BENCH_REPEATS", "1")))  # of the whole; a goal must be met each time


def main(asked: Sequence[str]) -> int:
    unknown = [name for name in asked if name not in ROWS]
    if unknown:
        print(f"no such row: {', '.join(unknown)}; there are {', '.join(ROWS)}", file=sys.stderr)
        return 64
    compileall.compile_dir(ROOT / "kplan", quiet=1)  # as it is where kplan is installed
    began = time.monotonic()
    runs: list[Sequence[Figure]] = []
    for number in range(1, REPEATS + 1):
        rows = asked or [name for name in ROWS if name != "peers" or number == REPEATS]
        runs.append(measure(rows, runs, writes_page=not asked and number == REPEATS))
    missed = sum(not figure.meets for figure in runs[-1])
    print(f"{len(runs[-1])} figures, {missed} missed, in {(time.monotonic() - began) / 60:.1f} min")
    return 0


def measure(rows: Sequence[str], earlier: Sequence[Sequence[Figure]], writes_page: bool) -> Sequence[Figure]:
    """Measure the rows, with servers of their own, and print them."""
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="kplan-bench-")))
        tools = os.environ.get("KPLAN_BENCH_PEERS")
        bench = Bench(folder, closing, tools=Path(tools).resolve() if tools else None)
        figures = []
        for name in rows:
            for figure in ROWS[name](bench):
                figures.append(figure.after(earlier))
                print(report.line(figures[-1]), flush=True)
        if writes_page:
            report.write(bench, figures, render_absent(bench.sides), tuple(ROWS))
        elif "peers" in rows:
            print("\n".join([*render_sides(bench.sides), *bench.sides.absent]))
    return figures


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
