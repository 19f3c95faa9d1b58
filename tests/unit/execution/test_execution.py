"""Whatever the stack and what is live: a failure or a death at any point leaves the state before, or the one after."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from kplan.diagnostics import KplanError, Rejected, Timeout, codes
from kplan.execution.apply import Apply
from kplan.execution.recovery import Recovery, rebuild_plan
from kplan.execution.run import Result, Run, make_reader
from kplan.model import Action, Address, Change, Connector, Move, Owned, Removal, Resource, Stack, Topic
from kplan.model.journal import Entry, replay
from kplan.planning.document import Plan
from kplan.servers.base import Cluster, Outcome, Progress
from kplan.servers.simulated import SimulatedConnectors
from kplan.state.base import Holder, Lock, Store
from tests.examples import examples
from tests.unit.planning.test_planning import applied, everything, fits, opened, planned, resources

SETTINGS = examples(25)
ELSEWHERE = ["theirs", "orders", "billing.events"]  # some are names that the stack may declare, too


class Death(BaseException):
    """The process ends here: nothing is caught, nothing is put back."""


@dataclass
class Points:
    """Counts where a run may end; at the chosen one, `do` is done."""

    chosen: int = 0
    do: Callable[[], None] = lambda: None
    count: int = 0

    def reach(self) -> bool:
        """Whether this is the one."""
        self.count += 1
        if self.count == self.chosen:
            self.do()
        return self.count == self.chosen


def die() -> None:
    raise Death


@dataclass
class Mortal:
    """A backend on which a run may die before, in the middle of, and after each wave, and while it settles."""

    backend: Any
    points: Points

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def act(self, changes: Sequence[Change], captured: Mapping[Address, Any]) -> Mapping[Address, Outcome]:
        self.points.reach()
        half = len(changes) // 2
        outcomes = dict(self.backend.act(changes[:half], captured)) if half else {}
        self.points.reach()
        outcomes |= self.backend.act(changes[half:], captured)
        self.points.reach()
        return outcomes

    def settle(self, changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        outcomes = self.backend.settle(changes, progress)
        self.points.reach()
        return outcomes  # type: ignore[no-any-return]


FAILURES: Mapping[str, Callable[[], KplanError]] = {
    "refused": lambda: Rejected("no"),
    "lost": lambda: Timeout("the answer was lost"),
    "done, and the answer was lost": lambda: Timeout("the answer was lost"),
    "done, and then it does not run": lambda: KplanError("it failed", code=codes.K512),
}


@dataclass
class Faulty(Mortal):
    """A backend on which one change fails, the `victim`-th of its wave, in one of the ways of FAILURES."""

    how: str = ""
    victim: int = 0

    def act(self, changes: Sequence[Change], captured: Mapping[Address, Any]) -> Mapping[Address, Outcome]:
        if not self.points.reach() or self.how == "done, and then it does not run":
            return self.backend.act(changes, captured)  # type: ignore[no-any-return]
        victim = changes[self.victim % len(changes)]
        sent = changes if self.how.startswith("done") else [c for c in changes if c is not victim]
        outcomes = dict(self.backend.act(sent, captured)) if sent else {}
        failure = FAILURES[self.how]()
        return {**outcomes, victim.address: Outcome(failure, unsure=failure.applied is None)}

    def settle(self, changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        outcomes = dict(self.backend.settle(changes, progress))
        if self.how == "done, and then it does not run" and self.points.count == self.points.chosen:
            self.points.count += 1  # the undo that follows is well
            outcomes[changes[self.victim % len(changes)].address] = Outcome(FAILURES[self.how]())
        return outcomes


@dataclass
class MortalLock:
    """A lock whose holder may die before and after each write."""

    lock: Lock
    points: Points

    def write(self, entries: Sequence[Entry] = (), ledger: Mapping[Address, Owned | None] | None = None) -> None:
        self.points.reach()
        self.lock.write(entries, ledger)
        self.points.reach()


@dataclass
class MortalStore:
    store: Any
    points: Points

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    @contextmanager
    def lock(self, stack: str, holder: Holder, timeout: float) -> Iterator[Lock]:
        with self.store.lock(stack, holder, timeout) as lock:
            yield MortalLock(lock, self.points)


@dataclass(frozen=True)
class Seen:
    """All that is there: resources, offsets and the ledger."""

    live: Mapping[Address, Resource]
    offsets: Mapping[str, str]
    ledger: Mapping[Address, Owned]

    def differing(self, other: Seen) -> set[Address]:
        """The addresses at which two looks differ, offsets and ledger included."""
        found = {a for a in self.live.keys() | other.live.keys() if self.live.get(a) != other.live.get(a)}
        names = self.offsets.keys() | other.offsets.keys()
        found |= {Address("connector", n) for n in names if self.offsets.get(n) != other.offsets.get(n)}
        return found | {a for a in self.ledger.keys() | other.ledger.keys() if self.record(a) != other.record(a)}

    def record(self, address: Address) -> Owned | None:
        """The ledger's record, without when and by which run."""
        owned = self.ledger.get(address)
        return None if owned is None else replace(owned, run="", at="")


