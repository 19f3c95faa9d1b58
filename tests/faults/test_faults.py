"""A selection of the crash matrix, the fault list and the lock trials; `make faults` runs all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults import brokers, clocks, database, faults, locks, matrix, rights
from tests.faults.judging import LOST, Ground, Reference
from tests.faults.stage import Stage
from tests.faults.world import SMALL, World
from tests.services import ServiceMissing
from tests.services.fixtures import without

pytestmark = pytest.mark.xdist_group("faults")  # starts its own

LANES = 4
COUNTS = {"apply": 4, "forward": 1, "in flight": 1}
POINTS = {"recover": (12,), "completing": (11,)}
CASES = (
    "Kafka: cut: CreateTopics",
    "Connect: 500 though done: POST connectors",
    "state: reset: EndTxn",
    "right lost: Alter and Delete on Topic at CreatePartitions",
    "right lost: Write on the state at EndTxn 6",
)
DATABASE_CASE = "killed before a connector is created"


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    try:
        with Stage(LANES, properties=rights.GUARDED) as started:
            yield started
    except ServiceMissing as missing:
        without(missing)


@pytest.fixture(scope="module")
def ground(stage: Stage) -> Ground:
    return Ground(stage, SMALL, "t")


def spread(trials: Sequence[matrix.Trial], count: int) -> list[matrix.Trial]:
    """So many of them, at the same distance from each other."""
    gap = len(trials) / count
    return [trials[int(gap * (n + 0.4))] for n in range(count)]


def test_a_death_at_any_point_is_recovered(ground: Ground) -> None:
    phases = {phase.name: replace(phase, scene=SMALL) for phase in matrix.PHASES}
    trials = [trial for name, n in COUNTS.items() for trial in spread(matrix.trials(ground, phases[name]), n)]
    trials += [matrix.Trial(phases[name], n, "") for name, points in POINTS.items() for n in points]
    lost: list[str] = []
    scores = matrix.run(ground, trials, lost.append)
    print(matrix.table(scores))
    assert not any(score.ends[LOST] for score in scores.values()), "\n".join(lost)
    assert sum(score.killed for score in scores.values()) >= len(trials) - 1


def test_a_fault_is_survived_or_put_back(ground: Ground) -> None:
    cases = [
        case
        for make in (faults.lost_answers, faults.refusals, faults.rights_lost)
        for case in make()
        if str(case) in CASES
    ]
    assert len(cases) == len(CASES)
    lost: list[str] = []
    scores = faults.run(ground, cases, lost.append)
    print(faults.table(scores))
    assert not any(score.ends[LOST] for score in scores.values()), "\n".join(lost)


def test_a_database_that_ends_in_an_apply_leaves_nothing_behind(stage: Stage, tmp_path: Path) -> None:
    lane = stage.lanes[0]
    lane.proxied = True
    (case,) = [each for each in faults.database_ends(database.POSTGRES) if each.name == DATABASE_CASE]
    with database.started(database.POSTGRES, tmp_path) as stage.database:
        world = World(lane, "base", database.scene(stage.database, stage.kafka.bootstrap))
        world.make()
        end, why = faults.outcome(case, world, Reference(world.seen(), {}, ()))
        world.remove()
    assert end in ("7, before", "8, before"), why


def test_never_two_in_one_wave(stage: Stage) -> None:
    wrong: list[str] = []
    kinds = {
        "two at once": locks.Kind(2, 3),
        "five at once": locks.Kind(5, 1),
        "three, waiting": locks.Kind(3, 1, waiting=True),
    }
    scores = locks.trials(stage, kinds, wrong.append, every=12)
    print(locks.table(scores))
    assert not wrong, "\n".join(wrong)
    assert scores["two at once"].refused + scores["two at once"].stale > 0


def test_an_apply_ends_soon_after_one_broker_of_three_died() -> None:
    try:
        with brokers.ground() as trial:
            outcomes = brokers.run(trial, 2, seed=2, say=print)
    except ServiceMissing as missing:
        without(missing)
    assert not [str(outcome) + outcome.output for outcome in outcomes if outcome.wrong]


def test_an_apply_goes_on_when_the_clock_jumps() -> None:
    """By more than brokers accept in the time of a record."""
    outcomes: list[clocks.Outcome] = []
    try:
        with clocks.ground() as (cluster, folder):
            outcomes.append(clocks.try_one(cluster, folder, "jump", "+2h", 0, seed=2))
    except ServiceMissing as missing:
        without(missing)
    assert not [str(outcome) + outcome.output for outcome in outcomes if outcome.wrong]
