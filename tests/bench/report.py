"""What was measured, as docs/benchmarks.md and its charts."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import confluent_kafka

from tests.bench.chart import growth
from tests.bench.measure import ROOT, ROUNDS
from tests.bench.rows import Bench, Figure
from tests.bench.sides import render_sides
from tests.services.downloads import java, kafka_jars

PAGE = ROOT / "docs" / "benchmarks.md"
CHARTS = ROOT / "docs" / "benchmarks"
TITLES = {
    "plan": "Plan without changes",
    "apply": "First apply",
    "peers-plan": "Plan without changes, each tool",
    "peers-create": "First apply, each tool",
}

TOP = """# Benchmarks

`make bench` repeats the measurement and writes this page; `make bench PEERS=DIR` also runs the other tools in a folder.
`python -m tests.bench ROW…` prints single rows ({rows}) and writes nothing.
Absolute times say little about another machine, so each figure is a ratio of kplan to the least work that any tool
needs. Both run in turns, A B A B, as whole processes. The median of the {rounds} pairs' ratios counts (11 for
start-up). {runs}The next column is the same ratio of processor time, which depends less on the load of the machine.

{machine}
"""


def machine() -> str:
    """The machine, in words that hold no name of it."""
    load = os.getloadavg()[0]
    jar = next((path.stem.rpartition("-")[2] for path in kafka_jars().glob("kafka-clients-*.jar")), "?")
    version = subprocess.run([java(), "-version"], capture_output=True, text=True, check=False).stderr.split('"')[1]
    words = [
        f"{os.cpu_count()} cores", f"{_memory():.0f} GiB of memory", f"{platform.system()} on {platform.machine()}",
        f"Python {platform.python_version()}", f"confluent-kafka {confluent_kafka.__version__}",
        f"Kafka {jar} (one broker)", f"Java {version}",
    ]  # fmt: skip
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    shared = f"Broker, worker and kplan share the machine, whose load was {load:.1f} at the end."
    return f"Measured on {when}: {', '.join(words)}. {shared}"


def _memory() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def line(figure: Figure) -> str:
    """One row of the table."""
    ratio = f"{figure.ratio:.2f} ×{_list_earlier(figure)}" if figure.theirs else ""
    processor = f"{figure.processor:.2f} ×" if figure.processor is not None else ""
    goal = f"≤ {figure.goal:g} ×" if figure.goal is not None else ""
    verdict = "" if figure.goal is None else "met" if figure.meets else "**missed**"
    cells = (figure.what, figure.against, figure.ours, figure.theirs, ratio, processor, goal, verdict)
    return f"| {' | '.join(cells)} |"


def _list_earlier(figure: Figure) -> str:
    return f" ({', '.join(f'{ratio:.2f}' for ratio in figure.earlier)})" if figure.earlier else ""


def table(figures: Sequence[Figure]) -> str:
    head = "| measure | compared with | kplan | other | ratio | of processor time | goal | |"
    return "\n".join([head, "|---|---|--:|--:|--:|--:|--:|---|", *map(line, figures)])


def page(bench: Bench, figures: Sequence[Figure], absent: Sequence[str], rows: Sequence[str]) -> str:
    earlier = max((len(figure.earlier) for figure in figures), default=0)
    runs = f"Ratios in brackets are those of the {earlier} runs before, each with new servers. " if earlier else ""
    parts = [TOP.format(rows=", ".join(rows), rounds=ROUNDS, runs=runs, machine=machine()), table(figures), ""]
    for name in bench.curves:
        parts += [f"![{TITLES[name]}: seconds by topics](benchmarks/{name}.svg)", ""]
    parts += [*render_sides(bench.sides), *_missed(figures), "", *_notes(absent)]
    return "\n".join(parts).rstrip() + "\n"


def _missed(figures: Sequence[Figure]) -> list[str]:
    missed = [figure for figure in figures if not figure.meets]
    if not missed:
        return ["Every goal is met."]
    parts = ["## Profiles of missed goals", ""]
    for figure in missed:
        parts += [f"{figure.what}: {figure.ratio:.2f} ×{_list_earlier(figure)}, the goal is {figure.goal:g} ×.", ""]
        parts += [figure.more, ""] if figure.more else []
        if figure.profile:
            parts += [figure.profile.strip(), ""]
    return [
        *parts,
        "A share is the part of samples of the main thread at this place; a sample every 2 ms slows it down.",
    ]


def _notes(absent: Sequence[str]) -> list[str]:
    return ["## Absent tools", "", *(f"- {each}" for each in absent)] if absent else []


def write(bench: Bench, figures: Sequence[Figure], absent: Sequence[str], rows: Sequence[str]) -> None:
    """The page and its charts are those of this run."""
    CHARTS.mkdir(exist_ok=True)
    for name, lines in bench.curves.items():
        _draw(CHARTS / f"{name}.svg", TITLES[name], lines)
    PAGE.write_text(page(bench, figures, absent, rows))


def _draw(path: Path, title: str, lines: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    path.write_text(growth(title, "topics", "seconds", lines))
