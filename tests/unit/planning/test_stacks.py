"""Several stacks planned as one: their order, what is in another one's way, and how often the servers are asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kplan.diagnostics import Span
from kplan.kinds.connector.sinks import without_answered
from kplan.model import Action, Address, Change, Connector, Origin, Removal, Resource, Stack, Topic
from kplan.planning.document import Plan
from kplan.planning.pipeline import Options, make_all
from kplan.planning.risk import Accepted
from kplan.planning.stacks import Circle, in_order
from kplan.project.stacks import find_conflicts
from kplan.servers.base import Backend, Cluster
from kplan.state.base import Store
from tests.examples import examples
from tests.shell import Shell
from tests.unit.planning.test_planning import applied, everything, opened

SOURCE = {"connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector", "file": "/in"}
SINK = {"connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector", "file": "/out"}


def topic(name: str, **config: str) -> Topic:
    return Topic(name, 1, 3, config, origin=Origin(Span(f"{name}.yaml", 4, 3, 4, 9)))


def source(name: str, *feeds: str, **config: str) -> Connector:
    return Connector(name, {**SOURCE, "topic": "t", **config}, "running", feeds)


def sink(name: str, *reads: str, **config: str) -> Connector:
    return Connector(name, {**SINK, "topics": ",".join(reads), **config}, "running", (), reads)


def stack(name: str, *resources: Resource, removed: Sequence[Removal] = ()) -> Stack:
    return Stack(name, "local", {r.address: r for r in resources}, tuple(removed))


def gone(name: str, keep: bool = False) -> Removal:
    return Removal(Address("topic", name), frozenset({"data-loss", "readers"}), keep, span=Span("old.yaml", 7, 5, 7, 9))


@dataclass
class World:
    cluster: Cluster
    store: Store
    runs: int = 0

    def plan(self, *stacks: Stack, **options: Any) -> list[Plan]:
        return make_all(stacks, self.cluster, self.store, Options(accept=Accepted(("*",)), **options))

    def apply(self, *stacks: Stack, **options: Any) -> list[str]:
        """The names of the stacks in the order in which they were applied."""
        plans = self.plan(*stacks, **options)
        for plan in plans:
            assert plan.applyable, plan.diagnostics
            self.runs += 1
            assert applied(plan, self.cluster, self.store, f"run{self.runs}").outcome == "applied"
        return [plan.stack for plan in plans]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(*opened(str(tmp_path)))


# -- the order --------------------------------------------------------------------------------------------------------
def test_a_topic_is_made_before_a_connector_of_another_stack_that_uses_it(world: World) -> None:
    reads, feeds = stack("a-reads", sink("out", "t")), stack("b-feeds", source("in", "t"))
    assert world.apply(reads, feeds, stack("c-declares", topic("t"))) == ["c-declares", "b-feeds", "a-reads"]


def test_a_topic_is_deleted_after_the_connectors_of_another_stack_that_used_it(world: World) -> None:
    world.apply(stack("declares", topic("t")), stack("reads", sink("out", "t")))
    dropped = stack("reads", removed=[Removal(Address("connector", "out"))])
    assert world.apply(stack("declares", removed=[gone("t")]), dropped) == ["reads", "declares"]
    assert everything(world.cluster) == {}


def test_stacks_are_destroyed_in_reverse(world: World) -> None:
    stacks = stack("declares", topic("t")), stack("feeds", source("in", "t")), stack("reads", sink("out", "t"))
    world.apply(*stacks)
    assert world.apply(*stacks, mode="destroy") == ["reads", "feeds", "declares"]
    assert everything(world.cluster) == {}


def test_a_source_whose_settings_name_the_topic_comes_after_it(world: World) -> None:
    known = stack("a-known", source("in", topic="t"))
    debezium = stack("b-debezium", source("cdc", **{"topic.prefix": "shop"}))
    order = world.apply(known, debezium, stack("c", topic("t")), stack("d", topic("shop.public.orders")))
    assert order == ["c", "a-known", "d", "b-debezium"]


def test_stacks_that_have_nothing_to_do_with_each_other_keep_the_order_of_their_files(world: World) -> None:
    assert world.apply(stack("b", topic("b")), stack("a", topic("a"))) == ["b", "a"]


def test_what_is_there_already_makes_nobody_wait(world: World) -> None:
    """Each reads the other's topic, which would be a circle if the topics were not there."""
    world.apply(stack("a", topic("a")), stack("b", topic("b")))
    assert world.apply(stack("a", topic("a"), sink("x", "b")), stack("b", topic("b"), sink("y", "a"))) == ["a", "b"]


