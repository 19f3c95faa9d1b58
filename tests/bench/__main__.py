"""`make bench`: how much longer kplan takes than the least that any tool could take.

`python -m tests.bench` measures every row and writes docs/benchmarks.md; with names of rows it measures and shows those
alone. KPLAN_BENCH_ROUNDS (5) and KPLAN_BENCH_SIZES (10,100,1000,3000,10000) make it shorter. Needs Java and Maven, as
the tests of services do.
"""

from __future__ import annotations

import compileall
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.bench import report
from tests.bench.measure import ROOT
from tests.bench.rows import ROWS, Bench

ABSENT = (
    "gafkalo, topicctl, kafka-gitops, jikkou and terraform with its Kafka provider: they were not built for this run.",
)


def main(asked: Sequence[str]) -> int:
    unknown = [name for name in asked if name not in ROWS]
    if unknown:
        print(f"no such row: {', '.join(unknown)}; there are {', '.join(ROWS)}", file=sys.stderr)
        return 64
    compileall.compile_dir(ROOT / "kplan", quiet=1)  # as it is where kplan is installed
    began = time.monotonic()
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="kplan-bench-")))
        bench = Bench(folder, closing)
        figures = []
        for name in asked or ROWS:
            for figure in ROWS[name](bench):
                figures.append(figure)
                print(report.line(figure), flush=True)
        if not asked:
            report.write(bench, figures, ABSENT, tuple(ROWS))
    missed = sum(not figure.meets for figure in figures)
    print(f"{len(figures)} figures, {missed} missed, in {(time.monotonic() - began) / 60:.1f} min")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
