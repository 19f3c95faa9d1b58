"""The crash matrix: kplan is killed at every point, recovered on another machine, and what is there is looked at.

    python -m tests.faults.matrix                      # everything
    python -m tests.faults.matrix apply --only 44-47   # four points of one phase

Afterwards live state, ledger and journal must be as before the apply or as after it. What the plan said cannot be
undone may differ, if recovery ends with 8 and names it. Anything else is lost, and the exit status says so.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.judging import (
    AFTER,
    BEFORE,
    FORWARD,
    LOST,
    NAMED,
    RECOVER,
    WAIT,
    Ground,
    Reference,
    Track,
    judged,
    told,
)
from tests.faults.proxy import Fault, Request, changing
from tests.faults.running import Ended, Running, kplan
from tests.faults.stage import Stage
from tests.faults.world import EVERY, FAILING, Scene, World

LANES = 10
LATE = (1.0, 4.0)  # seconds after the kill until what was on its way arrives; 4 is in the middle of the recovery


@dataclass(frozen=True)
class Phase:
    """`trial` is killed at each of its points, after `first` was killed at its own one; `last` has to mend it all."""

    name: str
    about: str
    last: tuple[str, ...]
    trial: tuple[str, ...] = ()  # the apply itself when empty
    first: Callable[[Sequence[str]], int] | None = None  # of the points of an apply, the one that it is killed at
    scene: Scene = EVERY
    begins: str = ""  # points before this label are those of another phase
    held: Callable[[Request], bool] | None = None  # not killed at points, but when such a request is on its way


def deep(points: Sequence[str]) -> int:
    """Everything that can be undone is done."""
    return points.index("create_partitions before") - 2


def torn(points: Sequence[str]) -> int:
    """In the middle of a replacement: the old connector is deleted, the new one is not there yet."""
    return points.index("DELETE connectors after") + 1


PHASES = (
    Phase("apply", "kill in apply, recover", RECOVER),
    Phase("rollback", "last step refused, kill in its rollback, recover", RECOVER, scene=FAILING,
          begins="journal failed"),
    Phase("recover", "kill after the last undoable wave, kill in recover, recover", RECOVER, RECOVER, deep),
    Phase("forward", "kill in apply, recover --forward", FORWARD),
    Phase("completing", "kill in a replacement, kill in recover --forward, the same again", FORWARD, FORWARD, torn),
    Phase("back", "kill in a replacement, kill in recover --forward, recover", RECOVER, FORWARD, torn),
    Phase("in flight", "kill while a change is on its way, which arrives later, recover", RECOVER, held=changing),
    Phase("in flight, forward", "the same with recover --forward", FORWARD, held=changing),
    Phase("in flight, state", "kill while a commit to the state is on its way, recover", RECOVER,
          held=lambda request: request.method == "EndTxn"),
    Phase("in flight, undo", "kill while an undo is on its way, which arrives later, recover", RECOVER, RECOVER, deep,
          held=changing),
)  # fmt: skip


@dataclass(frozen=True)
class Trial:
    phase: Phase
    point: int
    label: str
    late: float = 0.0

    def __str__(self) -> str:
        late = f", arriving {self.late:g} s later" if self.late else ""
        return f"{self.phase.name} {self.point}: {self.label}{late}"


@dataclass
class Score:
    """What became of a phase's trials."""

    tried: int = 0
    killed: int = 0
    ends: dict[str, int] = field(default_factory=lambda: dict.fromkeys((BEFORE, AFTER, NAMED, LOST), 0))
    seconds: float = 0.0  # of all of them together, although they run side by side

    def count(self, end: str, killed: bool, seconds: float) -> None:
        self.tried += 1
        self.killed += killed
        self.ends[end] += 1
        self.seconds += seconds


# -- one trial --------------------------------------------------------------------------------------------------------
def outcome(trial: Trial, world: World, reference: Reference) -> tuple[str, bool, str]:
    """How the world was found at the end, whether something was killed, and what kplan said."""
    said = []
    phase = trial.phase
    world.lane.proxied = phase.held is not None
    if phase.first is not None:
        ended = kplan(world.machine(world.stack), *world.apply, *WAIT, at=phase.first(reference.points))
        said.append(told(ended))
    command = [*(phase.trial or world.apply), *(() if phase.trial else WAIT)]
    machine = world.machine("" if phase.trial else world.stack)
    if phase.held is None:
        ended = kplan(machine, *command, at=trial.point)
        fault = None
    else:
        ended, fault = held(world, machine, command, phase.held, trial)
    killed = ended.killed
    said.append(told(ended))
    last = kplan(world.machine(), *phase.last)
    said.append(told(last))
    if fault is not None:
        fault.await_over(30)
        time.sleep(1)
    end, why = judged(world, reference, last.code, last.out)
    world.leave()
    return end, killed, "\n".join([*said, why])