def circle(world: World) -> tuple[Stack, Stack]:
    return stack("a", topic("a"), sink("x", "b")), stack("b", topic("b"), sink("y", "a"))


def renamed(world: World) -> tuple[Stack, Stack]:
    """One stack replaces a topic by another, which a connector of the other stack then reads."""
    world.apply(stack("a", topic("old")), stack("b", sink("y", "old")))
    return stack("a", topic("new"), removed=[gone("old")]), stack("b", sink("y", "new"))


@pytest.mark.parametrize("stacks_of", [circle, renamed])
def test_a_circle_is_named_with_its_path_and_its_way_out_leads_out(
    world: World, stacks_of: Callable[[World], tuple[Stack, Stack]]
) -> None:
    stacks = stacks_of(world)
    found = [d for plan in world.plan(*stacks) for d in plan.diagnostics if d.code == "K250"]
    assert len(found) == 1
    assert found[0].detail.startswith(("a -> b -> a: ", "b -> a -> b: "))
    target = found[0].help.rpartition("--target ")[2]
    world.apply(*stacks, targets=(target,))
    world.apply(*stacks)
    assert not any(plan.has_changes for plan in world.plan(*stacks))


def test_the_path_of_a_long_circle() -> None:
    stacks = [stack(name) for name in ("a", "b", "c", "d")]
    changes = [
        [made("a", needs="b")],
        [made("b", needs="c")],
        [made("c", needs="a")],
        [made("d", needs="a")],
    ]
    with pytest.raises(Circle) as caught:
        in_order(stacks, changes)
    said = caught.value.problem(["a", "b", "c", "d"]).detail
    path, _, why = said.partition(": ")
    assert path in ("a -> b -> c -> a", "b -> c -> a -> b", "c -> a -> b -> c")
    assert why.count(" after ") == 3 and "topic/d" not in why


def made(name: str, needs: str = "") -> Change:
    found = Change(Address("topic", name), Action.CREATE, None, topic(name))
    return replace(found, needs=frozenset({Address("topic", needs)})) if needs else found


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=20))
@examples(100)
def test_whatever_needs_what_the_order_holds_it_or_names_a_circle(needs: list[tuple[int, int]]) -> None:
    changes = [
        [replace(made(str(n)), needs=frozenset(Address("topic", str(b)) for a, b in needs if a == n))] for n in range(8)
    ]
    stacks = [stack(str(n)) for n in range(8)]
    try:
        order = in_order(stacks, changes)
    except Circle as e:
        assert {(a, b) for a, b in e.way} <= set(needs)
        assert [b for _, b in e.way] == [a for a, _ in [*e.way[1:], e.way[0]]]
        return
    assert sorted(order) == list(range(8))
    assert all(order.index(b) < order.index(a) for a, b in needs if a != b)


# -- who owns what ----------------------------------------------------------------------------------------------------
def test_ownership_moves_from_one_stack_to_the_other_in_one_go(world: World) -> None:
    world.apply(stack("old", topic("t")))
    moving = stack("new", topic("t")), stack("old", removed=[gone("t", keep=True)])
    plans = world.plan(*moving)
    assert [plan.stack for plan in plans] == ["old", "new"]
    assert [c.action for plan in plans for c in plan.changes] == [Action.RELEASE, Action.ADOPT]
    world.apply(*moving)
    assert world.store.ledger()[Address("topic", "t")].stack == "new"
    assert not any(plan.steps for plan in world.plan(*moving))


