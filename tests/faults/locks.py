"""Lock trials: applies of one stack at the same time, and a holder that was stopped and wakes.

    python -m tests.faults.locks --trials 100

Of applies at once each changes the same topics to what only it wants. Two records prove that never two were in one
wave: the journal, where between a run's `begin` and its `end` no other run wrote, and the points that each process
noted when it sent something. Who did not get the lock ends with 6 and says who has it, or waits, as it was asked to.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from confluent_kafka import Consumer, TopicPartition

from tests.faults.judging import RECOVER, WAIT, Ground, Reference, Track
from tests.faults.running import Running, kplan
from tests.faults.stage import Stage
from tests.faults.world import SESSION, Scene, World, differing

SHARED = "version: 1\nstack: P\ntopics:\n" + "".join(f"  P.{n}: {{config: {{retention.ms: WANTED}}}}\n" for n in "abc")
SCENE = Scene(SHARED.replace("WANTED", "1000000"), SHARED)
TAKEN = Scene(
    "version: 1\nstack: P\ntopics:\n  P.old: {config: {retention.ms: 1d}}\n",
    "version: 1\nstack: P\ntopics:\n  P.new:\n  P.old: {config: {retention.ms: 2d}}\n",
)
WHO = re.compile(r"locked by \S+@\S+.*?\(run \d{8}T\d{6}Z-\w{4}|\S+@\S+ has locked stack .*\(run \d{8}T")
STALE, LOCKED = 5, 6
LANES = 4
UNFENCED = ("create_topics before", "incremental_alter_configs before")


@dataclass
class Score:
    """`late` are changes of a holder that was stopped just before it sent a request: none can be fenced.

    `wrong` says of each trial that went wrong what it was.
    """

    trials: int = 0
    applied: int = 0
    refused: int = 0
    stale: int = 0
    waves: int = 0
    late: int = 0
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class Kind:
    """Trials of so many applies at once; with `waiting` each waits for its turn."""

    processes: int
    times: int
    waiting: bool = False


@dataclass(frozen=True)
class Wave:
    """From the journal's `will` to its `did`, by the clock that all processes share."""

    process: int
    first: float
    last: float


def records(world: World) -> list[tuple[str, str]]:
    """The journal as it was written: run and event, by offset."""
    consumer = Consumer({
        "bootstrap.servers": world.lane.stage.kafka.bootstrap, "group.id": "audit", "enable.auto.commit": False,
        "isolation.level": "read_committed", "enable.partition.eof": True,
    })  # fmt: skip
    consumer.assign([TopicPartition(world.state, 0, 0)])
    found = []
    while (message := consumer.poll(10)) is not None and message.error() is None:
        key = (message.key() or b"").decode().split("/")
        if key[2] == "run" and message.value():
            found.append((key[3], str(json.loads(message.value() or b"{}")["event"])))
    consumer.close()
    return found


def interleaved(found: Sequence[tuple[str, str]]) -> list[str]:
    """Runs that wrote while another one had begun and not ended."""
    wrong = []
    open_ = ""
    for run, event in found:
        if open_ and run != open_:
            wrong.append(f"{run} wrote {event} while {open_} was on its way")
        open_ = "" if event == "end" else run
    return wrong


def overlapping(waves: Sequence[Wave]) -> list[str]:
    """Waves of two processes that were on their way at the same moment."""
    wrong = []
    latest: Wave | None = None
    for wave in sorted(waves, key=lambda each: each.first):
        if latest is not None and wave.first < latest.last and wave.process != latest.process:
            wrong.append(f"processes {latest.process} and {wave.process} were in a wave at once")
        latest = wave if latest is None or wave.last > latest.last else latest
    return wrong


def waves(process: int, running: Running) -> list[Wave]:
    found: list[Wave] = []
    for label, moment in zip(running.points, running.times, strict=True):
        if label == "journal will after":
            if found and found[-1].last == float("inf"):  # it was late, and is said again before anything is sent
                found.pop()
            found.append(Wave(process, moment, float("inf")))
        elif label in ("journal did before", "journal failed before"):
            found[-1] = replace(found[-1], last=moment)
    return found


def at_once(world: World, kind: Kind, score: Score) -> None:
    """One trial: applies start together, each wanting another retention."""
    count, waiting = kind.processes, kind.waiting
    wanted = [str(1_000_000 + 1000 * (score.trials * count + n + 1)) for n in range(count)]
    machines = [world.machine(world.named(SHARED).replace("WANTED", each)) for each in wanted]
    timeout = ("--lock-timeout", "60s") if waiting else ()
    command = ["apply", "stack.yaml", "--yes", "--offline", "--brief", *timeout]
    every = [Running(machine, command) for machine in machines]
    while any(running.alive for running in every):
        time.sleep(0.05)
    sent = [wave for n, running in enumerate(every) for wave in waves(n, running)]
    ends = [running.wait() for running in every]
    score.trials += 1
    score.waves += len(sent)
    wrong = overlapping(sent) + interleaved(records(world))
    for ended in ends:
        score.applied += ended.code == 0
        score.refused += ended.code == LOCKED
        score.stale += ended.code == STALE
        if ended.code == LOCKED and not WHO.search(" ".join(ended.out.split())):
            wrong.append(f"it does not say who holds the lock:\n{ended.out}")
        if ended.code not in (0, STALE, LOCKED) or (waiting and ended.code == LOCKED):
            wrong.append(f"one ended with {ended.code}:\n{ended.out}")
    last = [each for each, ended in zip(wanted, ends, strict=True) if ended.code == 0]
    live = world.seen()["topic/P.a"]["config"]["retention.ms"]
    if not last or live not in last:
        wrong.append(f"{live} is live, and those who succeeded wanted {last}")
    score.wrong += wrong
    world.leave()


