"""Plans are rehearsed on a simulation, and what would not be put back is found, in every view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kplan.app.rehearse import rehearse_plan, rehearse_plans
from kplan.app.runtime import Runtime
from kplan.execution import rehearsal as rehearsing
from kplan.execution import rollback
from kplan.execution.records import RunRecords
from kplan.model import Address, Change, Owned
from kplan.planning.document import Plan, from_json, to_json
from kplan.planning.undo import inverse
from kplan.render import markdown, plain
from kplan.render.rehearsal import describe_rehearsal
from kplan.render.text import Context
from kplan.testing import SimulatedCluster
from tests.shell import Shell

RUNTIME = cast("Runtime", SimpleNamespace(now=lambda: datetime(2026, 8, 22, tzinfo=UTC)))
BEFORE = """\
version: 1
stack: shop
variables: {password: {sensitive: true}}
topics:
  shop.orders: {partitions: 3, config: {retention.ms: 1d}}
  shop.old:
connectors:
  shop-archive: {class: FileStreamSink, config: {topics: shop.orders, file: /tmp/a, api.key: "{{ var.password }}"}}
access:
  User:orders: {produce: shop.orders}
users:
  orders: {password: "{{ var.password }}"}
quotas:
  - {user: orders, producer_byte_rate: 1MB/s}
schemas:
  shop.orders-value: {compatibility: BACKWARD, text: '{"type": "record", "name": "Order", "fields": []}'}
"""
AFTER = (
    BEFORE.replace("1d", "2d")
    .replace("  shop.old:\n", "  shop.new:\n")
    .replace("tmp/a", "tmp/b")
    .replace("produce: shop.orders", "produce: shop.new")
    .replace("1MB", "2MB")
    .replace("BACKWARD", "FULL")
)
MANY = "version: 1\nstack: many\ntopics:\n" + "".join(f"  many.t{n:03}:\n" for n in range(200))


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A plan with a step of every kind, for a cluster where something is already."""
    return make_plan(tmp_path, BEFORE, AFTER + "removed: [{topic: shop.old}]\n")


def make_plan(folder: Path, *stacks: str) -> Plan:
    """Apply each stack but the last one, which is planned."""
    cluster = SimulatedCluster(folder)
    for stack in stacks[:-1]:
        cluster.apply(stack, var=give_password(stack, "first"))
    return cluster.plan(stacks[-1], var=give_password(stacks[-1], "second"))


def give_password(stack: str, password: str) -> dict[str, object]:
    return {"password": password} if "variables:" in stack else {}


def rehearse(plan: Plan) -> Plan:
    (rehearsed,) = rehearse_plans([plan], RUNTIME)
    assert rehearsed.rehearsal is not None
    return rehearsed


def test_every_failure_of_a_plan_of_all_kinds_is_put_back(plan: Plan) -> None:
    kinds = {change.address.kind for change in plan.changes}
    assert kinds == {"topic", "connector", "acl", "user", "quota", "subject"}
    document = to_json(rehearse(plan))
    rehearsal = document["rehearsal"]
    assert rehearsal["obstacle"] == "" and rehearsal["problems"] == []
    assert rehearsal["tried"] == rehearsal["points"] == len(plan.steps)
    last = [step.number for step in plan.steps if not step.change.undo.complete]
    assert rehearsal["kept"] == len(plan.steps) - min(last) + 1 and rehearsal["restored"] == min(last) - 1
    assert rehearsal["on"] == "simulation" and rehearsal["not_modelled"]
    assert from_json(document).rehearsal == rehearse(plan).rehearsal


def test_what_is_rehearsed_is_not_changed(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, BEFORE, AFTER)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    rehearse(plan)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files


# -- planted faults ---------------------------------------------------------------------------------------------------
ORDERS = Address("topic", "shop.orders")


def undo_nothing(change: Change) -> Change | None:
    return None if change.address == ORDERS else inverse(change)


def undo_wrongly(change: Change) -> Change | None:
    undo = inverse(change)
    if undo is None or change.address != ORDERS:
        return undo
    return replace(undo, diffs=tuple(replace(diff, after="1") for diff in undo.diffs))


def keep_claims(original: Callable[[RunRecords], dict[Address, Owned | None]]) -> Callable[[RunRecords], Any]:
    """Leave the records of what was to be created."""
    return lambda records: {address: owned for address, owned in original(records).items() if owned is not None}


