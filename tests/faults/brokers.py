"""One broker of three is killed at a random moment of an apply: how long the apply goes on, and how it ends.

    python -m tests.faults.brokers                # 30 kills
    python -m tests.faults.brokers --kills 5 --seed 7

The apply ends within twice `timeouts.request` of the kill. 0 means that all is as after, 7 or another code that all is
as before; after 8 `kplan recover` puts it back. A failure names its cause, and never another run: there is none.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined]

from tests.services import KafkaCluster

TOPICS = 10
REQUEST_S = 30.0
LIMIT_S = 2 * REQUEST_S
LATEST_KILL_S = 3.0  # after the start
HANGS_S = 150.0
STATE = "__kplan"
ROLES = ("lock coordinator", "transaction coordinator", "state leader", "any broker")
PROGRAM = (
    "import faulthandler, signal, sys; faulthandler.register(signal.SIGUSR1, all_threads=True); "
    "from kplan.__main__ import main; main()"
)
WRONG_CAUSES = ("another run took over", "offsets.topic.replication.factor is", "Traceback")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one kill. `seconds` are from the kill to the exit; `wrong` is empty where all is well."""

    role: str
    node: int
    delay: float
    seconds: float
    code: int
    output: str
    wrong: str

    def __str__(self) -> str:
        moment = f"{self.role} ({self.node}) killed after {self.delay:.2f} s"
        return f"{self.seconds:6.1f} s  exit {self.code}  {moment}{'  WRONG ' + self.wrong if self.wrong else ''}"


@dataclass
class Trial:
    """Applies of one stack on `cluster`; each of them changes every topic."""

    cluster: KafkaCluster
    folder: Path
    admin: AdminClient = field(init=False)

    def connect(self) -> None:
        """Make a new client: one that has seen a broker die waits for it."""
        self.admin = AdminClient({"bootstrap.servers": self.cluster.bootstrap, "log_level": 0})

    def prepare(self) -> None:
        """Write the files, and create the topics and kplan's own."""
        self.connect()
        environment = {
            "kafka": {"bootstrap.servers": self.cluster.bootstrap, "log_level": 0},
            "timeouts": {"request": f"{REQUEST_S:g}s"},
            "defaults": {"topic": {"replication_factor": 3, "config": {"min.insync.replicas": 2}}},
        }
        project = {"version": 1, "default": "dev", "environments": {"dev": environment}}
        (self.folder / "kplan.yaml").write_text(json.dumps(project))
        self.write_stack(1)
        ended = self.start().communicate(timeout=LIMIT_S)
        assert "Applied" in ended[0], ended

    def write_stack(self, days: int) -> None:
        topics = {f"kill.{n}": {"config": {"retention.ms": f"{days}d"}} for n in range(TOPICS)}
        (self.folder / "stack.yaml").write_text(json.dumps({"version": 1, "stack": "kill", "topics": topics}))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        asked = arguments or ("apply", "stack.yaml", "--yes", "--brief")
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *asked], cwd=self.folder, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def kill_one(self, days: int, role: str, delay: float, chooser: random.Random) -> Outcome:
        """Apply a change, kill the broker that has `role` after `delay` seconds, and judge how the apply ends."""
        before = self.retentions()
        self.write_stack(days)
        node = self.node_of(role, chooser)
        apply = self.start()
        time.sleep(delay)
        self.cluster.kill(node)
        killed = time.monotonic()
        try:
            output = apply.communicate(timeout=HANGS_S)[0]
        except subprocess.TimeoutExpired:
            os.killpg(apply.pid, signal.SIGUSR1)  # where it hangs
            time.sleep(1)
            os.killpg(apply.pid, signal.SIGKILL)
            output = apply.communicate()[0]
        seconds = time.monotonic() - killed
        code = apply.returncode
        self.cluster.restart(node)
        self.connect()
        self.await_replicas()
        return Outcome(role, node, delay, seconds, code, output, self.judge(days, before, seconds, code, output))

    def judge(self, days: int, before: set[str], seconds: float, code: int, output: str) -> str:
        """What is wrong with how the apply ended; empty where nothing is."""
        wrong = [f"it says {words!r}" for words in WRONG_CAUSES if words in output]
        if seconds > LIMIT_S:
            wrong.append(f"it went on for {seconds:.0f} s")
        if code == 8:
            recover = self.start("recover", "--yes")
            said = recover.communicate(timeout=120)[0]
            wrong += [] if recover.returncode == 0 else [f"recover ends with {recover.returncode}: {said}"]
        after = {str(days * 86_400_000)}
        allowed = {0: [after], 8: [before, after]}.get(code, [before])
        wrong += [] if self.retentions() in allowed else [f"the topics have {self.retentions()} after exit {code}"]
        return "; ".join(wrong)

    def retentions(self) -> set[str]:
        resources = [ConfigResource(ConfigResource.Type.TOPIC, f"kill.{n}") for n in range(TOPICS)]
        return {str(f.result(20)["retention.ms"].value) for f in self.admin.describe_configs(resources).values()}

    def node_of(self, role: str, chooser: random.Random) -> int:
        """The broker that has the role now."""
        if role == "lock coordinator":
            return self.lock_coordinator()
        if role == "any broker":
            return chooser.choice(sorted(self.cluster.brokers))
        topic = STATE if role == "state leader" else "__transaction_state"
        found = self.admin.describe_topics(TopicCollection([topic]))[topic].result(20)
        place = 0 if role == "state leader" else _java_hash("kplan.kill") % len(found.partitions)
        return int(found.partitions[place].leader.id)

    def lock_coordinator(self) -> int:
        """The coordinator of the lock's group, which may just be moving."""
        end = time.monotonic() + 60
        while True:
            try:
                groups = self.admin.describe_consumer_groups(["kplan.kill"], request_timeout=5)
                return int(groups["kplan.kill"].result(10).coordinator.id)
            except KafkaException:
                assert time.monotonic() < end, "nobody coordinates the lock's group"
                time.sleep(0.5)

    def await_replicas(self) -> None:
        """Return when every replica of every topic is in sync again."""
        end = time.monotonic() + 90
        while time.monotonic() < end:
            topics = self.admin.list_topics(timeout=20).topics.values()
            partitions = [p for topic in topics for p in topic.partitions.values()]
            if partitions and all(len(p.isrs) == len(p.replicas) for p in partitions):
                return
            time.sleep(0.3)
        raise AssertionError("the replicas are not in sync")


