"""What a run puts back, and where: its own, all of it, once, and only where it was."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from kplan.diagnostics import Conflict, Denied, JournalBroken, KplanError, Rejected
from kplan.execution.apply import Apply
from kplan.execution.places import find_other_place
from kplan.execution.recovery import Recovery, abandon, rebuild_plan
from kplan.execution.run import Run, make_reader
from kplan.execution.wording import describe_other_place
from kplan.model import Action, Address, Change, Connector, Live, Move, Owned, Resource, Stack, Target, Topic
from kplan.model.events import RunEnded, RunEvent, StepDone
from kplan.model.journal import Entry, replay
from kplan.planning.comparison import compare
from kplan.planning.document import Plan
from kplan.planning.order import Step
from kplan.planning.pipeline import Options, make
from kplan.planning.reading import read_addresses
from kplan.servers.base import Cluster, Outcome, Progress
from kplan.servers.simulated import SimulatedTopics
from kplan.state.base import Holder, Lock, Store
from tests.shell import Shell
from tests.unit.planning.test_planning import opened, planned

ME = Holder("test@here", "run1", "test", "now")
CONFIG = {"connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector", "file": "/mine", "topic": "a"}


def stack(*resources: Resource) -> Stack:
    return Stack("s", "local", {each.address: each for each in resources})


@dataclass
class Spoilt:
    """A backend on which one call goes another way; `before` it, somebody else may do something."""

    backend: Any
    act_: Any = None
    settle_: Any = None
    read_: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def act(self, changes: Sequence[Change], captured: Mapping[Address, Any]) -> Mapping[Address, Outcome]:
        return (self.act_ or self.backend.act)(changes, captured)  # type: ignore[no-any-return]

    def settle(self, changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        return (self.settle_ or self.backend.settle)(changes, progress)  # type: ignore[no-any-return]

    def read(self, names: Any) -> Any:
        return (self.read_ or self.backend.read)(names)


@dataclass
class Place:
    """A simulated cluster with its store."""

    folder: Path
    cluster: Cluster = field(init=False)
    store: Store = field(init=False)

    def __post_init__(self) -> None:
        self.cluster, self.store = opened(str(self.folder))

    def plan(self, *resources: Resource, **options: Any) -> Plan:
        return planned(stack(*resources), self.cluster, self.store, **options)

    def run(self, plan: Plan, cluster: Cluster | None = None, store: Store | None = None, name: str = "run1") -> Run:
        cluster, store = cluster or self.cluster, store or self.store
        me = replace(ME, run=name)
        return Run(plan, cluster, store, me, make_reader(plan, cluster, store), sleep=lambda seconds: None)

    def apply(self, *resources: Resource, name: str = "run0") -> None:
        assert Apply(self.run(self.plan(*resources), name=name)).execute().outcome == "applied"

    def live(self) -> dict[Address, Resource]:
        return dict(read_addresses(self.cluster, None).resources)

    def somebody(self, before: Resource | None, after: Resource) -> None:
        """Somebody else makes it, or changes it."""
        diffs = compare(after, before, None).diffs if before else ()
        change = Change(after.address, Action.UPDATE if before else Action.CREATE, before, after, diffs)
        backend = self.cluster.find(after.address)
        assert backend is not None and backend.act([change], {})[change.address].ok

    def recovery(self, cluster: Cluster | None = None, **more: Any) -> Recovery:
        (name,) = self.store.open_runs()
        progress = replay(self.store.entries(name))
        assert progress is not None
        return Recovery(self.run(rebuild_plan(progress), cluster, name=name), **more)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def spoilt(place: Place, kind: str, **calls: Any) -> Cluster:
    topics, connectors = place.cluster.topics, place.cluster.connectors
    if kind == "topic":
        return Cluster.of(Spoilt(topics, **calls), connectors)  # type: ignore[arg-type]
    return Cluster.of(topics, Spoilt(connectors, **calls))  # type: ignore[arg-type]


class Death(BaseException):
    """The process ends here."""


def died(place: Place, plan: Plan, event: str = "did") -> None:
    """The process dies when it is about to write `event`."""

    class Mortal:
        def __init__(self, lock: Lock) -> None:
            self.lock = lock

        def write(self, entries: Sequence[Entry] = (), ledger: Mapping[Address, Owned | None] | None = None) -> None:
            if any(entry.event == event for entry in entries):
                raise Death
            self.lock.write(entries, ledger)

    with pytest.raises(Death):
        Apply(place.run(plan, store=locking(place.store, Mortal))).execute()


def locking(store: Store, made: Any) -> Store:
    """The store, whose locks are `made` ones."""

    class Locking:
        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        @contextmanager
        def lock(self, stack: str, holder: Holder, timeout: float) -> Any:
            with store.lock(stack, holder, timeout) as lock:
                yield made(lock)

    return Locking()  # type: ignore[return-value]


# -- what is not the run's own ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("mine", [Topic("a", 1, 1), Connector("c", CONFIG)], ids=["topic", "connector"])
@pytest.mark.parametrize("how", ["rolled back", "killed and recovered"])
def test_what_somebody_else_made_first_is_left_alone(place: Place, mine: Resource, how: str) -> None:
    kind = mine.address.kind
    theirs = Topic("a", 7, 3) if isinstance(mine, Topic) else Connector("c", {**CONFIG, "file": "/theirs"})
    plan = place.plan(mine, Topic("first", 1, 1))
    backend: Any = place.cluster.find(Address(kind, ""))

    def act(changes: Sequence[Change], captured: Mapping[Address, Any]) -> Mapping[Address, Outcome]:
        making = any(c.address == mine.address and c.before is None and c.after for c in changes)
        if making and mine.address not in place.live():
            place.somebody(None, theirs)
        return backend.act(changes, captured)  # type: ignore[no-any-return]

    if how == "rolled back":
        result = Apply(place.run(plan, spoilt(place, kind, act_=act))).execute()
        assert (result.outcome, result.exit_code, result.left) == ("rolled_back", 7, ())
        assert isinstance(result.error, Conflict)
    else:

        class Mortal:
            def __init__(self, lock: Lock) -> None:
                self.lock = lock

            def write(self, entries: Sequence[Entry] = (), ledger: Any = None) -> None:
                self.lock.write(entries, ledger)
                if any(entry.event == "refused" for entry in entries):
                    raise Death

        with pytest.raises(Death):
            Apply(place.run(plan, spoilt(place, kind, act_=act), locking(place.store, Mortal))).execute()
        assert place.recovery().roll_back(0).outcome == "recovered"
    assert place.live() == {mine.address: place.live()[mine.address]}
    now = place.live()[mine.address]
    assert isinstance(now, (Topic, Connector))
    assert (now.partitions == 7) if isinstance(now, Topic) else (now.config["file"] == "/theirs")
    assert mine.address not in place.store.ledger()


class Other:
    """Another client that creates the topic a moment before this run does."""

    def __init__(self, place: Place, topic: Topic) -> None:
        self.place, self.topic = place, topic

    def act(self, changes: Sequence[Change], captured: Mapping[Address, Any]) -> Mapping[Address, Outcome]:
        creating = any(c.address == self.topic.address and c.action is Action.CREATE for c in changes)
        if creating and self.topic.address not in self.place.live():
            self.place.somebody(None, self.topic)
        return self.place.cluster.topics.act(changes, captured)


MEANWHILE = Topic("a", 2, 3, {"retention.ms": "1000"})


def test_a_topic_that_another_client_created_as_planned_is_adopted(place: Place) -> None:
    plan = place.plan(MEANWHILE, Topic("b", 1, 1))
    events: list[RunEvent] = []
    run = place.run(plan, spoilt(place, "topic", act_=Other(place, MEANWHILE).act))
    run.emit = events.append
    result = Apply(run).execute()
    assert (result.outcome, result.exit_code, sorted(result.actions)) == ("applied", 0, ["adopt", "create"])
    ledger = place.store.ledger()
    assert {a.name: owned.created for a, owned in ledger.items()} == {"a": False, "b": True}
    done = {e.step.change.address.name: e.adopted for e in events if isinstance(e, StepDone)}
    assert done == {"a": True, "b": False}
    (end,) = [e for e in events if isinstance(e, RunEnded)]
    assert end.statistics == {
        "topics_created": 1, "topic_creation_errors": 0, "retries": 0, "created": {"topic": 1}, "creation_errors": {},
    }  # fmt: skip
    gone = make(stack(), place.cluster, place.store, Options("destroy"))
    assert Apply(place.run(gone, name="run2")).execute().outcome == "applied"
    assert {a.name for a in place.live()} == {"a"}, "destroy leaves what another client created"


def test_a_topic_that_another_client_created_otherwise_ends_the_run(place: Place) -> None:
    theirs = replace(MEANWHILE, partitions=5)
    run = place.run(place.plan(MEANWHILE), spoilt(place, "topic", act_=Other(place, theirs).act))
    result = Apply(run).execute()
    assert (result.exit_code, type(result.error)) == (7, Conflict)
    assert result.error is not None and "partitions 5 instead of 2" in result.error.message
    assert place.live() == {theirs.address: theirs}


def test_an_adopted_topic_stays_where_the_run_is_rolled_back(place: Place) -> None:
    def act(changes: Sequence[Change], captured: Mapping[Address, Any]) -> Mapping[Address, Outcome]:
        answers = dict(Other(place, MEANWHILE).act(changes, captured))
        refused = Address("topic", "b")
        return answers | ({refused: Outcome(Rejected("no"))} if refused in answers else {})

    result = Apply(place.run(place.plan(MEANWHILE, Topic("b", 1, 1)), spoilt(place, "topic", act_=act))).execute()
    assert isinstance(result.error, Rejected)
    assert MEANWHILE.address in place.live()
    assert MEANWHILE.address not in place.store.ledger()


@pytest.mark.parametrize("way", ["back", "forward"])
@pytest.mark.parametrize("event", ["settling", "did", "end"])
def test_recovery_never_deletes_an_adopted_topic(place: Place, way: str, event: str) -> None:
    """The process ends right after the answer, before the wave is noted, or before the run is."""

    class Mortal:
        def __init__(self, lock: Lock) -> None:
            self.lock = lock

        def write(self, entries: Sequence[Entry] = (), ledger: Any = None) -> None:
            if any(entry.event == event for entry in entries):
                raise Death
            self.lock.write(entries, ledger)

    def settle(changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        if event == "settling":
            raise Death
        return place.cluster.topics.settle(changes, progress)

    cluster = spoilt(place, "topic", act_=Other(place, MEANWHILE).act, settle_=settle)
    with pytest.raises(Death):
        Apply(place.run(place.plan(MEANWHILE, Topic("b", 1, 1)), cluster, locking(place.store, Mortal))).execute()
    recovery = place.recovery()
    result = recovery.roll_back(0) if way == "back" else recovery.complete(0)
    assert result.exit_code == 0, result
    owned = place.store.ledger().get(MEANWHILE.address)
    if way == "back":
        assert ({a.name for a in place.live()}, owned) == ({"a"}, None)
    else:
        assert {a.name for a in place.live()} == {"a", "b"}
        assert owned is not None and not owned.created


def test_what_was_put_back_once_is_not_put_back_again(place: Place) -> None:
    """A recovery that came to its end looked long enough: what is there now, somebody made later."""
    place.apply(Topic("z", 1, 1))
    died(place, place.plan(Topic("z", 1, 1), Topic("a", 1, 1), Topic("b", 1, 1)))
    kept = lambda changes, captured: {  # noqa: E731
        c.address: Outcome(kept="3 records") if c.address.name == "b" else outcome
        for c in changes
        for outcome in place.cluster.topics.act([c] if c.address.name != "b" else [], captured).values() or [Outcome()]
    }
    assert place.recovery(spoilt(place, "topic", act_=kept)).roll_back(0).exit_code == 8
    assert Address("topic", "a") not in place.live()
    place.somebody(None, Topic("a", 5, 1))  # theirs
    assert place.recovery().roll_back(0).outcome == "recovered"
    assert {a.name for a in place.live()} == {"z", "a"}


def test_what_was_put_back_in_part_is_named_every_time(place: Place) -> None:
    """The config of a topic that grew is put back, its partitions cannot be."""
    before = Topic("z", 1, 1, {"retention.ms": "1000"})
    place.apply(before)
    died(place, place.plan(replace(before, partitions=2, config={"retention.ms": "2000"})))
    for _ in range(2):
        ended = place.recovery().roll_back(0)
        assert ended.exit_code == 8 and "topic/z: " in ended.left[0], ended
        now = place.live()[before.address]
        assert isinstance(now, Topic) and (now.partitions, now.config) == (2, {"retention.ms": "1000"})
    assert place.recovery(forget=["topic/z"]).roll_back(0).outcome == "recovered"


def test_what_was_moved_is_owned_again_once_it_is_back(place: Place) -> None:
    """A way back that failed gave up what was moved; the one that succeeds owns it as before."""
    old, new = Connector("old", CONFIG), Connector("new", CONFIG)
    place.apply(Topic("a", 1, 1), old)
    before = place.store.ledger()
    moved = replace(stack(Topic("a", 1, 1), new), moved=(Move(old.address, new.address),))
    plan = planned(moved, place.cluster, place.store)
    connectors = place.cluster.connectors
    assert connectors is not None and [c.action for c in plan.changes] == [Action.MOVE]

    def half(changes: Sequence[Change], captured: Mapping[Address, Any]) -> Mapping[Address, Outcome]:
        if all(c.reason != "undo" for c in changes):
            connectors.act(changes, {})
        return {c.address: Outcome(KplanError("500", applied=None), unsure=True) for c in changes}

    failed = Apply(place.run(plan, spoilt(place, "connector", act_=half))).execute()
    assert (failed.exit_code, place.store.ledger().get(old.address)) == (8, None)
    assert place.recovery().roll_back(0).outcome == "recovered"
    assert old.address in place.live() and new.address not in place.live()
    assert place.store.ledger() == before


def test_an_undo_that_was_on_its_way_may_meet_the_next_one(place: Place) -> None:
    """As where the deletion of a connector arrives while the next recovery is about to delete it: 404."""
    died(place, place.plan(Topic("a", 1, 1)), "end")
    topics, answers = place.cluster.topics, iter([Rejected("404: not found")])

    def dying(changes: Sequence[Change], captured: Mapping[Address, Any]) -> Mapping[Address, Outcome]:
        raise Death

    def meeting(changes: Sequence[Change], captured: Mapping[Address, Any]) -> Mapping[Address, Outcome]:
        done = topics.act(changes, captured)
        return {c.address: Outcome(problem) for c in changes if (problem := next(answers, None))} or done

    with pytest.raises(Death):
        place.recovery(spoilt(place, "topic", act_=dying)).roll_back(0)
    recovery = place.recovery(spoilt(place, "topic", act_=meeting))
    recovery.run.grace = 0.01
    assert recovery.roll_back(0).outcome == "recovered"
    assert not place.live() and not place.store.ledger()


def test_what_was_to_be_forgotten_stays_forgotten(place: Place) -> None:
    died(place, place.plan(Topic("a", 1, 1), Topic("b", 1, 1)))
    refusing = lambda changes, captured: {c.address: Outcome(Rejected("no")) for c in changes}  # noqa: E731
    first = place.recovery(spoilt(place, "topic", act_=refusing), forget=["topic/b"]).roll_back(0)
    assert (first.exit_code, len(first.left)) == (8, 1)
    assert place.recovery().roll_back(0).outcome == "recovered"
    assert {a.name for a in place.live()} == {"b"}
    assert {a.name for a in place.store.ledger()} == {"b"}


def test_what_the_run_did_not_change_is_nobodys_business(place: Place) -> None:
    before = Topic("a", 1, 1, {"retention.ms": "1000", "segment.ms": "60000"})
    place.apply(before)
    died(place, place.plan(replace(before, config={**before.config, "retention.ms": "2000"})))
    theirs = replace(before, config={"retention.ms": "2000", "segment.ms": "70000"})
    place.somebody(replace(theirs, config={**theirs.config, "segment.ms": "60000"}), theirs)
    assert place.recovery().roll_back(0).outcome == "recovered"
    now = place.live()[before.address]
    assert isinstance(now, Topic) and now.config == {"retention.ms": "1000", "segment.ms": "70000"}


# -- all of it --------------------------------------------------------------------------------------------------------
def test_what_a_server_took_is_put_back_even_if_a_reading_does_not_show_it(place: Place) -> None:
    """A reading of a broker or worker that lags is no proof that nothing was changed."""
    before = Topic("a", 1, 1, {"retention.ms": "1000"})
    place.apply(before)
    plan = place.plan(replace(before, config={"retention.ms": "2000"}))
    topics = place.cluster.topics
    stale = topics.read(["a"])
    lags = [True]

    def settle(changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        if lags[0]:
            return {c.address: Outcome(KplanError("not visible on every broker")) for c in changes}
        return topics.settle(changes, progress)

    def act(changes: Sequence[Change], captured: Mapping[Address, Any]) -> Mapping[Address, Outcome]:
        lags[0] = any(c.reason != "undo" for c in changes)
        return topics.act(changes, captured)

    def read(names: Any) -> Any:
        return stale if lags[0] and place.live()[before.address] != before else topics.read(names)

    result = Apply(place.run(plan, spoilt(place, "topic", act_=act, settle_=settle, read_=read))).execute()
    assert (result.outcome, result.undone) == ("rolled_back", 1)
    assert place.live()[before.address] == before


def test_a_fault_of_kplan_is_put_back_like_any_failure(place: Place) -> None:
    def act(changes: Sequence[Change], captured: Mapping[Address, Any]) -> Mapping[Address, Outcome]:
        if any(c.after is not None and c.address.name == "b" for c in changes):
            place.cluster.topics.act(changes, captured)
            raise ZeroDivisionError("oops")
        return place.cluster.topics.act(changes, captured)

    run = place.run(place.plan(Topic("a", 1, 1), Topic("b", 1, 1)), spoilt(place, "topic", act_=act))
    result = Apply(run).execute()
    assert (result.outcome, result.exit_code) == ("rolled_back", 7)
    assert result.error is not None and "ZeroDivisionError: oops" in result.error.message
    assert not place.live() and not place.store.open_runs()


@pytest.mark.parametrize("event", ["did", "will_undo", "end"])
def test_a_right_that_is_lost_within_a_run_ends_with_8_and_the_way_out(place: Place, event: str) -> None:
    class Forbidden:
        def __init__(self, lock: Lock) -> None:
            self.lock = lock

        def write(self, entries: Sequence[Entry] = (), ledger: Any = None) -> None:
            if any(entry.event == event for entry in entries):
                raise Denied("may not write __kplan")
            self.lock.write(entries, ledger)

    fails = lambda changes, progress: {c.address: Outcome(KplanError("no")) for c in changes}  # noqa: E731
    cluster = spoilt(place, "topic", settle_=fails) if event == "will_undo" else place.cluster
    with pytest.raises(KplanError) as told:
        Apply(place.run(place.plan(Topic("a", 1, 1)), cluster, locking(place.store, Forbidden))).execute()
    assert told.value.exit_code == 8 and "kplan recover run1" in told.value.help
    assert place.recovery().roll_back(0).outcome == "recovered"
    assert not place.live()


# -- where it was -----------------------------------------------------------------------------------------------------
def run_elsewhere(place: Place, **changed: Any) -> KplanError:
    """What a recovery says in a place that differs so, where the run is still open and nothing was done."""

    def read() -> tuple[Live, Any]:
        live, ledger = make_reader(recovery.run.plan, place.cluster, place.store)()
        return replace(live, **{k: v(live) if callable(v) else v for k, v in changed.items()}), ledger

    recovery = place.recovery()
    recovery.run.read = read
    with pytest.raises(KplanError) as told:
        recovery.roll_back(0)
    assert place.store.open_runs() == ["run1"]
    assert Address("connector", "c") in place.live()
    return told.value


@pytest.mark.parametrize(("changed", "said"), [
    ({"target": Target("another", connect_url="http://a")}, "it was on cluster simulated-"),
    ({"target": lambda live: Target(live.target.cluster_id)}, "there is no Connect here"),
    ({"target": lambda live: Target(live.target.cluster_id, connect_url="http://b")}, "this is http://b"),
    ({"hidden": frozenset({Address("topic", "a")})}, "topic/a may not be described"),
], ids=["cluster", "no connect", "another connect", "hidden"])  # fmt: skip
def test_a_run_is_ended_only_where_it_was(place: Place, changed: Mapping[str, Any], said: str) -> None:
    died(place, place.plan(Topic("a", 1, 1), Connector("c", CONFIG)), "end")
    told = run_elsewhere(place, **changed)
    assert said in told.message and "--env local" in told.help
    assert (told.code, told.exit_code) == ("K618", 1)


def test_another_address_of_the_same_environment_is_the_same_place(place: Place) -> None:
    died(place, place.plan(Topic("a", 1, 1), Connector("c", CONFIG)), "end")
    plan = place.recovery().run.plan
    moved = Live(Target(plan.target.cluster_id, connect_url="http://balancer"))
    assert find_other_place(plan, moved, "local") is None
    other = find_other_place(plan, moved, "other")
    assert other is not None and describe_other_place(other).endswith(", and this is http://balancer")


# -- forward ----------------------------------------------------------------------------------------------------------
def test_a_danger_that_came_since_stops_the_way_forward(place: Place) -> None:
    before = Topic("a", 1, 1, {"retention.ms": "604800000"})
    place.apply(before)
    died(place, place.plan(replace(before, config={"retention.ms": "3600000"})), "will")
    topics = place.cluster.topics
    assert isinstance(topics, SimulatedTopics)
    topics.produce("a", 5_000, at=int(time.time() * 1000) - 5 * 86_400_000)
    result = place.recovery().complete(0)
    assert (result.exit_code, place.live()[before.address]) == (8, before)
    assert "K405" in result.left[0] and "kplan recover run1" in result.left[0]
    assert place.recovery().roll_back(0).outcome == "recovered"


# -- a journal that lost something ------------------------------------------------------------------------------------
def torn(place: Place) -> None:
    with sqlite3.connect(place.store.where) as db:
        done = db.execute(
            "UPDATE kplan_journal SET record = json_set(record, '$.items[0].change', json('{}')) WHERE event = 'begin'"
        )
        assert done.rowcount == 1


def test_a_torn_journal_is_named_and_can_be_closed(place: Place) -> None:
    died(place, place.plan(Topic("a", 1, 1)))
    torn(place)
    progress = replay(place.store.entries("run1"))
    assert progress is not None
    with pytest.raises(JournalBroken, match="run run1 does not say what step 1"):
        rebuild_plan(progress)
    abandon(place.store, progress, ME, 0)
    assert not place.store.open_runs()


def test_the_command_tells_of_a_torn_journal_and_closes_it_when_told_to(tmp_path: Path) -> None:
    place, shell = Place(tmp_path), Shell(tmp_path)
    died(place, place.plan(Topic("a", 1, 1)))
    torn(place)
    listed = shell.kplan("recover", "--list", expect=8)
    assert "K602" in listed.err and "kplan recover run1 --forget '*'" in listed.err
    assert place.store.open_runs() == ["run1"]
    assert "run run1 is closed; nothing of it was rolled back" in shell.kplan("recover", "--yes", "--forget", "*").err
    assert not place.store.open_runs() and {a.name for a in place.live()} == {"a"}


def test_a_run_that_is_still_going_is_told_to_be_so(tmp_path: Path) -> None:
    place, shell = Place(tmp_path), Shell(tmp_path)
    died(place, place.plan(Topic("a", 1, 1)))
    with place.store.lock("s", ME, 0):
        said = shell.kplan("recover", "--list")
        waiting = shell.kplan("recover", "--yes", "--lock-timeout", "1s", expect=6)
    assert "run run1 is still running or was killed less than 10 s ago: test@here since now, test" in said.err
    assert "waiting 1 s for the lock: test@here has locked stack s since now: test (run run1)" in waiting.err
    assert "is still running" not in shell.kplan("recover", "--list").err


@pytest.mark.parametrize("dies", [False, True])
def test_the_way_back_of_many_steps_compares_no_step_with_all_others(
    place: Place, monkeypatch: pytest.MonkeyPatch, dies: bool
) -> None:
    """It took minutes for 10,000 topics."""
    topics = [Topic(f"many.{number}") for number in range(200)]
    compared = 0
    equal = Step.__eq__

    def count(self: Step, other: object) -> bool:
        nonlocal compared
        compared += 1
        return equal(self, other)

    def fail(changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        if dies:
            raise Death
        if changes[0].action is Action.DELETE:
            return place.cluster.topics.settle(changes, progress)
        return {change.address: Outcome(KplanError("it does not hold")) for change in changes}

    plan = place.plan(*topics)
    monkeypatch.setattr(Step, "__eq__", count)
    apply = Apply(place.run(plan, spoilt(place, "topic", settle_=fail)))
    if dies:
        with pytest.raises(Death):
            apply.execute()
        assert place.recovery().roll_back(0).outcome == "recovered"
    else:
        assert apply.execute().outcome == "rolled_back"
    assert not place.live() and not place.store.open_runs()
    assert compared < 5 * len(topics)
