"""The machine's clock is wrong, or jumps while kplan runs: plans, applies, deaths, recoveries and locks.

    python -m tests.faults.clocks                 # every kind of trial with every clock
    python -m tests.faults.clocks --times 1 jump

A library (clock.c, compiled by `cc`) moves the wall clock of kplan alone, as somebody does who sets the time: the
monotonic clock goes on, and what waits for a moment of the wall clock waits for it by the new time. Debian's
libfaketime cannot do that: under it, librdkafka's waits do not end (0.9.10).
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined]

from tests.services import KafkaCluster
from tests.services.process import ServiceMissing

TOPICS = 5
SHIFTS = {"+2h": 7200, "-2h": -7200, "+400d": 400 * 86400, "-400d": -400 * 86400}
LONGEST_S = 90.0
LATEST_S = 3.0  # of a jump, after the start
SESSION_S = 6
NONSENSE = re.compile(r"Traceback|K399|(?<![^\s(])-\d+(\.\d+)? ?(s|ms|min|h|d)\b")


class Clock:
    """The wall clock of the processes that get `environment`: the machine's, moved by `set`."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            raise ServiceMissing("no C compiler (cc): apt-get install gcc")
        library, self._file = folder / "clock.so", folder / "clock"
        source = Path(__file__).with_name("clock.c")
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
        self._file.write_bytes(struct.pack("q", 0))
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_FILE": str(self._file)}

    def set(self, seconds: float) -> None:
        """Move the clock at once, also of processes that run."""
        with self._file.open("r+b") as file, mmap.mmap(file.fileno(), 8) as memory:
            memory[:] = struct.pack("q", round(seconds * 1e9))


@dataclass(frozen=True, slots=True)
class Outcome:
    """One trial; `wrong` is empty where all is well."""

    kind: str
    clock: str
    codes: tuple[int, ...]
    seconds: float
    wrong: str
    output: str = field(repr=False)

    def __str__(self) -> str:
        codes = ", ".join(map(str, self.codes))
        line = f"{self.kind:7} {self.clock:6} {self.seconds:6.1f} s  exit {codes}"
        return f"{line}  WRONG {self.wrong}" if self.wrong else line


class Wrong(Exception):
    """What a trial expects did not come true."""


