"""Kills an apply of users, bindings, quotas, topics and connectors at every point, and recovers it.

All is then as before or as after.

    python -m tests.faults.access [--only 3-9] [--bindings 60000]

kplan logs in by SCRAM to a broker with StandardAuthorizer. One user gets another password, one is new; bindings are
created and deleted, a DENY among them; quotas are set, changed and removed. A login says which password is live. With a
worker, one connector is changed and one is new, which logs in as the new user and has its bindings from this apply.
At the end a plan reads more foreign bindings than a client once crashed on (confluent-kafka-python#2031: 55,000).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient

from kplan.kinds.acl.binding import parse_binding
from kplan.kinds.user.user import Credentials
from kplan.model import Address
from kplan.servers.kafka.acls import KafkaAcls, to_wire
from kplan.servers.kafka.client import Client
from kplan.servers.kafka.logins import Logins
from kplan.servers.kafka.quotas import KafkaQuotas
from kplan.servers.kafka.users import KafkaUsers
from tests.services.connect import ConnectWorker
from tests.services.line_connectors import make_worker
from tests.services.lines import WORD
from tests.services.secure import SecureKafka

LANES = 3
PASSWORD = "canary-access-1"  # that of tests/services/test_access.py, whose broker is shared
OLD, NEW = "fault-old-1", "fault-new-2"
WORKER = "worker"
PLACES = ("cluster", "topic-any", "group-any", "transactional-id-any")
BEFORE = """version: 1
stack: P
variables: {word: {sensitive: true}, other: {sensitive: true}}
topics: {P.a: }
users:
  P-rotated: {password: "{{ var.word }}"}
access:
  User:P-rotated: {produce: P.a, consume: {topics: P.b, group: P}}
quotas:
  - {user: P-rotated, consumer_byte_rate: 1000, producer_byte_rate: 2000}
  - {user: P-gone, consumer_byte_rate: 1000}
"""
AFTER = """version: 1
stack: P
variables: {word: {sensitive: true}, other: {sensitive: true}}
topics: {P.a: , P.c: }
users:
  P-rotated: {password: "{{ var.other }}", previous_password: "{{ var.word }}", iterations: 8192}
  P-new: {password: "{{ var.word }}", mechanism: [SCRAM-SHA-256, SCRAM-SHA-512]}
access:
  User:P-rotated:
    produce: [P.a, P.c]
    deny: [{topic: P.secret, operations: [All]}]
  User:P-new: {consume: {topics: "P.*", group: "P*"}}
quotas:
  - {user: P-rotated, consumer_byte_rate: 500}
  - {user: P-new, client_id: etl, consumer_byte_rate: 1000}
"""
# The same with connectors, for a broker with a worker; LOGIN is that of the new user.
CONNECTORS_BEFORE = """connectors:
  P-old:
    class: org.apache.kafka.connect.file.FileStreamSinkConnector
    config: {topics: P.a, file: /dev/null}
"""
CONNECTORS_AFTER = """connectors:
  P-old:
    class: org.apache.kafka.connect.file.FileStreamSinkConnector
    config: {topics: "P.a,P.c", file: /dev/null}
  P-made:
    class: org.apache.kafka.connect.file.FileStreamSinkConnector
    config: {topics: P.c, file: /dev/null, consumer.override.sasl.jaas.config: 'LOGIN'}
