"""Kills an apply of schemas and levels at every point, and recovers it: all is then as before or as after.

    python -m tests.faults.schemas [--only 3-9]

One subject gets a new version and a stricter level, another one a looser level; a schema refers to one that gets a new
version; one is new, one was deleted softly before, one goes, and the level of one is set that does not exist yet.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.services.kafka import KafkaCluster
from tests.services.registry import Registry

LANES = 3
ORDER = {"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"}]}
MONEY = {"type": "record", "name": "Money", "namespace": "common", "fields": [{"name": "amount", "type": "long"}]}
ITEM = {"type": "record", "name": "Item", "fields": [{"name": "price", "type": "common.Money"}]}
NEW_FIELD = {"name": "channel", "type": "string", "default": "web"}
BEFORE = """version: 1
stack: P
topics: {P.a: }
schemas:
  P-changed: {file: order.avsc, compatibility: BACKWARD}
  P-looser: {file: order.avsc, compatibility: FULL}
  P-money: {file: money.avsc}
  P-item: {file: item.avsc, references: [{name: common.Money, subject: P-money}]}
  P-gone: {file: order.avsc, compatibility: FORWARD}
"""
AFTER = """version: 1
stack: P
topics: {P.a: , P.b: }
schemas:
  P-changed: {file: order.avsc, compatibility: FULL}
  P-looser: {file: order.avsc, compatibility: BACKWARD}
  P-money: {file: money.avsc}
  P-item: {file: item.avsc, references: [{name: common.Money, subject: P-money}]}
  P-new: {file: order.avsc, compatibility: FULL}
  P-again: {file: order.avsc}
  P-level: {compatibility: BACKWARD}
removed: [{subject: P-gone}]
"""


@dataclass(frozen=True)
class Trial:
    """What a death at one point led to."""

    point: int
    label: str
    verdict: str
    output: str = ""


@dataclass
class Trials:
    """A broker and a registry on which a change of schemas is killed."""

    kafka: KafkaCluster
    registry: Registry

    def see(self, prefix: str) -> dict[str, Any]:
        """The latest schema and the level of each subject, and the topics."""
        found = {}
        for subject in self.registry.call("GET", "/subjects") or ():
            if subject.startswith(f"{prefix}-"):
                latest = self.registry.call("GET", f"/subjects/{subject}/versions/latest")
                found[subject] = (latest["id"], [each["version"] for each in latest.get("references") or ()])
        levels = {
            name: (self.registry.call("GET", f"/config/{prefix}-{name}") or {}).get("compatibilityLevel")
            for name in ("changed", "looser", "money", "item", "gone", "new", "again", "level")
        }
        return {
            "schemas": found,
            "levels": {name: level for name, level in levels.items() if level != "NONE" and level},
        }

    def machine(self, prefix: str, stack: str, *fields: Any) -> Path:
        """A folder with the stack and its files; `fields` are in addition to those of the first versions."""
        folder = Path(tempfile.mkdtemp(prefix="kplan-schemas-"))
        environment = {
            "kafka": {"bootstrap.servers": self.kafka.bootstrap},
            "schema_registry": {"url": self.registry.url},
            "state": {"kafka_topic": f"__kplan.{prefix}"},  # so that no trial recovers the run of another one
            "timeouts": {"request": "10s", "settle": "30s", "session": "6s"},
        }
        (folder / "kplan.yaml").write_text(json.dumps({"version": 1, "environments": {"here": environment}}))
        (folder / "stack.yaml").write_text(stack.replace("P", prefix))
        for name, schema in (("order", ORDER), ("money", MONEY), ("item", ITEM)):
            own = {**schema, "fields": [*schema["fields"], *(fields if name != "item" else ())]}
            (folder / f"{name}.avsc").write_text(json.dumps(own))
        return folder

    def run(
        self, folder: Path, *arguments: str, module: Sequence[str] = ("kplan",)
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", *module, *arguments],
            cwd=folder,
            env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/bin:/bin", "HOME": str(folder),
                 "NO_COLOR": "1"},
            text=True,
            capture_output=True,
            timeout=240,
        )  # fmt: skip

    def begin(self, prefix: str) -> dict[str, Any]:
        """The state before: a stack that is applied, and a subject that somebody deleted softly."""
        ended = self.run(self.machine(prefix, BEFORE), "apply", "stack.yaml", "--yes")
        assert ended.returncode == 0, ended.stdout + ended.stderr
        self.registry.call("POST", f"/subjects/{prefix}-again/versions", {"schema": json.dumps(ORDER)})
        self.registry.call("DELETE", f"/subjects/{prefix}-again")
        return self.see(prefix)

    def list_points(self) -> list[str]:
        """The labels of the points of one apply that nothing kills."""
        self.begin("count")
        folder = self.machine("count", AFTER, NEW_FIELD)
        told = folder / "points"
        command = ("--points", str(told), "--", "apply", "stack.yaml", "--yes", "--accept", "*")
        ended = self.run(folder, *command, module=("tests.faults.crash",))
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return [line.partition(" ")[2] for line in told.read_text().splitlines()]

    def kill(self, point: int, label: str) -> Trial:
        """Kill an apply at the point and recover it in another folder."""
        prefix = f"t{point}x"
        before = self.begin(prefix)
        folder = self.machine(prefix, AFTER, NEW_FIELD)
        command = ("--at", str(point), "--", "apply", "stack.yaml", "--yes", "--accept", "*")
        killed = self.run(folder, *command, module=("tests.faults.crash",))
        recovered = self.run(self.machine(prefix, BEFORE), "recover", "--yes")
        now = self.see(prefix)
        said = killed.stdout + killed.stderr + recovered.stdout + recovered.stderr
        if now == before and recovered.returncode in (0, 7):
            return Trial(point, label, "before")
        again = self.run(folder, "apply", "stack.yaml", "--yes", "--accept", "*", "--lock-timeout", "30s")
        if recovered.returncode == 0 and "No changes" in again.stdout and now == self.see(prefix):
            return Trial(point, label, "after")
        return Trial(point, label, "LOST", f"{said}{again.stdout}{again.stderr}\nbefore {before}\nnow    {now}")


def run(trials: Trials, points: Sequence[tuple[int, str]]) -> list[Trial]:
    """The outcome of a death at each of the points."""
    with ThreadPoolExecutor(LANES) as pool:
        return list(pool.map(lambda each: trials.kill(*each), points))


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.faults.schemas")
    parser.add_argument("--only", default="", help="points, such as 3-9")
    asked = parser.parse_args(arguments)
    with KafkaCluster() as kafka, Registry() as registry:
        trials = Trials(kafka, registry)
        points = list(enumerate(trials.list_points(), 1))
        if asked.only:
            first, _, last = asked.only.partition("-")
            points = points[int(first) - 1 : int(last or first)]
        outcomes = run(trials, points)
    for outcome in outcomes:
        print(f"{outcome.verdict:7}{outcome.point:4}  {outcome.label}")
        if outcome.verdict == "LOST":
            print(outcome.output)
    counts = {word: sum(o.verdict == word for o in outcomes) for word in ("before", "after", "LOST")}
    print(", ".join(f"{number} {word}" for word, number in counts.items()))
    return int(counts["LOST"] > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