def look(folder: str) -> Seen:
    cluster, store = opened(folder)
    connectors = cluster.connectors
    assert isinstance(connectors, SimulatedConnectors)
    offsets = dict(connectors.file.read("SELECT name, offsets FROM sim_offsets"))
    return Seen(dict(everything(cluster)), {n: o for n, o in offsets.items() if o != "[]"}, dict(store.ledger()))


@dataclass
class Scene:
    """A folder with a live state of whatever kind, and the plan of a stack on it."""

    folder: str
    plan: Plan
    before: Seen
    after: Seen
    points: int  # of an apply that nobody disturbs
    acts: int  # its waves

    @property
    def lasting(self) -> set[Address]:
        """What the plan says cannot be undone."""
        return {change.address for change in self.plan.changes if change.irreversible}


@st.composite
def stacks(draw: st.DrawFn) -> tuple[Stack, Stack, tuple[str, ...]]:
    """The stack that was applied first, the one that is applied now, and whose replacement is asked for."""
    first, second = draw(resources()), draw(resources())
    moved: tuple[Move, ...] = ()
    gone = [a for a in first if a not in second]
    from_, to = (next((a for a in some if isinstance(some[a], Connector)), None) for some in (first, second))
    if from_ in gone and to is not None and to not in first and draw(st.booleans()):
        moved = (Move(from_, to),)
        gone.remove(from_)
    keep = draw(st.sets(st.sampled_from(gone))) if gone else set()
    removed = tuple(Removal(address, keep=address in keep) for address in gone)
    both = [a for a in second if a in first and not moved]
    replaced = draw(st.sets(st.sampled_from(both), max_size=1)) if both else set()
    return Stack("s", "local", first), Stack("s", "local", second, removed, moved), tuple(map(str, replaced))


@contextmanager
def scene(parts: tuple[Stack, Stack, tuple[str, ...]], theirs: Sequence[str]) -> Iterator[Scene]:
    first, second, replaced = parts
    with tempfile.TemporaryDirectory() as parent:
        folder = str(Path(parent, "one"))
        Path(folder).mkdir()
        cluster, store = opened(folder)
        applied(planned(first, cluster, store), cluster, store, "run0")
        strangers = [Topic(n, 2, 3) for n in theirs if Address("topic", n) not in first.resources]
        cluster.topics.act([Change(t.address, Action.CREATE, None, t) for t in strangers], {})
        assert isinstance(cluster.connectors, SimulatedConnectors)
        for address in first.resources:
            if address.kind == "connector":
                cluster.connectors.commit(address.name, [{"partition": {"file": address.name}, "offset": {"at": 7}}])
        second = replace(second, resources=fits(everything(cluster), second.resources))
        plan = planned(second, cluster, store, replaced=replaced)
        assert plan.applyable, plan.diagnostics
        before = look(folder)
        kept = str(Path(parent, "kept"))
        shutil.copytree(folder, kept)
        points, acts = Points(), Points()
        attempted(folder, plan, acts, "refused")
        restore(kept, folder)
        assert attempted(folder, plan, points).outcome == "applied"
        after = look(folder)
        restore(kept, folder)
        yield Scene(folder, plan, before, after, points.count, acts.count)


def restore(kept: str, folder: str) -> None:
    """The folder is as it was kept; a simulated cluster is known by its path."""
    shutil.rmtree(folder)
    shutil.copytree(kept, folder)


def attempted(folder: str, plan: Plan, points: Points, how: str = "", victim: int = 0) -> Result:
    """How an apply in `folder` ended. With `how` a step fails at the chosen point, else the process dies there."""
    cluster, store = opened(folder)
    if how:
        faulty = [Faulty(backend, points, how, victim) for backend in cluster.backends]
        spoilt, kept = Cluster.of(*faulty), store
    else:
        spoilt = Cluster.of(*(Mortal(backend, points) for backend in cluster.backends))
        kept = MortalStore(store, points)
    return Apply(run_of(plan, spoilt, kept, "run1")).execute()