"""
OF_NEW = 'org.apache.kafka.common.security.scram.ScramLoginModule required username="P-new" password="{{ var.word }}";'


@dataclass(frozen=True)
class Trial:
    """What a death at one point led to."""

    point: int
    label: str
    verdict: str
    output: str = ""

    @property
    def is_lost(self) -> bool:
        return self.verdict == "LOST"


@dataclass
class Trials:
    """A broker on which a change of access is killed."""

    kafka: SecureKafka
    worker: ConnectWorker | None = None

    def __post_init__(self) -> None:
        self.kafka.add_user("kplan", PASSWORD)
        self.admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap})
        self.allow_everything("User:kplan")
        self.login = {
            "bootstrap.servers": self.kafka.at("SCRAM"),
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": "kplan",
            "sasl.password": PASSWORD,
            "ssl.ca.location": str(self.kafka.servers.file),
        }

    def allow_everything(self, principal: str) -> None:
        names = [f"{principal}/allow/All/{place}" for place in PLACES]
        for future in self.admin.create_acls([to_wire(parse_binding(name)) for name in names]).values():
            future.result(10)

    def see(self, prefix: str) -> dict[str, Any]:
        """All that a trial may change."""
        client = Client({"bootstrap.servers": self.kafka.bootstrap}, 30, 3, 1, (), print)
        quotas = KafkaQuotas(client)
        try:
            users = KafkaUsers(client).read([f"{prefix}-rotated", f"{prefix}-new"]).resources.values()
            passwords = {
                word: Logins(self.login).check({
                    Address("user", name): Credentials(name, "SCRAM-SHA-512", word)
                    for name in (f"{prefix}-rotated", f"{prefix}-new")
                })
                for word in (OLD, NEW)
            }  # fmt: skip
            return {
                "topics": sorted(name for name in client.metadata().topics if name.startswith(prefix)),
                "bindings": sorted(a.name for a in KafkaAcls(client).read(None).resources if prefix in a.name),
                "connectors": self._see_connectors(prefix),
                "users": {user.name: dict(getattr(user, "mechanisms", {})) for user in users},
                "logins": {word: sorted(a.name for a, ok in each.items() if ok) for word, each in passwords.items()},
                "quotas": {
                    a.name: dict(getattr(quota, "values", {}))
                    for a, quota in quotas.read(None).resources.items()
                    if prefix in a.name
                },
            }
        finally:
            quotas.close()

    def _see_connectors(self, prefix: str) -> dict[str, Any]:
        if self.worker is None:
            return {}
        listed = self.worker.request("GET", "/connectors?expand=info")
        return {name: each["info"]["config"] for name, each in listed.items() if name.startswith(prefix)}

    def write(self, stack: str, connectors: str, prefix: str) -> str:
        """Return the text of a stack with the names of a trial."""
        whole = stack + (connectors.replace("LOGIN", OF_NEW) if self.worker else "")
        if self.worker and connectors is CONNECTORS_AFTER:
            whole = whole.replace("User:P-new: {", "User:P-new: {connectors: P-made, ")
        return whole.replace("P", prefix)

    def machine(self, prefix: str, stack: str = "") -> Path:
        """A folder with kplan.yaml, and with the stack where there is one."""
        folder = Path(tempfile.mkdtemp(prefix="kplan-access-"))
        environment: dict[str, Any] = {
            "kafka": self.login,
            "state": {"kafka_topic": f"__kplan.{prefix}"},  # so that no trial recovers the run of another one
            "timeouts": {"request": "10s", "settle": "30s", "session": "6s"},
        }
        if self.worker is not None:
            environment["connect"] = {"url": self.worker.url}
        (folder / "kplan.yaml").write_text(json.dumps({"version": 1, "environments": {"here": environment}}))
        if stack:
            (folder / "stack.yaml").write_text(stack)
        return folder

    def run(
        self, folder: Path, *arguments: str, module: Sequence[str] = ("kplan",)
    ) -> subprocess.CompletedProcess[str]:
        words = {"KPLAN_VAR_word": OLD, "KPLAN_VAR_other": NEW, "PYTHONPATH": str(Path(__file__).parents[2])}
        return subprocess.run(
            [sys.executable, "-m", *module, *arguments],
            cwd=folder,
            env={**words, "PATH": "/usr/bin:/bin", "HOME": str(folder), "NO_COLOR": "1"},
            text=True,
            capture_output=True,
            timeout=240,
        )

    def list_points(self) -> list[str]:
        """The labels of the points of one apply that nothing kills."""
        prefix = "count"
        self._begin(prefix)
        folder = self.machine(prefix, self.write(AFTER, CONNECTORS_AFTER, prefix))
        told = folder / "points"
        ended = self.run(
            folder, "--points", str(told), "--", "apply", "stack.yaml", "--yes", module=("tests.faults.crash",)
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return [line.partition(" ")[2] for line in told.read_text().splitlines()]

    def _begin(self, prefix: str) -> dict[str, Any]:
        ended = self.run(
            self.machine(prefix, self.write(BEFORE, CONNECTORS_BEFORE, prefix)), "apply", "stack.yaml", "--yes"
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return self.see(prefix)

    def plan_among(self, bindings: int) -> Trial:
        """Plan a stack among so many foreign bindings: all are read, and none is in the plan."""
        per_request = 5_000
        names = [f"User:f{number % 500}/allow/Read/topic/foreign.{number}" for number in range(bindings)]
        for start in range(0, bindings, per_request):
            wire = [to_wire(parse_binding(name)) for name in names[start : start + per_request]]
            for future in self.admin.create_acls(wire, request_timeout=120).values():
                future.result(120)
        folder = self.machine("among", "version: 1\nstack: among\naccess: {User:among: {produce: among.a}}\n")
        began = time.monotonic()
        planned = self.run(folder, "plan", "stack.yaml", "--log-level", "debug")
        took = f"a plan among {bindings:,} foreign bindings, {time.monotonic() - began:.1f} s"
        listed = self.run(folder, "list", "--kind", "acl", "--unowned", "--format", "json")
        is_whole = (
            planned.returncode == 0 and "1 to add" in planned.stdout and listed.stdout.count("foreign.") >= bindings
        )
        said = f"{planned.stdout[-2000:]}{planned.stderr[-2000:]}{listed.stderr[-2000:]}"
        return Trial(0, took, "before" if is_whole else "LOST", said)

    def kill(self, point: int, label: str) -> Trial:
        """Kill an apply at the point and recover it in another folder, which has no stack file."""
        prefix = f"t{point}x"
        before = self._begin(prefix)
        folder = self.machine(prefix, self.write(AFTER, CONNECTORS_AFTER, prefix))
        command = ("--at", str(point), "--", "apply", "stack.yaml", "--yes")
        killed = self.run(folder, *command, module=("tests.faults.crash",))
        recovered = self.run(self.machine(prefix), "recover", "--yes", "--var", f"word={OLD}", "--var", f"other={NEW}")
        now = self.see(prefix)
        said = killed.stdout + killed.stderr + recovered.stdout + recovered.stderr
        if any(word in said for word in (OLD, NEW, PASSWORD)):
            return Trial(point, label, "LOST", f"a password is shown\n{said}")
        if now == before and recovered.returncode in (0, 7):
            return Trial(point, label, "before")
        again = self.run(folder, "apply", "stack.yaml", "--yes", "--lock-timeout", "30s")
        if recovered.returncode == 0 and "No changes" in again.stdout and now == self.see(prefix):
            return Trial(point, label, "after")
        left = recovered.stdout.partition("INCOMPLETE")[2].partition("To try again")[0].splitlines()[1:]
        if recovered.returncode == 8 and left and all(line.startswith(f"  user/{prefix}-rotated ") for line in left):
            return Trial(point, label, "named")
        return Trial(point, label, "LOST", f"{said}{again.stdout}{again.stderr}\nbefore {before}\nnow    {now}")


@contextmanager
def start_trials() -> Iterator[Trials]:
    """A broker for trials, with the certificates in a folder of their own, and a worker that may do everything."""
    with tempfile.TemporaryDirectory() as folder, SecureKafka(Path(folder)) as kafka:
        trials = Trials(kafka)
        kafka.add_user(WORKER, WORD)
        trials.allow_everything(f"User:{WORKER}")
        with make_worker(kafka, Path(folder, "plugins"), WORKER) as worker:
            trials.worker = worker
            yield trials


def run(trials: Trials, points: Sequence[tuple[int, str]]) -> list[Trial]:
    """The outcome of a death at each of the points."""
    with ThreadPoolExecutor(LANES) as pool:
        return list(pool.map(lambda each: trials.kill(*each), points))


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.faults.access")
    parser.add_argument("--only", default="", help="points, such as 3-9")
    parser.add_argument("--bindings", type=int, default=60_000, help="foreign ones, for the plan among them")
    asked = parser.parse_args(arguments)
    with start_trials() as trials:
        points = list(enumerate(trials.list_points(), 1))
        if asked.only:
            first, _, last = asked.only.partition("-")
            points = points[int(first) - 1 : int(last or first)]
        outcomes = run(trials, points)
        outcomes += [] if asked.only else [trials.plan_among(asked.bindings)]
    for outcome in outcomes:
        print(f"{outcome.verdict:7}{outcome.point:4}  {outcome.label}")
        if outcome.is_lost:
            print(outcome.output)
    counts = {word: sum(o.verdict == word for o in outcomes) for word in ("before", "after", "named", "LOST")}
    print(", ".join(f"{number} {word}" for word, number in counts.items()))
    return int(counts["LOST"] > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
