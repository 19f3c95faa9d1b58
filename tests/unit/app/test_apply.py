"""An apply from its preparation to its end, without a terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from kplan.app.apply import ApplyRequest, Work, apply_work, notifying_refusals, prepare_saved, prepare_stacks
from kplan.app.opening import OpenEnvironment
from kplan.app.plan import PlanOutcome, PlanRequest
from kplan.app.saved import check_documents, read_documents
from kplan.app.wait import wait_for_others
from kplan.diagnostics import Blocked, Declined, Diagnostic, Invalid, Locked, Stale, codes, error
from kplan.model import Address, Change
from kplan.planning.document import to_json
from kplan.servers.simulated import SimulatedTopics
from tests.unit.app.conftest import Caller
from tests.unit.app.test_plan import SECRET, SHOP

REQUEST = ApplyRequest("kplan apply", confirmed=True)


def prepare(caller: Caller, *paths: str, mode: str = "apply") -> Work:
    return prepare_stacks(caller.load(*paths), PlanRequest(mode), caller.runtime())


def apply(caller: Caller, work: Work, request: ApplyRequest = REQUEST) -> int:
    caller.calls.clear()
    return apply_work(work, request, caller.runtime(), caller)


def save(caller: Caller, *paths: str) -> str:
    """The path of a saved plan of the stacks."""
    work = prepare(caller, *paths)
    with caller.open(caller.load(*paths)) as opened:
        documents = [to_json(plan) for plan in work.plan(opened).plans]
    return caller.write("plan.json", json.dumps(documents[0] if len(documents) == 1 else {"plans": documents}))


def saved_work(caller: Caller, path: str) -> Work:
    documents = read_documents(path)
    assert documents is not None
    return prepare_saved(documents, caller.request(), caller.runtime())


def test_one_stack_is_planned_confirmed_and_run(caller: Caller) -> None:
    path = caller.topics("a", "a.x")
    assert apply(caller, prepare(caller, path), ApplyRequest("kplan apply")) == 0
    assert caller.calls == ["plans ['a']", "unchanged []", "confirm ['a']", "end applied"]
    assert caller.events[-1].type == "apply_summary"
    assert apply(caller, prepare(caller, path)) == 0
    assert caller.calls == ["plans ['a']", "unchanged ['a']"]


def test_several_stacks_are_run_one_after_the_other(caller: Caller) -> None:
    paths = caller.topics("a", "a.x"), caller.topics("b", "b.x")
    assert apply(caller, prepare(caller, *paths)) == 0
    assert caller.calls[2:] == [
        "start a 1/2", "end applied", "start b 2/2", "end applied", "ends {'a': 'applied', 'b': 'applied'} 0",
    ]  # fmt: skip
    assert apply(caller, prepare(caller, *paths, mode="destroy")) == 0


def test_one_that_fails_stops_the_rest(caller: Caller) -> None:
    Path(caller.folder, "kplan.yaml").write_text("version: 1\nenvironments: {dev: {simulated: {fail: [topic/a.x]}}}\n")
    assert apply(caller, prepare(caller, caller.topics("a", "a.x"), caller.topics("b", "b.x"))) == 7
    assert caller.calls[-1] == "ends {'a': 'rolled back', 'b': 'not begun'} 7"


def test_a_no_is_no_run(caller: Caller) -> None:
    caller.answer = False
    with pytest.raises(Declined):
        apply(caller, prepare(caller, caller.topics("a", "a.x")), ApplyRequest("kplan apply"))
    assert caller.calls[-1] == "confirm ['a']" and not caller.events


def test_a_blocked_plan_is_shown_and_not_run(caller: Caller) -> None:
    path = caller.topics("a", "a.x", "a.y")
    apply(caller, prepare(caller, path))
    caller.topics("a", "a.x")
    assert apply(caller, prepare(caller, path)) in (3, 4)
    assert caller.calls == ["plans ['a']"]


def test_files_with_errors_are_not_prepared(caller: Caller) -> None:
    with pytest.raises(Invalid, match="K219"):
        prepare(caller, caller.write("shop.yaml", SHOP))


def test_whether_connect_is_needed_is_known_before_it_is_asked(caller: Caller) -> None:
    caller.process["KPLAN_VAR_password"] = SECRET
    assert prepare(caller, caller.write("shop.yaml", SHOP)).needs_connect
    assert not prepare(caller, caller.topics("a", "a.x")).needs_connect


# -- saved plans ------------------------------------------------------------------------------------------------------
def test_a_saved_plan_is_applied_once_and_nobody_is_asked(caller: Caller) -> None:
    path = save(caller, caller.topics("a", "a.x"))
    request = ApplyRequest("kplan apply plan.json", saved=True)
    assert apply(caller, saved_work(caller, path), request) == 0
    assert caller.calls == ["plans ['a']", "unchanged []", "end applied"]
    with pytest.raises(Stale, match="already applied"):
        apply(caller, saved_work(caller, path), request)


def test_a_saved_plan_gets_the_values_of_its_secrets(caller: Caller) -> None:
    caller.process["KPLAN_VAR_password"] = SECRET
    path = save(caller, caller.write("shop.yaml", SHOP))
    assert SECRET not in Path(path).read_text()
    assert apply(caller, saved_work(caller, path), ApplyRequest("kplan apply plan.json", saved=True)) == 0
    caller.process.clear()
    with pytest.raises(Invalid, match="K219"):
        saved_work(caller, path)


def test_a_saved_plan_of_a_file_that_changed_is_stale(caller: Caller) -> None:
    path = save(caller, caller.topics("a", "a.x"))
    caller.topics("a", "a.x", "a.y")
    with pytest.raises(Stale, match="has changed since the plan was created"):
        saved_work(caller, path)


def test_a_saved_plan_is_for_one_environment(caller: Caller) -> None:
    documents = read_documents(save(caller, caller.topics("a", "a.x")))
    assert documents is not None
    with pytest.raises(Stale, match="for environment dev, not prod"):
        check_documents(documents, "prod", None)
    with pytest.raises(Stale, match="not signed"):
        check_documents(documents, "", "a key")


def test_a_file_that_is_no_saved_plan_may_be_a_stack(caller: Caller) -> None:
    assert read_documents(caller.topics("a", "a.x")) is None
    assert read_documents(str(caller.folder / "missing.json")) is None


# -- others -----------------------------------------------------------------------------------------------------------
def test_a_stack_that_another_process_holds_is_waited_for(caller: Caller) -> None:
    runtime = caller.runtime()
    with caller.open(caller.load(caller.topics("a", "a.x"))) as opened:
        with (
            opened.store.lock("a", runtime.holder("kplan apply"), 0.0),
            pytest.raises(Locked, match="has locked stack a"),
        ):
            wait_for_others(opened.store, ["b", "a"], 0.2, runtime)
        assert caller.notes and caller.notes[0].startswith("waiting 0 s for the lock")
        wait_for_others(opened.store, ["a"], 0.0, runtime)


def test_what_another_run_created_between_reading_and_checking_is_read_again(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The servers refuse the first plan: what it would create is there by then."""
    path = caller.topics("a", "a.x")
    work, check = prepare(caller, path), SimulatedTopics.check
    others: list[int] = []

    def let_another_apply(self: SimulatedTopics, changes: Sequence[Change]) -> Mapping[Address, Sequence[Diagnostic]]:
        if not others:
            others.append(-1)
            others[0] = apply_work(prepare(caller, path), REQUEST, caller.runtime(), caller)
        return check(self, changes)

    monkeypatch.setattr(SimulatedTopics, "check", let_another_apply)
    assert apply(caller, work) == 0 and others == [0]
    assert caller.calls == ["plans ['a']", "unchanged []", "end applied", "plans ['a']", "unchanged ['a']"]


def test_errors_of_a_plan_that_no_other_run_disturbed_are_final(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = prepare(caller, caller.topics("a", "a.x"))
    planned: list[PlanOutcome] = []

    def plan(opened: OpenEnvironment) -> PlanOutcome:
        planned.append(work.plan(opened))
        return planned[-1]

    refused = {Address("topic", "a.x"): [error(codes.K314, "the cluster refuses this", "no")]}
    monkeypatch.setattr(SimulatedTopics, "check", lambda self, changes: refused)
    assert apply(caller, replace(work, plan=plan)) == 4
    assert len(planned) == 1


def test_receivers_are_notified_of_a_refusal_once(caller: Caller) -> None:
    work = prepare(caller, caller.topics("a", "a.x"))
    with pytest.raises(Blocked), notifying_refusals(work.notifier, ["a"]), notifying_refusals(work.notifier, ["a"]):
        raise Blocked("not accepted")
    assert work.notifier.has_notified
