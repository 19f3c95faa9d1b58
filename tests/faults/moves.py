"""Kills a move between two Connect clusters at every point, and recovers it: the connector is on one of them, whole.

python -m tests.faults.moves [--only 3-9]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from tests.services.connect import ConnectWorker
from tests.services.downloads import plugin_path
from tests.services.kafka import KafkaCluster

STACK = """version: 1
stack: P
topics: {P.lines: {partitions: 1, replication_factor: 1}}
connectors:
  P-in:
    ON
    class: org.apache.kafka.connect.file.FileStreamSourceConnector
    config: {file: "FILE", topic: P.lines}
"""
MOVED = "moved: [{from: connector/P-in, to: connector/sinks/P-in}]\n"
SECONDS = 20  # for the first offset


@dataclass(frozen=True)
class Trial:
    """What a death at one point led to."""

    point: int
    label: str
    verdict: str
    output: str = ""


@dataclass
class Trials:
    """A broker and two Connect clusters, between which a move is killed."""

    kafka: KafkaCluster
    connects: dict[str, ConnectWorker]

    def see(self, prefix: str) -> dict[str, Any]:
        """Where the connector is, with its state and its offsets."""
        found = {}
        for alias, worker in self.connects.items():
            try:
                state = worker.request("GET", f"/connectors/{prefix}-in/status")["connector"]["state"]
                offsets = worker.request("GET", f"/connectors/{prefix}-in/offsets")["offsets"]
                found[alias] = (state, json.dumps(offsets))
            except HTTPError as failure:
                assert failure.code == 404
        return found

    def machine(self, prefix: str, moved: bool) -> Path:
        """A folder with the stack, before or after the move."""
        folder = Path(tempfile.mkdtemp(prefix="kplan-moves-"))
        environment = {
            "kafka": {"bootstrap.servers": self.kafka.bootstrap},
            "connect": {alias: {"url": worker.url} for alias, worker in self.connects.items()},
            "state": {"kafka_topic": f"__kplan.{prefix}"},
            "timeouts": {"request": "10s", "settle": "30s", "session": "6s"},
        }
        (folder / "kplan.yaml").write_text(json.dumps({"version": 1, "environments": {"here": environment}}))
        file = Path(tempfile.gettempdir()) / f"kplan-moves-{prefix}.txt"
        file.write_text("one\ntwo\n")
        text = STACK.replace("FILE", str(file)).replace("    ON\n", "    on: sinks\n" if moved else "")
        (folder / "stack.yaml").write_text((text + (MOVED if moved else "")).replace("P", prefix))
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
        """The state before: the connector has read its file."""
        ended = self.run(self.machine(prefix, False), "apply", "stack.yaml", "--yes")
        assert ended.returncode == 0, ended.stdout + ended.stderr
        end = time.monotonic() + SECONDS
        while "position" not in str(self.see(prefix)):
            assert time.monotonic() < end, self.see(prefix)
            time.sleep(0.3)
        return self.see(prefix)

    def list_points(self) -> list[str]:
        """The labels of the points of one apply that nothing kills."""
        self.begin("count")
        folder = self.machine("count", True)
        told = folder / "points"
        command = ("--points", str(told), "--", "apply", "stack.yaml", "--yes")
        ended = self.run(folder, *command, module=("tests.faults.crash",))
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return [line.partition(" ")[2] for line in told.read_text().splitlines()]

    def kill(self, point: int, label: str) -> Trial:
        """Kill an apply at the point and recover it in another folder."""
        prefix = f"t{point}x"
        before = self.begin(prefix)
        folder = self.machine(prefix, True)
        killed = self.run(folder, "--at", str(point), "--", "apply", "stack.yaml", "--yes",
                          module=("tests.faults.crash",))  # fmt: skip
        recovered = self.run(self.machine(prefix, False), "recover", "--yes")
        now = self.see(prefix)
        said = killed.stdout + killed.stderr + recovered.stdout + recovered.stderr
        if now == before and recovered.returncode in (0, 7):
            return Trial(point, label, "before")
        again = self.run(folder, "apply", "stack.yaml", "--yes", "--lock-timeout", "30s")
        after = {"sinks": before["default"]}
        if recovered.returncode == 0 and "No changes" in again.stdout and now == self.see(prefix) == after:
            return Trial(point, label, "after")
        return Trial(point, label, "LOST", f"{said}{again.stdout}{again.stderr}\nbefore {before}\nnow    {now}")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.faults.moves")
    parser.add_argument("--only", default="", help="points, such as 3-9")
    asked = parser.parse_args(arguments)
    with (
        KafkaCluster() as kafka,
        ConnectWorker(kafka.bootstrap, plugin_path()) as connect,
        ConnectWorker(kafka.bootstrap, plugin_path(), group="sinks-connect") as sinks,
    ):
        trials = Trials(kafka, {"default": connect, "sinks": sinks})
        points = list(enumerate(trials.list_points(), 1))
        if asked.only:
            first, _, last = asked.only.partition("-")
            points = points[int(first) - 1 : int(last or first)]
        outcomes = []
        for each in points:
            outcomes.append(trials.kill(*each))
            print(f"{outcomes[-1].verdict:7}{outcomes[-1].point:4}  {outcomes[-1].label}", flush=True)
    for outcome in outcomes:
        if outcome.verdict == "LOST":
            print(outcome.point, outcome.output)
    counts = {word: sum(o.verdict == word for o in outcomes) for word in ("before", "after", "LOST")}
    print(", ".join(f"{number} {word}" for word, number in counts.items()))
    return int(counts["LOST"] > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