def held(world: World, machine: Path, command: Sequence[str], wanted: Callable[[Request], bool],
         trial: Trial) -> tuple[Ended, Fault]:  # fmt: skip
    """Kills kplan when the request is with the proxy, which sends it on later."""
    running = Running(machine, command)
    fault = Fault("slow", wanted, skip=trial.point - 1, seconds=trial.late, hit=lambda _: running.send(signal.SIGKILL))
    world.lane.spoil(fault)
    return running.wait(), fault


# -- all of them ------------------------------------------------------------------------------------------------------
def trials(ground: Ground, phase: Phase) -> list[Trial]:
    """One for each point, found by a run that nobody kills."""
    points = ground.reference.points
    if phase.first is not None:
        track = ground.tracks[0]
        world = track.world()
        ended = kplan(world.machine(world.stack), *world.apply, *WAIT, at=phase.first(points))
        assert ended.killed, ended.out
        points = kplan(world.machine(), *phase.trial).points
        track.give_up()
    if phase.held is not None:
        labels = [label for label in points if label.endswith("before") and not label.startswith(("journal", "lock"))]
        if not phase.held(Request("CreateTopics")):
            labels = [label for label in points if label.endswith("open")]
        return [Trial(phase, n, label.rpartition(" ")[0], late) for late in LATE for n, label in enumerate(labels, 1)]
    begins = next((n for n, label in enumerate(points, 1) if label.startswith(phase.begins)), 1)
    return [Trial(phase, n, label) for n, label in enumerate(points, 1) if n >= begins]


def run(ground: Ground, todo: Sequence[Trial], say: Callable[[str], None]) -> dict[str, Score]:
    """The scores of the trials, by phase."""
    scores = {trial.phase.name: Score() for trial in todo}
    reference, turn = ground.reference, threading.Lock()

    def work(trial: Trial, track: Track) -> None:
        began = time.monotonic()
        try:
            end, killed, why = outcome(trial, track.world(), reference)
        except Exception as exception:
            end, killed, why = LOST, True, f"{type(exception).__name__}: {exception}"
        if end != BEFORE:
            track.give_up()
        seconds = time.monotonic() - began
        with turn:
            scores[trial.phase.name].count(end, killed, seconds)
            print(f"{seconds:6.1f} s  {end}: {trial}", file=sys.stderr, flush=True)
            if end == LOST:
                say(f"LOST {trial}\n{why}")
            elif not killed:
                say(f"not killed, {end}: {trial}")

    ground.each(todo, work)
    return scores


def table(scores: Mapping[str, Score]) -> str:
    """The matrix, with a sum."""
    head = ("points", "killed", BEFORE, AFTER, NAMED, LOST, "seconds")
    rows = {name: [s.tried, s.killed, *s.ends.values(), round(s.seconds)] for name, s in scores.items()}
    rows["all"] = [sum(cells) for cells in zip(*rows.values(), strict=True)]
    lines = [_row("phase", head), *(_row(name, cells) for name, cells in rows.items())]
    tried, lost = rows["all"][0], rows["all"][5]
    return "\n".join([*lines, "", f"points tried: {tried}, survived: {tried - lost}, lost: {lost}"])


def _row(name: str, cells: Iterable[object]) -> str:
    return f"{name:20}" + "".join(f"{cell:>11}" for cell in cells)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.faults.matrix")
    parser.add_argument("phases", nargs="*", metavar="PHASE", help="; ".join(f"{p.name}: {p.about}" for p in PHASES))
    parser.add_argument("--lanes", type=int, default=LANES, help="trials at a time")
    parser.add_argument("--every", type=int, default=1, help="only each so many-th point")
    parser.add_argument("--only", default="", metavar="FROM-TO", help="only these points")
    asked = parser.parse_args(arguments)
    unknown = set(asked.phases) - {phase.name for phase in PHASES}
    if unknown:
        parser.error(f"no such phase: {', '.join(unknown)}")
    first, _, last = asked.only.partition("-")

    def chosen(found: Sequence[Trial]) -> Iterable[Trial]:
        wanted = [t for t in found if not first or int(first) <= t.point <= int(last or first)]
        return wanted[:: asked.every]

    wanted = [phase for phase in PHASES if not asked.phases or phase.name in asked.phases]
    scores: dict[str, Score] = {}
    with Stage(asked.lanes) as stage:
        for scene in dict.fromkeys(phase.scene for phase in wanted):
            ground = Ground(stage, scene, "f" if scene.fails else "e")
            for phase in wanted:
                if phase.scene is scene:
                    todo = list(chosen(trials(ground, phase)))
                    scores |= run(ground, todo, lambda line: print(line, flush=True))
                    print(table(scores), flush=True)
            ground.clear()
    return int(any(score.ends[LOST] for score in scores.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
