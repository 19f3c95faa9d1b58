"""A plan or a journal that somebody forged: what it asks for is judged by the ledger and the live state."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kplan.diagnostics import JournalBroken, Stale
from kplan.execution.apply import Apply
from kplan.execution.recovery import Recovery, rebuild_plan
from kplan.kinds.codec import change_to_json
from kplan.kinds.topic.internal import find_refusal, is_internal
from kplan.kinds.topic.options import TopicOptions, topic_options
from kplan.model import Action, Address, AttrDiff, Change, Connector, Origin, Owned, Removal, Resource, Topic, Undo
from kplan.model.journal import Entry, Item, replay
from kplan.planning.document import Plan, document_digest, from_json, to_json
from kplan.planning.order import Step
from kplan.planning.trust import Listed
from kplan.servers.simulated import SimulatedTopics
from kplan.state.base import Holder
from tests.shell import Shell
from tests.unit.execution.test_recovery import CONFIG, Place, died, stack
from tests.unit.planning.test_planning import planned

DAY = 86_400_000
WEEK = {"retention.ms": str(7 * DAY)}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def simulated(place: Place) -> SimulatedTopics:
    assert isinstance(place.cluster.topics, SimulatedTopics)
    return place.cluster.topics


def forge(plan: Plan, **changed: Any) -> Plan:
    """The plan with its first change changed, as it is read from a file whose digest was computed again."""
    first, *rest = plan.steps
    steps = (replace(first, change=replace(first.change, **changed)), *rest)
    document = to_json(replace(plan, steps=steps))
    return from_json({**document, "digest": document_digest(document)})


def plan_deletion(place: Place, name: str) -> Plan:
    """The plan of a stack that lists the topic under `removed`; its dangers are accepted."""
    removing = replace(stack(), removed=(Removal(Address("topic", name)),))
    plan = planned(removing, place.cluster, place.store)
    assert [c.action for c in plan.changes] == [Action.DELETE] and plan.applyable, plan.diagnostics
    return plan


# -- internal topics --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["connect-configs", "a.connect-status", "_schemas", "__x", "_confluent-metrics"])
@pytest.mark.parametrize("action", [Action.DELETE, Action.REPLACE])
def test_no_saved_plan_deletes_an_internal_topic(place: Place, name: str, action: Action) -> None:
    """Its digest may be computed again by whoever changes the file."""
    place.somebody(None, Topic("harmless", 1, 3))
    place.somebody(None, Topic(name, 1, 3))
    plan = plan_deletion(place, "harmless")
    there = Topic(name, 1, 3)
    after = there if action is Action.REPLACE else None
    forged = forge(
        plan, address=there.address, action=action, before=there, after=after, options=TopicOptions(topic_id="")
    )
    with pytest.raises(Stale) as refused:
        Apply(place.run(forged), saved=True, list_entries=lambda: Listed(removed=frozenset({there.address}))).execute()
    assert refused.value.code == "K524" and f"{name} is an internal topic" in refused.value.message
    assert there.address in place.live() and not place.store.runs()


def test_no_saved_plan_empties_an_internal_topic(place: Place) -> None:
    before = Topic("connect-offsets", 1, 3, {"cleanup.policy": "compact"})
    place.somebody(None, Topic("mine", 1, 3))
    place.somebody(None, before)
    plan = place.plan(Topic("mine", 1, 3, WEEK))
    forged = forge(
        plan,
        address=before.address,
        before=before,
        after=replace(before, config={"cleanup.policy": "delete"}),
        diffs=(AttrDiff("/config/cleanup.policy", "compact", "delete"),),
        options=TopicOptions(topic_id=""),
    )
    with pytest.raises(Stale, match="no policy may delete its records"):
        Apply(place.run(forged), saved=True).execute()
    assert place.live()[before.address] == before


def test_only_what_a_template_made_may_go() -> None:
    address = Address("topic", "__debezium-heartbeat.shop")
    made = Topic(address.name, origin=Origin(note="heartbeat of connector/shop"))
    change = Change(address, Action.DELETE, Topic(address.name))
    owner = Owned(address, "s", "local", created=True, applied=made)
    assert find_refusal(change, owner, "") == ""
    for other in (None, replace(owner, created=False), replace(owner, applied=Topic(address.name))):
        assert "never deleted" in find_refusal(change, other, "")
    assert "never deleted" in find_refusal(change, owner, state=address.name)
    state = Change(Address("topic", "team-state"), Action.DELETE, Topic("team-state"))
    assert not is_internal("team-state") and find_refusal(state, None, "") == ""
    assert "never deleted" in find_refusal(state, None, "team-state")


def test_destroy_gives_up_internal_topics_that_the_stack_made(place: Place) -> None:
    place.apply(Topic("a", 1, 3), Topic("shop.connect-offsets", 1, 3))
    plan = planned(stack(), place.cluster, place.store, mode="destroy")
    assert {c.address.name: c.action for c in plan.changes} == {
        "a": Action.DELETE,
        "shop.connect-offsets": Action.RELEASE,
    }


def test_topics_that_kplan_yaml_names_as_connects_own_are_never_deleted(place: Place) -> None:
    """Neither by a plan, nor by a saved one, nor by destroy."""
    place.somebody(None, Topic("sinks-offsets", 1, 3, {"cleanup.policy": "compact"}))
    plan = plan_deletion(place, "sinks-offsets")
    place.apply(Topic("a", 1, 3), Topic("sinks-status", 1, 3))
    place.cluster = replace(place.cluster, internal_topics=frozenset({"sinks-offsets", "sinks-status"}))
    removed = (Removal(Address("topic", "sinks-offsets")),)
    refused = planned(replace(stack(Topic("a", 1, 3)), removed=removed), place.cluster, place.store)
    assert {problem.address for problem in refused.diagnostics if problem.code == "K234"} == {
        "topic/sinks-offsets", "topic/sinks-status",
    }  # fmt: skip
    with pytest.raises(Stale, match="sinks-offsets is an internal topic, so it is never deleted"):
        Apply(
            place.run(plan), saved=True, list_entries=lambda: Listed(removed=frozenset({removed[0].address}))
        ).execute()
    destroyed = planned(stack(), place.cluster, place.store, mode="destroy")
    assert {c.address.name: c.action for c in destroyed.changes} == {"a": Action.DELETE, "sinks-status": Action.RELEASE}


# -- what a saved plan says of itself ---------------------------------------------------------------------------------
def test_what_no_stack_owns_is_deleted_only_where_the_file_lists_it(place: Place) -> None:
    place.somebody(None, Topic("theirs", 1, 3))
    plan = plan_deletion(place, "theirs")
    with pytest.raises(Stale, match="topic/theirs: no stack owns it, and the stack's file does not list it") as refused:
        Apply(place.run(plan), saved=True, list_entries=Listed).execute()
    assert refused.value.code == "K524" and Address("topic", "theirs") in place.live()
    listed = lambda: Listed(removed=frozenset({Address("topic", "theirs")}))  # noqa: E731
    assert Apply(place.run(plan), saved=True, list_entries=listed).execute().outcome == "applied"


@pytest.mark.parametrize("how", ["replaced", "shortened"])
def test_records_of_what_no_stack_owns_go_only_where_the_file_declares_it(place: Place, how: str) -> None:
    place.somebody(None, LONG)
    simulated(place).produce("mine", 50, at=int(time.time() * 1000) - 3 * DAY)
    plan = place.plan(LONG, replaced=("topic/mine",)) if how == "replaced" else place.plan(SHORT)
    with pytest.raises(Stale, match="no stack owns it, and the stack's file does not declare it"):
        Apply(place.run(plan), saved=True, list_entries=Listed).execute()
    assert place.live() == {LONG.address: LONG}
    listed = lambda: Listed(declared=frozenset({LONG.address}))  # noqa: E731
    assert Apply(place.run(plan), saved=True, list_entries=listed).execute().outcome == "applied"


def test_protection_and_dangers_are_those_of_the_moment(place: Place) -> None:
    place.apply(Topic("a", 1, 3))
    plan = plan_deletion(place, "a")
    simulated(place).produce("a", 5)
    with pytest.raises(Stale, match="K401"):
        Apply(place.run(forge(plan, options=TopicOptions(if_empty=False), risks=())), saved=True).execute()
    accepted = plan_deletion(place, "a")
    protected = replace(place.store.ledger()[Address("topic", "a")], protect=True)
    with place.store.lock("s", Holder("x", "r", "", ""), 0) as lock:
        lock.write(ledger={protected.address: protected})
    with pytest.raises(Stale, match="it is protected now"):
        Apply(place.run(forge(accepted, owner=protected)), saved=True).execute()
    assert Address("topic", "a") in place.live()


def test_a_danger_of_a_connector_is_found_although_the_file_hides_it(place: Place) -> None:
    before = Connector("c", {**CONFIG, "slot.name": "one"})
    place.apply(Topic("a", 1, 3), before)
    plan = place.plan(Topic("a", 1, 3), replace(before, config={**before.config, "slot.name": "two"}))
    assert [risk.code for risk in plan.changes[0].risks] == ["K408"]
    with pytest.raises(Stale, match="K408"):
        Apply(place.run(forge(plan, risks=())), saved=True).execute()


def test_a_plan_with_steps_names_its_files(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("stack.yaml", "version: 1\nstack: s\ntopics: {a: {partitions: 1}}\n")
    shell.kplan("plan", "stack.yaml", "--out", "plan.json")
    document = json.loads((tmp_path / "plan.json").read_text())
    document["stack"]["files"] = []
    shell.write("plan.json", json.dumps({**document, "digest": document_digest(document)}))
    assert "names no file" in shell.kplan("apply", "plan.json", expect=5).err


def test_the_files_of_a_saved_plan_say_what_may_be_deleted(tmp_path: Path) -> None:
    place, shell = Place(tmp_path), Shell(tmp_path)
    place.somebody(None, Topic("theirs", 1, 3))
    removing = "version: 1\nstack: s\ntopics: {a: {partitions: 1}}\nremoved: [{topic: theirs}]\n"
    shell.write("stack.yaml", removing)
    shell.kplan("plan", "stack.yaml", "--out", "plan.json")
    shell.write("stack.yaml", removing.replace("theirs", "another"))
    document = json.loads((tmp_path / "plan.json").read_text())
    import hashlib

    document["stack"]["files"][0]["sha256"] = hashlib.sha256((tmp_path / "stack.yaml").read_bytes()).hexdigest()
    shell.write("forged.json", json.dumps({**document, "digest": document_digest(document)}))
    assert "K524" in shell.kplan("apply", "forged.json", expect=5).err
    assert {a.name for a in place.live()} == {"theirs"}
    shell.write("stack.yaml", removing)
    shell.kplan("apply", "plan.json")
    assert {a.name for a in place.live()} == {"a"}


# -- another topic of the same name -----------------------------------------------------------------------------------
def make_again(place: Place, topic: Topic) -> None:
    backend = simulated(place)
    backend.act([Change(topic.address, Action.DELETE, topic)], {})
    backend.act([Change(topic.address, Action.CREATE, None, topic)], {})


@pytest.mark.parametrize("what", ["deletion", "update"])
def test_a_plan_is_for_the_topic_that_it_was_made_for(place: Place, what: str) -> None:
    before = Topic("a", 1, 3)
    place.apply(before)
    simulated(place).produce("a", 3)
    plan = plan_deletion(place, "a") if what == "deletion" else place.plan(replace(before, config=WEEK))
    assert topic_options(plan.changes[0]).topic_id
    saved = from_json(json.loads(json.dumps(to_json(plan))))
    make_again(place, before)
    simulated(place).produce("a", 3)
    with pytest.raises(Stale, match="topic/a: another topic has this name now") as refused:
        Apply(place.run(saved), saved=True).execute()
    assert refused.value.code == "K520" and place.live() == {before.address: before}


def test_a_plan_without_ids_is_judged_without_them(place: Place) -> None:
    place.apply(Topic("a", 1, 3))
    document = to_json(place.plan(Topic("a", 1, 3, WEEK)))
    del document["changes"][0]["topic_id"]
    saved = from_json({**document, "digest": document_digest(document)})
    make_again(place, Topic("a", 1, 3))
    assert Apply(place.run(saved), saved=True).execute().outcome == "applied"


def test_what_does_not_change_has_no_id(place: Place) -> None:
    place.apply(Topic("a", 1, 3), Topic("b", 1, 3))
    asked: list[Any] = []
    topics = simulated(place)
    ids = topics.read_ids
    topics.read_ids = lambda names: asked.append(sorted(names)) or ids(names)  # type: ignore[method-assign,func-returns-value]
    assert not place.plan(Topic("a", 1, 3), Topic("b", 1, 3)).changes and not asked
    place.plan(Topic("a", 1, 3, WEEK), Topic("b", 1, 3), Topic("new", 1, 3))
    assert asked == [["a"]]


def test_an_accepted_deletion_is_not_one_of_many_more_records(place: Place) -> None:
    place.apply(Topic("a", 1, 3))
    simulated(place).produce("a", 3)
    plan = plan_deletion(place, "a")
    simulated(place).produce("a", 5000)
    with pytest.raises(Stale, match="accepted with 3 records, and now it holds up to 5,003"):
        Apply(place.run(plan), saved=True).execute()
    assert Address("topic", "a") in place.live()


def test_a_replacement_of_an_empty_topic_is_not_one_of_records(place: Place) -> None:
    place.apply(Topic("a", 1, 3))
    plan = place.plan(Topic("a", 1, 3), replaced=("topic/a",))
    simulated(place).produce("a", 1)
    with pytest.raises(Stale, match="accepted while it was empty"):
        Apply(place.run(plan), saved=True).execute()


# -- forged journals --------------------------------------------------------------------------------------------------
def forge_journal(place: Place, *changes: Change, done: bool = True, run: str = "20991122T000000Z-evil",
                  ledger: Mapping[Address, Owned | None] | None = None, **about: Any) -> None:  # fmt: skip
    """Somebody who may write the state wrote the journal of a run of stack `s` that ended in its middle."""
    steps = [Step(n, n, change) for n, change in enumerate(changes, 1)]
    begin = tuple(Item(s.number, str(s.change.address), change_to_json(s.change, s.number, s.wave)) for s in steps)
    rest = tuple(Item(s.number, str(s.change.address)) for s in steps)
    cluster = place.cluster.topics.identify().cluster_id
    entries = [Entry(run, "s", 0, "begin", "now", items=begin,
                     about={"stack": "s", "env": "local", "cluster": cluster, **about})]  # fmt: skip
    entries += [Entry(run, "s", n, event, "now", items=rest) for n, event in enumerate(("will", "did"), 1)][: 1 + done]
    with place.store.lock("s", Holder("mallory@there", run, "", ""), 0) as lock:
        lock.write(entries, ledger)


def creation(topic: Resource) -> Change:
    kind = "delete_if_empty" if isinstance(topic, Topic) else "delete"
    return Change(topic.address, Action.CREATE, None, topic, created=True, undo=Undo(kind, True))


def update(before: Topic, after: Topic) -> Change:
    diffs = tuple(AttrDiff(f"/config/{k}", before.config.get(k), after.config.get(k))
                  for k in sorted(before.config.keys() | after.config.keys()))  # fmt: skip
    return Change(before.address, Action.UPDATE, before, after, diffs, undo=Undo("restore", True))


THEIRS = Topic("theirs", 1, 3)
SHORT = Topic("mine", 1, 3, {"retention.ms": "1000"})
LONG = Topic("mine", 1, 3, WEEK)
BETWEEN = Topic("mine", 1, 3, {"retention.ms": str(2 * DAY)})
OFFSETS = Topic("connect-offsets", 1, 3, {"cleanup.policy": "compact"})
FORGED = {
    "the deletion of what no stack owns": (creation(THEIRS), "the ledger has no record that stack s owns it"),
    "a retention of a second": (update(SHORT, LONG), "K405"),
    "a retention that nobody changed": (update(SHORT, BETWEEN), "neither what it was before the run nor"),
    "the deletion of an internal topic": (creation(OFFSETS), "internal topic, so it is never deleted"),
    "a policy of an internal topic": (
        update(replace(OFFSETS, config={"cleanup.policy": "delete"}), OFFSETS),
        "no policy may delete its records",
    ),
    "a connector that nobody owned": (
        Change(Address("connector", "evil"), Action.DELETE, Connector("evil", CONFIG), undo=Undo("recreate", True)),
        "the ledger has no record that stack s owns it",
    ),
}


@pytest.mark.parametrize("what", FORGED)
@pytest.mark.parametrize("done", [True, False], ids=["done", "in flight"])
def test_a_forged_journal_changes_nothing(place: Place, what: str, done: bool) -> None:
    change, said = FORGED[what]
    place.apply(LONG)
    place.somebody(None, THEIRS)
    place.somebody(None, OFFSETS)
    simulated(place).produce("mine", 50, at=int(time.time() * 1000) - 3 * DAY)
    simulated(place).produce("connect-offsets", 5)
    before, ledger = place.live(), place.store.ledger()
    forge_journal(place, change, done=done)
    result = place.recovery().roll_back(0)
    assert (result.exit_code, result.undone) == (8, 0)
    assert len(result.left) == 1 and str(change.address) in result.left[0] and said in result.left[0]
    assert place.live() == before and place.store.ledger() == ledger
    assert len(place.store.open_runs()) == 1
    assert place.recovery(forget=[str(change.address)]).roll_back(0).outcome == "recovered"
    assert place.live() == before
    assert {a: replace(o, run="", at="") for a, o in place.store.ledger().items()}.keys() == ledger.keys()


def test_an_undo_that_the_ledger_does_not_bear_out_can_be_accepted(place: Place) -> None:
    place.somebody(None, THEIRS)
    forge_journal(place, creation(THEIRS))
    assert "--accept delete:topic/theirs" in place.recovery().roll_back(0).left[0]
    assert place.recovery(accepts=lambda name: name == "delete:topic/theirs").roll_back(0).outcome == "recovered"
    assert not place.live()


def test_an_internal_topic_is_not_deleted_whatever_is_accepted(place: Place) -> None:
    place.somebody(None, OFFSETS)
    claim = Owned(OFFSETS.address, "s", "local", created=True)
    forge_journal(place, creation(OFFSETS), ledger={OFFSETS.address: claim})
    assert "never deleted" in place.recovery(accepts=lambda name: True).roll_back(0).left[0]
    assert OFFSETS.address in place.live()


def test_what_another_stack_owns_is_left_alone(place: Place) -> None:
    place.somebody(None, THEIRS)
    with place.store.lock("other", Holder("x", "r", "", ""), 0) as lock:
        lock.write(ledger={THEIRS.address: Owned(THEIRS.address, "other", "local", created=True)})
    forge_journal(place, creation(THEIRS))
    assert "stack other owns it" in place.recovery(accepts=lambda name: True).roll_back(0).left[0]
    assert THEIRS.address in place.live()


def test_a_topic_made_again_is_not_given_the_old_ones_settings(place: Place) -> None:
    place.apply(LONG)
    died(place, place.plan(replace(LONG, config={"retention.ms": str(9 * DAY)})))
    changed = replace(LONG, config={"retention.ms": str(9 * DAY)})
    make_again(place, changed)
    assert "another topic has this name now" in place.recovery().roll_back(0).left[0]
    assert place.live() == {LONG.address: changed}


def test_the_way_forward_takes_no_danger_on_the_journals_word(place: Place) -> None:
    place.apply(LONG)
    simulated(place).produce("mine", 50, at=int(time.time() * 1000) - 3 * DAY)
    died(place, place.plan(SHORT), "will")
    result = place.recovery().complete(0)
    assert result.exit_code == 8 and "K405" in result.left[0] and "--accept change:topic/mine" in result.left[0]
    assert place.live() == {LONG.address: LONG}
    assert place.recovery(accepts=lambda name: name == "change:topic/mine").complete(0).outcome == "completed"
    assert place.live() == {SHORT.address: SHORT}


def test_the_way_forward_does_nothing_that_no_one_claimed(place: Place) -> None:
    place.somebody(None, THEIRS)
    deletion = Change(THEIRS.address, Action.DELETE, THEIRS, options=TopicOptions(if_empty=True))
    forge_journal(place, deletion, creation(Topic("new", 1, 3)), done=False)
    left = place.recovery().complete(0).left
    assert [line.partition(": ")[0] for line in left] == ["topic/theirs", "topic/new"]
    assert place.live() == {THEIRS.address: THEIRS}


@pytest.mark.parametrize(("run", "change", "about"), [
    ("2099\x1b[31m\n-evil", creation(THEIRS), {}),
    ("20991122T000000Z-evil", creation(replace(THEIRS, name="th\x1beirs")), {}),
    ("20991122T000000Z-evil", creation(Connector("th\x1beirs", CONFIG)), {}),
    ("20991122T000000Z-evil", creation(THEIRS), {"stack": "other"}),
], ids=["run", "topic", "connector", "stack"])  # fmt: skip
def test_a_journal_that_no_kplan_wrote_is_named_and_closed(
    tmp_path: Path, run: str, change: Change, about: Mapping[str, Any]
) -> None:
    place, shell = Place(tmp_path), Shell(tmp_path)
    place.somebody(None, THEIRS)
    forge_journal(place, change, run=run, **about)
    progress = replay(place.store.entries(run))
    assert progress is not None
    with pytest.raises(JournalBroken):
        rebuild_plan(progress)
    refused = shell.kplan("recover", "--yes", expect=8)
    assert "K602" in refused.err and "\x1b" not in refused.all and place.store.open_runs() == [run]
    name = run.encode("unicode_escape").decode()
    assert "nothing of it was rolled back" in shell.kplan("recover", name, "--yes", "--forget", "*").err
    assert not place.store.open_runs() and place.live() == {THEIRS.address: THEIRS}


def test_recovery_of_what_was_claimed_is_as_before(place: Place) -> None:
    """An ordinary interrupted run takes no word at all."""
    place.apply(LONG)
    raised = replace(LONG, config={"retention.ms": str(9 * DAY)})
    died(place, place.plan(raised, Topic("new", 1, 3), Connector("c", CONFIG)), "end")
    recovery: Recovery = place.recovery()
    assert recovery.roll_back(0).outcome == "recovered"
    assert place.live() == {LONG.address: LONG}