@dataclass
class Trial:
    """One stack on one cluster; kplan's clock is `clock`. Each kind of trial is a method."""

    cluster: KafkaCluster
    folder: Path
    clock: Clock
    name: str
    chooser: random.Random
    codes: list[int] = field(default_factory=list)
    output: list[str] = field(default_factory=list)

    def prepare(self) -> None:
        """Write the files, and apply the stack for the first time by the right clock."""
        self.folder.mkdir()
        environment = {"kafka": {"bootstrap.servers": self.cluster.bootstrap, "log_level": 0},
                       "timeouts": {"session": f"{SESSION_S}s"}}  # fmt: skip
        project = {"version": 1, "default": "dev", "environments": {"dev": environment}}
        (self.folder / "kplan.yaml").write_text(json.dumps(project))
        self.clock.set(0)
        self.write_stack(1)
        self.run("apply", "stack.yaml", "--yes")

    def write_stack(self, days: int) -> None:
        topics = {f"{self.name}.{n}": {"config": {"retention.ms": f"{days}d"}} for n in range(TOPICS)}
        (self.folder / "stack.yaml").write_text(json.dumps({"version": 1, "stack": self.name, "topics": topics}))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("KPLAN_", "KAFKA_"))}
        return subprocess.Popen(
            [sys.executable, "-m", "kplan", *arguments], cwd=self.folder, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
            env={**kept, **self.clock.environment, "NO_COLOR": "1", "PYTHONPATH": str(Path.cwd())},
        )  # fmt: skip

    def finish(self, process: subprocess.Popen[str], *expected: int) -> str:
        """What kplan printed. Raises Wrong where it hangs, or ends with another code than is expected."""
        try:
            output = process.communicate(timeout=LONGEST_S)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            self.output.append(process.communicate()[0])
            raise Wrong(f"it goes on for more than {LONGEST_S:g} s") from None
        self.codes.append(process.returncode)
        command = " ".join(map(str, process.args[3:])) if isinstance(process.args, list) else str(process.args)
        self.output.append(f"$ kplan {command}\n{output}")
        if found := NONSENSE.search(output):
            raise Wrong(f"it says {found[0]!r}")
        if process.returncode not in (expected or (0,)):
            raise Wrong(f"{command} ended with {process.returncode}")
        return output

    def await_run(self, apply: subprocess.Popen[str]) -> None:
        """Return at a random moment of the run, soon after it is recorded."""
        assert apply.stdout is not None
        if not any("journaled in" in line for line in apply.stdout):
            raise Wrong("no run began")
        time.sleep(self.chooser.uniform(0, 0.5))

    def run(self, *arguments: str, expected: Sequence[int] = (0,)) -> str:
        return self.finish(self.start(*arguments), *expected)

    def retentions(self) -> set[str]:
        admin = AdminClient({"bootstrap.servers": self.cluster.bootstrap, "log_level": 0})
        resources = [ConfigResource(ConfigResource.Type.TOPIC, f"{self.name}.{n}") for n in range(TOPICS)]
        return {str(f.result(20)["retention.ms"].value) for f in admin.describe_configs(resources).values()}

    def expect_days(self, *days: int) -> None:
        wanted = [{str(each * 86_400_000)} for each in days]
        if (found := self.retentions()) not in wanted:
            raise Wrong(f"the topics have retention.ms {found}, not {wanted}")

    def expect_clean(self) -> None:
        """Nothing is left to do: a plan is empty, no run is open, and all is well."""
        self.run("plan", "stack.yaml", "--detailed-exitcode")
        if "Nothing to recover" not in self.run("recover", "--list"):
            raise Wrong("a run is open")
        self.run("status", "stack.yaml")

    # -- the kinds of trials --------------------------------------------------------------------------------------
    def steady(self, shift: float) -> None:
        """Everything under the wrong clock; then a plan by the right one, and a change after it."""
        self.clock.set(shift)
        self.write_stack(2)
        self.run("apply", "stack.yaml", "--yes")
        self.expect_days(2)
        self.expect_clean()
        self.clock.set(0)
        self.expect_clean()
        self.write_stack(3)
        self.run("apply", "stack.yaml", "--yes")
        self.expect_days(3)
        self.expect_clean()

    def jump(self, shift: float) -> None:
        """The clock jumps at a random moment of an apply, and back at one of a plan."""
        self.write_stack(2)
        apply = self.start("apply", "stack.yaml", "--yes")
        time.sleep(self.chooser.uniform(0.2, LATEST_S))
        self.clock.set(shift)
        self.finish(apply)
        self.expect_days(2)
        plan = self.start("plan", "stack.yaml", "--detailed-exitcode")
        time.sleep(self.chooser.uniform(0.2, 1.0))
        self.clock.set(0)
        self.finish(plan)
        self.expect_clean()

    def killed(self, shift: float) -> None:
        """An apply is killed under one clock, and recovered under the opposite one."""
        self.clock.set(-shift)
        self.write_stack(2)
        apply = self.start("apply", "stack.yaml", "--yes")
        self.await_run(apply)
        apply.send_signal(signal.SIGKILL)
        self.output.append(apply.communicate()[0])
        self.clock.set(shift)
        self.run("recover", "--yes", "--lock-timeout", "60s")
        self.expect_days(1, 2)
        self.clock.set(0)
        self.run("apply", "stack.yaml", "--yes", "--lock-timeout", "60s")  # killed before it began, it has the lock
        self.expect_days(2)
        self.expect_clean()

    def saved(self, shift: float) -> None:
        """A plan is saved under the wrong clock and applied by the right one, and the other way round."""
        for days, first, second in ((2, shift, 0.0), (3, 0.0, shift)):
            self.clock.set(first)
            self.write_stack(days)
            self.run("plan", "stack.yaml", "--out", f"plan{days}.json")
            self.clock.set(second)
            self.run("apply", f"plan{days}.json", "--yes")
            self.expect_days(days)
            self.expect_clean()

    def locked(self, shift: float) -> None:
        """A holder is stopped under one clock; an apply under the other is refused, and the holder goes on."""
        self.clock.set(shift)
        self.write_stack(2)
        apply = self.start("apply", "stack.yaml", "--yes")
        with suppress(ProcessLookupError):
            self.await_run(apply)
            apply.send_signal(signal.SIGSTOP)
            try:
                self.clock.set(-shift)
                self.run("apply", "stack.yaml", "--yes", "--lock-timeout", "0s", expected=(0, 5, 6, 8))
            finally:
                apply.send_signal(signal.SIGCONT)
        self.finish(apply, 0, 1, 5, 6, 8)
        self.run("recover", "--yes", "--lock-timeout", "60s")
        self.run("apply", "stack.yaml", "--yes", "--lock-timeout", "60s")
        self.expect_days(2)
        self.clock.set(0)
        self.expect_clean()


KINDS: dict[str, Callable[[Trial, float], None]] = {
    "steady": Trial.steady, "jump": Trial.jump, "killed": Trial.killed, "saved": Trial.saved, "locked": Trial.locked,
}  # fmt: skip


@contextmanager
def ground() -> Iterator[tuple[KafkaCluster, Path]]:
    """A broker, and a folder."""
    with KafkaCluster() as cluster, tempfile.TemporaryDirectory(prefix="kplan-clocks-") as folder:
        yield cluster, Path(folder)


def try_one(cluster: KafkaCluster, folder: Path, kind: str, clock: str, number: int, seed: int) -> Outcome:
    """Do one trial in a stack of its own."""
    name = f"clock{number}"
    (folder / name).mkdir()
    trial = Trial(cluster, folder / name / "work", Clock(folder / name), name, random.Random(seed + number))
    began, wrong = time.monotonic(), ""
    try:
        trial.prepare()
        KINDS[kind](trial, SHIFTS[clock])
    except Wrong as failure:
        wrong = str(failure)
    return Outcome(kind, clock, tuple(trial.codes), time.monotonic() - began, wrong, "\n".join(trial.output))


def run(kinds: Sequence[str], times: int, seed: int, say: Callable[[Outcome], None]) -> list[Outcome]:
    """Try each kind with each clock, so many times."""
    outcomes: list[Outcome] = []
    with ground() as (cluster, folder):
        for _ in range(times):
            for kind in kinds:
                for clock in SHIFTS:
                    outcomes.append(try_one(cluster, folder, kind, clock, len(outcomes), seed))
                    say(outcomes[-1])
    return outcomes


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", choices=[[], *KINDS], help="all without one")
    parser.add_argument("--times", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)

    def say(outcome: Outcome) -> None:
        print(outcome, flush=True)
        if outcome.wrong:
            print(outcome.output, flush=True)

    outcomes = run(options.kinds or list(KINDS), options.times, options.seed, say)
    wrong = sum(1 for outcome in outcomes if outcome.wrong)
    longest = max(each.seconds for each in outcomes)
    print(f"{len(outcomes)} trials of the clock, the longest {longest:.1f} s, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