def test_without_the_stack_that_gives_it_up_another_one_still_owns_it(world: World) -> None:
    world.apply(stack("old", topic("t")))
    assert [d.code for d in world.plan(stack("new", topic("t")))[0].diagnostics] == ["K230"]


def test_what_one_stack_removes_and_another_declares_is_named_at_both_places() -> None:
    found = find_conflicts([stack("old", removed=[gone("t")]), stack("new", topic("t"))])
    assert [(d.code, str(d.span)) for d in found] == [("K251", "old.yaml:7:5")]
    assert "stack new declares it at t.yaml:4:3" in found[0].detail and "keep: true" in found[0].help
    assert not find_conflicts([stack("old", removed=[gone("t", keep=True)]), stack("new", topic("t"))])


def test_two_sinks_that_share_a_group_and_a_topic_are_a_warning() -> None:
    group = {"consumer.override.group.id": "g"}
    found = find_conflicts([stack("a", sink("x", "t", **group)), stack("b", sink("y", "t", **group))])
    assert [(d.code, d.is_error, d.address) for d in found] == [("K252", False, "connector/y")]
    assert not find_conflicts([stack("a", sink("x", "t", **group)), stack("b", sink("y", "u", **group))])
    assert not find_conflicts([stack("a", sink("x", "t")), stack("b", sink("y", "t"))])


def test_a_slot_that_two_stacks_share_is_told_at_both_places(world: World) -> None:
    def cdc(name: str) -> Connector:
        config = {**SOURCE, "topic": name, "slot.name": "s"}
        return Connector(name, config, unique=("slot.name",), origin=Origin(Span(f"{name}.yaml", 3, 3, 3, 9)))

    found = {plan.stack: plan.diagnostics for plan in world.plan(stack("a", cdc("a")), stack("b", cdc("b")))}
    assert not found["a"]
    assert [(d.code, d.detail) for d in found["b"]] == [
        ("K223", "slot.name s: connector/a has it too, at a.yaml:3:3"),
    ]


