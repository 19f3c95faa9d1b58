"""`make bench`: how long kplan takes against the least that any tool could take, as medians of ratios.

Absolute times mean little on a shared machine, so kplan and its floor are timed in turns.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.services import KafkaCluster

ROUNDS = int(os.environ.get("KPLAN_BENCH_ROUNDS", "5"))
TOPICS = int(os.environ.get("KPLAN_BENCH_TOPICS", "1000"))
ROOT = Path(__file__).parents[2]

FLOOR = """
import sys
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType
admin = AdminClient({"bootstrap.servers": sys.argv[1], "allow.auto.create.topics": False})
names = sorted(admin.list_topics(timeout=30).topics)
for start in range(0, len(names), 500):
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in names[start : start + 500]]
    for answer in admin.describe_configs(asked).values():
        answer.result(60)
"""


def timed(command: Sequence[str], folder: Path) -> float:
    """Seconds that the command took. Raises CalledProcessError where it failed."""
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - began


def compare(name: str, goal: float, kplan: Callable[[], float], floor: Callable[[], float]) -> None:
    """Prints the median ratio of `kplan` to `floor`, each taken in turns after one warm-up."""
    kplan(), floor()
    pairs = [(kplan(), floor()) for _ in range(ROUNDS)]
    ratio = statistics.median(a / b for a, b in pairs)
    ours, theirs = (statistics.median(each) for each in zip(*pairs, strict=True))
    verdict = "meets" if ratio <= goal else "MISSES"
    print(f"{name:<44} {ours:7.3f} s / {theirs:7.3f} s = {ratio:5.2f} x   goal {goal:.1f} x: {verdict}", flush=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary, KafkaCluster() as kafka:
        folder = Path(temporary)
        me = [sys.executable, "-m", "kplan"]
        python = [sys.executable, "-c"]
        topics = "".join(f"  bench.t{n:05}:\n" for n in range(TOPICS))
        (folder / "stack.yaml").write_text(
            f"version: 1\nstack: bench\ndefaults: {{topic: {{config: {{retention.ms: 7d}}}}}}\ntopics:\n{topics}"
        )
        quick = str(ROOT / "stacks" / "quickstart.yaml")
        compare("kplan --version / import click", 1.3, lambda: timed([*me, "--version"], folder),
                lambda: timed([*python, "import click"], folder))  # fmt: skip
        compare("validate quickstart / import libraries", 1.5, lambda: timed([*me, "validate", quick], folder),
                lambda: timed([*python, "import click, yaml, jsonschema"], folder))  # fmt: skip
        at = ["--bootstrap", kafka.bootstrap]
        apply, plan = [*me, "apply", "stack.yaml", "--yes", "--brief", *at], [*me, "plan", "stack.yaml", *at]
        subprocess.run(apply, cwd=folder, check=True, capture_output=True)
        name = f"plan of {TOPICS} topics, no changes / bare client"
        compare(name, 1.3, lambda: timed(plan, folder), lambda: timed([*python, FLOOR, kafka.bootstrap], folder))


if __name__ == "__main__":
    main()