def plant(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if fault == "a record":
        listed = RunRecords.list_previous_owners
        monkeypatch.setattr(RunRecords, "list_previous_owners", keep_claims(listed))
    else:
        monkeypatch.setattr(rollback, "inverse", {"nothing": undo_nothing, "a wrong value": undo_wrongly}[fault])


@pytest.mark.parametrize(("fault", "address", "words"), [
    ("nothing", "topic/shop.orders", "retention.ms is 172800000, and was 86400000"),
    ("a wrong value", "topic/shop.orders", "retention.ms is 1, and was 86400000"),
    ("a record", "topic/shop.new", "the state still has a record of it"),
])  # fmt: skip
def test_a_planted_fault_is_found_in_every_view(
    fault: str, address: str, words: str, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(fault, monkeypatch)
    rehearsed = rehearse(plan)
    document = to_json(rehearsed)
    assert (address, words) in {(each["address"], each["message"]) for each in document["rehearsal"]["problems"]}
    (first, *_) = [each for each in rehearsed.diagnostics if each.address == address and each.code == "K526"]
    assert words in first.detail and "on a simulation" in first.detail
    assert not rehearsed.errored, "a simulation does not forbid the plan"
    text = plain.render_text([document], Context())
    comment = markdown.render([document], Context())
    for view in (text, comment):
        assert "NOT put back" in view and "K526" in view and address.partition("/")[2] in view


def test_without_a_fault_no_view_speaks_of_one(plan: Plan) -> None:
    document = to_json(rehearse(plan))
    assert "on a simulation" in plain.render_text([document], Context())
    assert "K526" not in plain.render_text([document], Context()) + markdown.render([document], Context())


# -- large plans, and impossible ones ---------------------------------------------------------------------------------
def test_of_many_alike_a_sample_is_rehearsed_and_said_to_be_one(tmp_path: Path) -> None:
    rehearsal = rehearse_plan(plan := make_plan(tmp_path, MANY), RUNTIME, max_work=4000)
    assert rehearsal.points == 200
    assert rehearsal.tried == rehearsal.restored == 10
    words = describe_rehearsal(to_json(replace(plan, rehearsal=rehearsal)))
    assert words == "Rehearsed on a simulation: a sample of 10 failures in 200 steps, 10 put back."


def test_one_of_each_sort_is_in_every_sample(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, MANY, MANY.replace("t007:", "t007: {partitions: 2}") + "  many.zzz:\n")
    chosen = rehearsing.choose_failures(plan.steps, 1)
    assert {str(step.change.address) for step in chosen} == {"topic/many.t007", "topic/many.zzz"}


def test_what_the_simulation_does_not_know_is_said(plan: Plan) -> None:
    change = next(step.change for step in plan.steps if step.change.address == ORDERS)
    strange = replace(change, before=replace(cast("Any", change.before), config={"confluent.tier.enable": "true"}))
    steps = tuple(replace(step, change=strange) if step.change is change else step for step in plan.steps)
    rehearsal = rehearse(replace(plan, steps=steps)).rehearsal
    assert rehearsal is not None and rehearsal.tried == 0
    assert rehearsal.obstacle == "topic/shop.orders: Unknown topic config name: confluent.tier.enable"
    assert "cannot play it" in describe_rehearsal(to_json(replace(plan, rehearsal=rehearsal)))


# -- the commands -----------------------------------------------------------------------------------------------------
def test_a_plan_is_rehearsed_when_it_is_made_and_when_it_is_saved(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("shop.yaml", BEFORE.partition("schemas:")[0])
    made = shell.kplan("plan", "shop.yaml", "--rehearse", "--out", "plan.json", KPLAN_VAR_password="a-secret-of-tests")
    assert "Rehearsed on a simulation: 6 failures, 6 put back." in made.out
    saved = shell.kplan("rehearse", "plan.json")
    assert "Rehearsed on a simulation: 6 failures, 6 put back." in saved.out
    document = shell.kplan("rehearse", "plan.json", "--format", "json").json
    assert document["rehearsal"]["restored"] == 6
    shell.kplan("apply", "plan.json", "--yes", KPLAN_VAR_password="a-secret-of-tests")
    assert "K521" in shell.kplan("rehearse", "none.json", expect=None).err


def test_a_plan_without_steps_has_nothing_to_rehearse(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, MANY, MANY)
    assert describe_rehearsal(to_json(rehearse(plan))) == ""
