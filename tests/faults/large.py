"""Applies of thousands of topics and connectors that are killed, and recovered in another folder.

    python -m tests.faults.large                              # 10,000 topics, then 2,000 connectors
    python -m tests.faults.large --topics 300 --connectors 0

Each kplan is a process of its own, killed by SIGKILL when so many of the resources exist. After `kplan recover` none of
them may be left, and neither a record of the ledger nor an open run. Each line shows seconds and peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from confluent_kafka.admin import AdminClient

from kplan.state.kafka.store import KafkaStore
from tests.bench.measure import KPLAN, environment
from tests.bench.rows import HEAP, LINES, PATIENT
from tests.services import ConnectWorker, KafkaCluster, plugin_path

TOPICS, CONNECTORS, RUNNING = 10_000, 2_000, 20
LONGEST_S = 3600.0
SETTLE = "10m"  # one worker takes minutes for thousands of connectors
GONE_S = 120.0  # until the broker no longer lists what was deleted
POLL_S = 0.05
Count = Callable[[], int]


@dataclass(frozen=True, slots=True)
class Row:
    """One command: its exit code (-9: killed), seconds, peak resident memory in MiB, and `wrong`, empty where right.

    `existing` is the number of resources right after its end.
    """

    what: str
    code: int
    seconds: float
    peak: float
    existing: int
    wrong: str = ""
    output: str = field(default="", repr=False)

    def __str__(self) -> str:
        end = "killed" if self.code == -signal.SIGKILL else f"exit {self.code}"
        line = f"{self.what:44} {end:8} {self.seconds:8.1f} s {self.peak:6.0f} MiB {self.existing:7} exist"
        return f"{line}  WRONG {self.wrong}\n{self.output[-3000:]}" if self.wrong else line


@dataclass
class Trial:
    """A stack of `size` resources of one kind on its own servers; `count` returns how many of them exist now."""

    name: str
    size: int
    kafka: KafkaCluster
    stack: str
    count: Count
    connect: str = ""
    rows: list[Row] = field(default_factory=list)

    @contextmanager
    def folder(self, stack: bool = True) -> Iterator[Path]:
        """A new working folder with kplan.yaml, and the stack if wanted."""
        with tempfile.TemporaryDirectory(prefix="kplan-large-") as name:
            servers = {"kafka": {"bootstrap.servers": self.kafka.bootstrap, "log_level": 0},
                       **({"connect": {"url": self.connect}} if self.connect else {}),
                       "timeouts": {"settle": SETTLE}}  # fmt: skip
            project = {"version": 1, "default": "dev", "environments": {"dev": servers}}
            Path(name, "kplan.yaml").write_text(json.dumps(project))
            if stack:
                Path(name, "stack.yaml").write_text(self.stack)
            yield Path(name)

    def run(self, what: str, folder: Path, *words: str, expect: int = 0, kill_at: int = 0) -> Row:
        """Run kplan, killed once `kill_at` resources exist (0: never), and report how it ended."""
        with tempfile.TemporaryFile() as said:
            began = time.monotonic()
            process = subprocess.Popen([*KPLAN, *words], cwd=folder, stdout=said, stderr=said, env=environment())
            killed, status, peak = self._await_end(process, kill_at)
            seconds = time.monotonic() - began
            said.seek(0)
            output = said.read().decode(errors="replace")
        process.returncode = code = os.waitstatus_to_exitcode(status)
        wanted = -signal.SIGKILL if kill_at else expect
        wrong = [f"not exit {wanted}"] if code != wanted else []
        wrong += ["it shows a traceback"] if "Traceback" in output else []
        return Row(f"{self.name}: {what}", code, seconds, peak, killed or self.count(), "; ".join(wrong), output)

    def _await_end(self, process: subprocess.Popen[bytes], kill_at: int) -> tuple[int, int, float]:
        """How many resources existed at its SIGKILL, its wait status, and its peak memory."""
        killed = 0
        end = time.monotonic() + LONGEST_S
        while True:
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
            if pid:
                return killed, status, used.ru_maxrss / (1024 * 1024 if sys.platform == "darwin" else 1024)
            existing = self.count() if kill_at and not killed else 0
            if (kill_at and existing >= kill_at) or time.monotonic() > end:
                killed = existing
                process.kill()
                kill_at = 0
            time.sleep(POLL_S)

    # -- what is tried ------------------------------------------------------------------------------------------------
    def kill_and_recover(self, moment: str, kill_at: int) -> None:
        """Kill an apply of the whole stack, and recover where there is nothing but kplan.yaml."""
        with self.folder() as folder:
            self.note(self.run(f"apply, killed {moment}", folder, "apply", "stack.yaml", "--yes", "--brief",
                               kill_at=kill_at))  # fmt: skip
        with self.folder(stack=False) as other:
            recovered = self.run("recover", other, "recover", "--yes")
        self.note(self.checked(recovered))

    def apply_and_destroy(self) -> None:
        """Apply the whole stack, find nothing to change, and destroy it."""
        with self.folder() as folder:
            self.note(self.run("plan", folder, "plan", "stack.yaml", "--brief"))
            applied = self.run("apply", folder, "apply", "stack.yaml", "--yes", "--brief")
            missing = "" if applied.existing == self.size else f"{self.size} should exist"
            self.note(replace(applied, wrong="; ".join(filter(None, [applied.wrong, missing]))))
            self.note(self.run("plan, no changes", folder, "plan", "stack.yaml", "--detailed-exitcode"))
            ended = self.run("destroy", folder, "destroy", "stack.yaml", "--yes", "--accept", "*", "--brief")
            self.note(self.checked(ended))

    def checked(self, row: Row) -> Row:
        """The row, wrong where a resource, a record of the ledger or an open run is left."""
        deadline = time.monotonic() + GONE_S
        while self.count() and time.monotonic() < deadline:
            time.sleep(0.5)
        store = KafkaStore({"bootstrap.servers": self.kafka.bootstrap, "log_level": "0"})
        try:
            found = {"resources": self.count(), "ledger": len(store.ledger()), "open runs": len(store.open_runs())}
        finally:
            store.close()
        left = [f"{count} {what} left" for what, count in found.items() if count]
        return replace(row, existing=found["resources"], wrong="; ".join(filter(None, [row.wrong, *left])))

    def note(self, row: Row) -> None:
        self.rows.append(row)
        print(row, flush=True)


# -- topics -----------------------------------------------------------------------------------------------------------
def try_topics(size: int) -> list[Row]:
    """Kill applies of `size` topics at three moments, then apply them and destroy them."""
    with KafkaCluster(properties=PATIENT, heap=HEAP) as kafka:
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap, "log_level": 0, "allow.auto.create.topics": False})
        names = "".join(f"  large.{number:05}:\n" for number in range(size))
        trial = Trial(
            f"{size:,} topics",
            size,
            kafka,
            f"version: 1\nstack: large\ndefaults: {{topic: {{config: {{retention.ms: 7d}}}}}}\ntopics:\n{names}",
            lambda: sum(name.startswith("large.") for name in admin.list_topics(timeout=60).topics),
        )
        trial.kill_and_recover("in the first wave", 1)
        trial.kill_and_recover("half way", size // 2)
        trial.kill_and_recover("when all were created", size)
        trial.apply_and_destroy()
        return trial.rows


# -- connectors -------------------------------------------------------------------------------------------------------
def try_connectors(size: int) -> list[Row]:
    """Kill an apply of `size` connectors half way, then apply them and destroy them.

    All but a few are stopped, and need no task.
    """
    with KafkaCluster(properties=PATIENT, heap=HEAP) as kafka, ConnectWorker(kafka.bootstrap, plugin_path()) as worker:

        def count() -> int:
            return sum(name.startswith("large-") for name in worker.request("GET", "/connectors"))

        trial = Trial(f"{size:,} connectors", size, kafka, _connectors(size), count, worker.url)
        trial.kill_and_recover("half way", size // 2)
        trial.apply_and_destroy()
        return trial.rows


def _connectors(size: int) -> str:
    settings = f"class: {LINES}, config: {{file: /dev/null, topic: large.lines, tasks.max: 1}}"
    blocks = [
        f"  large-{number:05}: {{{'state: stopped, ' if number >= RUNNING else ''}{settings}}}\n"
        for number in range(size)
    ]
    return f"version: 1\nstack: large\ntopics: {{large.lines: }}\nconnectors:\n{''.join(blocks)}"


def main(arguments: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog="tests.faults.large")
    parser.add_argument("--topics", type=int, default=TOPICS)
    parser.add_argument("--connectors", type=int, default=CONNECTORS)
    asked = parser.parse_args(arguments)
    rows = [*(try_topics(asked.topics) if asked.topics else ()),
            *(try_connectors(asked.connectors) if asked.connectors else ())]  # fmt: skip
    wrong = sum(1 for row in rows if row.wrong)
    print(f"{len(rows)} commands, {wrong} wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
