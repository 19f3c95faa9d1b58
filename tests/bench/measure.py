"""Programs timed in turns: seconds, processor seconds and peak memory of each."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROUNDS = max(1, int(os.environ.get("KPLAN_BENCH_ROUNDS", "5")))
ROOT = Path(__file__).parents[2]
FLOORS = Path(__file__).parent / "floors"
KPLAN = (sys.executable, "-m", "kplan")
UNMEASURED = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONPROFILEIMPORTTIME")


@dataclass(frozen=True, slots=True)
class Sample:
    """What one call of a program took; `peak` is its resident memory in MiB."""

    seconds: float
    processor: float
    peak: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Pairs of kplan and its floor, taken in turns. Figures are medians; a ratio is the median of the pairs' ratios."""

    pairs: tuple[tuple[Sample, Sample], ...]

    @property
    def ours(self) -> Sample:
        return middle([ours for ours, _ in self.pairs])

    @property
    def floor(self) -> Sample:
        return middle([floor for _, floor in self.pairs])

    def ratio(self, of: Callable[[Sample], float] = lambda sample: sample.seconds) -> float:
        return statistics.median(of(ours) / of(floor) for ours, floor in self.pairs)


def middle(samples: Sequence[Sample]) -> Sample:
    return Sample(
        statistics.median(s.seconds for s in samples),
        statistics.median(s.processor for s in samples),
        statistics.median(s.peak for s in samples),
    )


def environment() -> dict[str, str]:
    """The process's, without what makes Python compile kplan at every start, as no installed kplan is."""
    kept = {key: value for key, value in os.environ.items() if key not in UNMEASURED and not key.startswith("KPLAN_")}
    return {**kept, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}


def called(command: Sequence[str], folder: Path, codes: Sequence[int] = (0,)) -> Sample:
    """What the program took. Raises RuntimeError, with the end of what it said, where its exit code is another."""
    with tempfile.TemporaryFile() as said:
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=said, env=environment())
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in codes:
            said.seek(0)
            words = said.read().decode(errors="replace")[-2000:]
            raise RuntimeError(f"{' '.join(command)}: exit code {process.returncode}\n{words}")
    peak = used.ru_maxrss / (1024 * 1024 if sys.platform == "darwin" else 1024)
    return Sample(seconds, used.ru_utime + used.ru_stime, peak)


def compared(
    kplan: Callable[[], Sample], floor: Callable[[], Sample], rounds: int = ROUNDS, warm: bool = True
) -> Comparison:
    """Both in turns, after one of each that is not counted; without `warm` all count."""
    if warm:
        kplan(), floor()
    return Comparison(tuple((kplan(), floor()) for _ in range(rounds)))


def floor(name: str, *words: str) -> list[str]:
    """The command of one of the programs in `floors`."""
    return [sys.executable, str(FLOORS / f"{name}.py"), *words]