def stopped(world: World, reference: Reference, point: int, label: str, score: Score) -> list[str]:
    """What went wrong when the holder was stopped at a point, another one took over and put it back, and it woke."""
    # The session of the holder before, which was superseded, may still be open.
    holder = Running(world.machine(world.stack), [*world.apply, *WAIT], ["--stop", str(point)])
    while holder.alive and len(holder.points) < point:
        time.sleep(0.05)
    if not holder.alive:
        ended = holder.wait()
        world.leave()
        return [f"point {point}, {label}, was not reached: it ended with {ended.code}\n{ended.out}"]
    time.sleep(SESSION + 1)
    other = kplan(world.machine(), *RECOVER)
    between = world.seen()
    holder.send(signal.SIGCONT)
    ended = holder.wait()
    after = world.seen()
    world.leave()
    wrong = []
    if other.code != 0 or differing(reference.before, between):
        wrong.append(f"recover ended with {other.code}: {differing(reference.before, between)}\n{other.out}")
    if ended.code in (0, 7):
        wrong.append(f"it ended with {ended.code}, as if nobody had taken over\n{ended.out}")
    moved = differing(between, after)
    if moved and label in UNFENCED:
        score.late += 1
    elif moved:
        wrong.append(f"it changed {moved}, with {', '.join(ended.points[point:])}\n{ended.out}")
    return [f"stopped at point {point}, {label}: {line}" for line in wrong]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.faults.locks")
    parser.add_argument("--trials", type=int, default=100, help="of two at once, and of ten at once")
    asked = parser.parse_args(arguments)
    with Stage(LANES) as stage:
        kinds = {
            "two at once": Kind(2, asked.trials),
            "ten at once": Kind(10, asked.trials),
            "ten, waiting": Kind(10, max(1, asked.trials // 20), waiting=True),
        }
        scores = trials(stage, kinds, lambda line: print(line, flush=True))
    print(table(scores))
    return int(any(score.wrong for score in scores.values()))


def trials(stage: Stage, kinds: Mapping[str, Kind], say: Callable[[str], None], every: int = 1) -> dict[str, Score]:
    """The scores of all kinds of trials at once, and of each `every`-th point to be stopped at."""
    scores: dict[str, Score] = {}
    for name, kind in kinds.items():
        world = World(stage.lanes[0], f"l{len(scores)}x", SCENE)
        world.make()
        score = scores[name] = Score()
        began = time.monotonic()
        for _ in range(kind.times):
            known = len(score.wrong)
            at_once(world, kind, score)
            for line in score.wrong[known:]:
                say(f"WRONG {name}, trial {score.trials}: {line}")
        score.seconds = time.monotonic() - began
        world.remove()
    scores["stopped and woken"] = awake(stage, say, every)
    return scores


def awake(stage: Stage, say: Callable[[str], None], every: int) -> Score:
    """The score of a holder that is stopped at each point between the beginning and the end of its run."""
    score, turn, began = Score(), threading.Lock(), time.monotonic()
    ground = Ground(stage, TAKEN, "s")
    reference = ground.reference
    first, last = (reference.points.index(f"journal {event} after") for event in ("begin", "end"))

    def work(place: tuple[int, str], track: Track) -> None:
        wrong = stopped(track.world(), reference, *place, score)
        if differing(reference.before, track.world().seen()):
            track.give_up()
        with turn:
            score.trials += 1
            score.wrong += wrong
            for line in wrong:
                say(f"WRONG {line}")

    ground.each(list(enumerate(reference.points, 1))[first:last:every], work)
    ground.clear()
    score.seconds = time.monotonic() - began
    return score


def table(scores: dict[str, Score]) -> str:
    head = ("trials", "applied", "refused", "stale", "waves", "late", "WRONG", "seconds")
    lines = [f"{'locks':20}" + "".join(f"{cell:>10}" for cell in head)]
    for name, s in scores.items():
        cells = (s.trials, s.applied, s.refused, s.stale, s.waves, s.late, len(s.wrong), round(s.seconds))
        lines.append(f"{name:20}" + "".join(f"{cell:>10}" for cell in cells))
    tried, wrong = sum(s.trials for s in scores.values()), sum(len(s.wrong) for s in scores.values())
    return "\n".join([*lines, "", f"lock trials: {tried}, wrong: {wrong}"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