def _java_hash(text: str) -> int:
    """`Utils.abs(text.hashCode())` of Kafka, which places a transactional id."""
    value = 0
    for character in text:
        value = (31 * value + ord(character)) & 0xFFFFFFFF
    return value & 0x7FFFFFFF


@contextmanager
def ground() -> Iterator[Trial]:
    """Three brokers with the topics of the trial on them."""
    with KafkaCluster(brokers=3) as cluster, tempfile.TemporaryDirectory(prefix="kplan-kills-") as folder:
        trial = Trial(cluster, Path(folder))
        trial.prepare()
        yield trial


def run(trial: Trial, kills: int, seed: int, say: Callable[[Outcome], None], first: int = 0) -> list[Outcome]:
    """Kill one broker in each of so many applies, each role in turn."""
    chooser = random.Random(seed)
    outcomes = []
    for number in range(first, first + kills):
        delay = chooser.uniform(0.2, LATEST_KILL_S)
        outcomes.append(trial.kill_one(2 + number % 2, ROLES[number % len(ROLES)], delay, chooser))
        say(outcomes[-1])
    return outcomes


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)

    def say(outcome: Outcome) -> None:
        print(outcome, flush=True)
        if outcome.wrong or outcome.code:
            print(outcome.output, flush=True)

    with ground() as trial:
        outcomes = run(trial, options.kills, options.seed, say)
    longest = max(outcome.seconds for outcome in outcomes)
    wrong = sum(1 for outcome in outcomes if outcome.wrong)
    print(f"{len(outcomes)} kills, the longest {longest:.1f} s from the kill to the exit, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