def run_of(plan: Plan, cluster: Cluster, store: Store, name: str) -> Run:
    holder = Holder("test@here", name, "test", "now")
    return Run(plan, cluster, store, holder, make_reader(plan, cluster, store), sleep=lambda seconds: None)


def recovered(folder: str, forward: bool, points: Points) -> Result | None:
    """How the recovery of the open run ended, on which the process may die as well; None where there is no such run."""
    cluster, store = opened(folder)
    if not store.open_runs():
        return None
    (name,) = store.open_runs()
    progress = replay(store.entries(name))
    assert progress is not None
    spoilt = Cluster.of(*(Mortal(backend, points) for backend in cluster.backends))
    run = run_of(rebuild_plan(progress), spoilt, MortalStore(store, points), name)
    accepting = Recovery(run, accepts=lambda name: True)  # the journal's word on dangers is not enough to go on
    return (accepting.complete if forward else Recovery(run).roll_back)(0)


def died(folder: str, forward: bool, points: Points) -> bool:
    """Whether the recovery came to an early end."""
    try:
        recovered(folder, forward, points)
    except Death:
        return True
    return False


def is_before(found: Scene, result: Result | None) -> bool:
    """Whether all is as before, or what is not cannot be undone and is named."""
    different = found.before.differing(look(found.folder))
    named = "; ".join(result.left) if result else ""
    return not different or (different <= found.lasting and all(f"{a}:" in named for a in different))


@pytest.mark.slow
@SETTINGS
@given(stacks(), st.lists(st.sampled_from(ELSEWHERE), unique=True), st.data())
def test_a_failed_step_leaves_no_trace_but_what_cannot_be_undone(
    parts: tuple[Stack, Stack, tuple[str, ...]], theirs: list[str], data: st.DataObject
) -> None:
    with scene(parts, theirs) as found:
        if not found.acts:
            return
        how = data.draw(st.sampled_from(sorted(FAILURES)), label="how")
        points = Points(data.draw(st.integers(1, found.acts), label="wave"))
        result = attempted(found.folder, found.plan, points, how, data.draw(st.integers(0, 3), label="victim"))
        event(result.outcome)
        assert result.outcome in ("rolled_back", "incomplete", "applied"), result
        if result.outcome == "applied":  # looked at again it was so
            assert not found.after.differing(look(found.folder))
            return
        assert is_before(found, result), (result, found.before.differing(look(found.folder)))
        assert (result.outcome == "rolled_back") == (not result.left)
        if result.outcome == "rolled_back":
            assert result.exit_code == 7 and not found.before.differing(look(found.folder))


@pytest.mark.slow
@SETTINGS
@given(stacks(), st.lists(st.sampled_from(ELSEWHERE), unique=True), st.data())
def test_a_death_anywhere_is_put_back(
    parts: tuple[Stack, Stack, tuple[str, ...]], theirs: list[str], data: st.DataObject
) -> None:
    with scene(parts, theirs) as found:
        if not found.plan.steps:
            return
        die_in_apply(found, data)
        died(found.folder, False, Points(data.draw(st.integers(0, 25), label="death in recovery"), die))
        result = recovered(found.folder, False, Points())
        if not found.after.differing(look(found.folder)):
            return  # it had come to its end
        event("back")
        assert is_before(found, result or recovered(found.folder, False, Points())), result
        assert recovered(found.folder, False, Points()) is None or (result and result.left)


@pytest.mark.slow
@SETTINGS
@given(stacks(), st.lists(st.sampled_from(ELSEWHERE), unique=True), st.data())
def test_a_death_anywhere_is_completed(
    parts: tuple[Stack, Stack, tuple[str, ...]], theirs: list[str], data: st.DataObject
) -> None:
    with scene(parts, theirs) as found:
        if not found.plan.steps:
            return
        die_in_apply(found, data)
        died(found.folder, True, Points(data.draw(st.integers(0, 25), label="death in recovery"), die))
        result = recovered(found.folder, True, Points())
        if result is None and not found.before.differing(look(found.folder)):
            return  # it had not begun
        event("forward")
        assert not found.after.differing(look(found.folder)), result
        assert recovered(found.folder, True, Points()) is None


def die_in_apply(found: Scene, data: st.DataObject) -> None:
    points = Points(data.draw(st.integers(1, found.points), label="death in apply"), die)
    try:
        attempted(found.folder, found.plan, points)
    except Death:
        return
    raise AssertionError("the apply outlived its death")