def test_a_topic_that_another_stack_declares_is_no_unknown_one(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("stacks/a.yaml", f"version: 1\nstack: a\nconnectors:\n{SINK_BLOCK}")
    shell.write("stacks/b.yaml", "version: 1\nstack: b\ntopics:\n  known:\n")
    assert shell.kplan("validate", "stacks/a.yaml").out.count("K215") == 2
    both = shell.kplan("validate", "stacks").out
    assert both.count("K215") == 1 and "out: unknown" in both


SINK_BLOCK = """
  out:
    class: org.apache.kafka.connect.file.FileStreamSinkConnector
    config: {file: /out, topics: "known,unknown"}
"""


def test_without_another_stack_no_doubt_is_settled() -> None:
    assert without_answered([stack("a", topic("t"))], []) == []


# -- narrowed ---------------------------------------------------------------------------------------------------------
def test_a_target_brings_what_it_needs_from_another_stack(world: World) -> None:
    stacks = stack("a", sink("x", "t"), topic("a")), stack("b", topic("t"), topic("u"))
    plans = world.plan(*stacks, targets=("connector/x",))
    assert [[str(c.address) for c in plan.changes] for plan in plans] == [["topic/t"], ["connector/x"]]
    assert [plan.complete for plan in plans] == [False, False]


def test_a_pattern_is_told_once_where_it_matches_in_none_of_the_stacks(world: World) -> None:
    stacks = stack("a", topic("a")), stack("b", topic("b"))
    assert [len(plan.diagnostics) for plan in world.plan(*stacks, excluded=("topic/b",))] == [0, 0]
    assert sum(len(plan.diagnostics) for plan in world.plan(*stacks, excluded=("topic/c",))) == 1


# -- one reading ------------------------------------------------------------------------------------------------------
@dataclass
class Counted:
    """A backend that counts how often it is asked what."""

    inner: Backend
    calls: dict[str, int] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return self.inner.kind

    def __getattr__(self, name: str) -> Any:
        self.calls[name] = self.calls.get(name, 0) + 1
        return getattr(self.inner, name)


def test_the_servers_are_asked_as_often_for_many_stacks_as_for_one(tmp_path: Path) -> None:
    def asked(stacks: Collection[Stack]) -> list[dict[str, int]]:
        folder = tmp_path / str(len(stacks))
        folder.mkdir()
        cluster, store = opened(str(folder))
        counted = [Counted(backend) for backend in cluster.backends]
        world = World(Cluster.of(*counted), store)  # type: ignore[arg-type]
        assert len(world.plan(*stacks)) == len(stacks)
        return [each.calls for each in counted]

    one = stack("s", *(topic(f"t{n}") for n in range(30)), *(sink(f"x{n}", f"t{n}") for n in range(3)))
    many = [stack(f"s{n}", topic(f"t{n}"), *([sink(f"x{n}", f"t{n}")] if n < 3 else [])) for n in range(30)]
    assert asked(many) == asked([one])


# -- saved plans of several stacks ------------------------------------------------------------------------------------
@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    made = Shell(tmp_path)
    fails = "version: 1\nenvironments:\n  local: {simulated: {fail: [connector/sends]}}\n"
    made.write("kplan.yaml", fails)
    made.write("stacks/a.yaml", "version: 1\nstack: a\ntopics:\n  t:\n")
    made.write("stacks/b.yaml", "version: 1\nstack: b\nconnectors:\n" + SINK_BLOCK.replace("out:", "sends:").replace(
        "known,unknown", "t"))  # fmt: skip
    made.write("stacks/c.yaml", "version: 1\nstack: c\ntopics:\n  u:\n")
    return made


def test_a_saved_plan_that_failed_on_its_way_is_taken_up_again(shell: Shell) -> None:
    shell.kplan("plan", "stacks", "--out", "plan.json")
    saved = json.loads((shell.folder / "plan.json").read_text())
    assert [plan["stack"]["name"] for plan in saved["plans"]] == ["a", "b", "c"]
    first = shell.kplan("apply", "plan.json", expect=7)
    assert "3 stacks: 1 applied, 1 rolled back, 1 not begun." in first.out
    again = shell.kplan("apply", "plan.json", expect=7)
    assert "3 stacks: 1 applied before, 1 rolled back, 1 not begun." in again.out
    assert shell.kplan("list", "topic/*").out.count("topic/") == 1


def test_a_saved_plan_of_several_stacks_is_applied_once(shell: Shell) -> None:
    shell.write("kplan.yaml", "version: 1\nenvironments:\n  local: {}\n")
    shell.kplan("plan", "stacks", "--out", "plan.json")
    assert "3 stacks: 3 applied." in shell.kplan("apply", "plan.json").out
    refused = shell.kplan("apply", "plan.json", expect=5)
    assert "this plan was already applied" in refused.err and "Nothing was changed." in refused.err


def test_a_later_stack_that_moved_is_refused_and_the_earlier_one_stays(shell: Shell) -> None:
    shell.write("kplan.yaml", "version: 1\nenvironments:\n  local: {}\n")
    shell.kplan("plan", "stacks", "--out", "plan.json")
    shell.write("other.yaml", "version: 1\nstack: other\ntopics:\n  u: {partitions: 2}\n")
    shell.kplan("apply", "other.yaml", "--yes")
    ended = shell.kplan("apply", "plan.json", expect=5)
    assert "topic/u: stack other owns it now" in ended.err and "Nothing was changed." not in ended.err
    assert "3 stacks: 2 applied, 1 refused." in ended.out
    assert "topic/t" in shell.kplan("list").out


def test_a_saved_plan_of_several_stacks_is_shown_as_it_was_planned(shell: Shell) -> None:
    shell.write("kplan.yaml", "version: 1\nenvironments:\n  local: {}\n")
    planned = shell.kplan("plan", "stacks", "--out", "plan.json").out
    shown = shell.kplan("show", "plan.json").out
    assert shown == planned
    for view in ("json", "md", "html", "concise"):
        found = shell.kplan("show", "plan.json", "--format", view).out
        assert all(name in found for name in ("topic/t", "connector/sends", "topic/u")), view
