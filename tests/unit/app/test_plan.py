"""Plans are made once for all callers: what is refused, in which order they are, and whose problems they have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kplan.app.load import load_and_begin, load_stacks, refuse_errors
from kplan.app.opening import open_environment, open_snapshot
from kplan.app.plan import PlanRequest, find_holders, plan_stacks, refuse_unplannable
from kplan.app.problems import problems_by_stack
from kplan.app.snapshot import take_snapshot
from kplan.diagnostics import Invalid, Stale
from kplan.planning.reading import read_live_state
from tests.unit.app.conftest import Caller

SECRET = "only-a-test-9d1c"
SHOP = """\
version: 1
stack: shop
variables: {password: {type: string, sensitive: true}}
connectors:
  shop:
    template: debezium-postgres
    topic_prefix: shop
    database: {hostname: db, name: shop, user: cdc, password: "{{ var.password }}"}
    tables: {orders: {partitions: 1}}
"""


def test_the_stacks_are_planned_in_the_order_of_their_names_where_nothing_else_decides(caller: Caller) -> None:
    loaded = caller.load(caller.topics("b", "b.x"), caller.topics("a", "a.x"))
    with caller.open(loaded) as opened:
        outcome = plan_stacks(loaded, loaded.stacks, PlanRequest(), opened, caller.runtime())
    assert [(plan.stack, len(plan.steps)) for plan in outcome.plans] == [("b", 1), ("a", 1)]
    assert {plan.created_at for plan in outcome.plans} == {"2026-01-02T03:04:05Z"}


def test_no_stack_is_no_plan_and_asks_no_server(caller: Caller) -> None:
    loaded = caller.load(caller.topics("a", "a.x"))
    with caller.open(loaded) as opened:
        assert plan_stacks(loaded, [], PlanRequest(), opened, caller.runtime()).plans == []


def test_files_with_errors_are_refused(caller: Caller) -> None:
    loaded = caller.load(caller.write("a.yaml", "version: 1\nstack: a\ntopics: {a.x: {partitons: 1}}\n"))
    with pytest.raises(Invalid):
        refuse_errors(loaded)
    with pytest.raises(Invalid):
        refuse_unplannable(loaded, loaded.stacks, PlanRequest(mode="destroy"))


@pytest.mark.parametrize("request_", [PlanRequest(mode="destroy"), PlanRequest(from_snapshot=True)])
def test_a_secret_without_a_value_is_refused_where_a_plan_needs_it(caller: Caller, request_: PlanRequest) -> None:
    loaded = caller.load(caller.write("shop.yaml", SHOP))
    refuse_unplannable(loaded, loaded.stacks, request_)
    with pytest.raises(Invalid, match="K219"):
        refuse_unplannable(loaded, loaded.stacks, PlanRequest())


def test_what_is_loaded_is_masked(caller: Caller) -> None:
    caller.process["KPLAN_VAR_password"] = SECRET
    runtime = caller.runtime()
    load_stacks(caller.request(caller.write("shop.yaml", SHOP)), runtime)
    assert SECRET not in runtime.mask.mask(f"it is {SECRET}")


def test_a_simulated_cluster_is_not_asked_ahead(caller: Caller) -> None:
    loaded, opened = load_and_begin(caller.request(caller.topics("a", "a.x")), caller.runtime())
    assert [stack.name for stack in loaded.stacks] == ["a"] and opened is None


def test_a_problem_belongs_to_the_stack_of_its_file(caller: Caller) -> None:
    first = caller.topics("a", "a.x")
    second = caller.write("b.yaml", "version: 1\nstack: b\ntopics: {b.x: {config: {retenton.ms: 1}}}\n")
    loaded = caller.load(first, second)
    assert any(problem.span and problem.span.path.endswith("b.yaml") for problem in loaded.diagnostics)
    by_stack = problems_by_stack(loaded, loaded.stacks)
    assert all(problem.span and problem.span.path.endswith("b.yaml") for problem in by_stack["b"])
    assert sum(map(len, by_stack.values())) == len(loaded.diagnostics)
    only_first = problems_by_stack(loaded, loaded.stacks[:1])
    assert only_first == {"a": by_stack["a"]}


def test_a_plan_is_made_of_a_snapshot_of_the_same_environment_alone(caller: Caller) -> None:
    loaded = caller.load(caller.topics("a", "a.x"))
    with caller.open(loaded) as opened:
        snapshot = take_snapshot(loaded, opened, "managed", caller.runtime())
    request = PlanRequest(from_snapshot=True)
    with open_snapshot(loaded.environment, snapshot, "live.json") as opened:
        (plan,) = plan_stacks(loaded, loaded.stacks, request, opened, caller.runtime()).plans
    assert plan.summary.add == 1 and not plan.checked
    Path(caller.folder, "kplan.yaml").write_text("version: 1\nenvironments: {prod: {}}\n")
    with pytest.raises(Stale, match="of environment dev"):
        open_snapshot(caller.load(str(caller.folder / "a.yaml")).environment, snapshot, "live.json")


@pytest.mark.parametrize("is_open", [True, False, None])
def test_a_snapshot_is_judged_by_what_kplan_yaml_says_of_the_servers(caller: Caller, is_open: bool | None) -> None:
    loaded = caller.load(caller.topics("a", "a.x"))
    with caller.open(loaded) as opened:
        snapshot = take_snapshot(loaded, opened, "managed", caller.runtime())
    connect = {"url": "http://x", "internal_topics": ["x-configs"]}
    environment = replace(loaded.environment, allows_by_default=is_open, connect=connect)
    with open_snapshot(environment, snapshot, "live.json") as opened:
        live, _ = read_live_state(loaded.stacks, opened.cluster, opened.store)
    assert live.allows_by_default is is_open and live.internal == {"x-configs"}


def test_who_holds_a_stack_is_asked_where_its_plan_has_steps(caller: Caller) -> None:
    loaded = caller.load(caller.topics("a", "a.x"))
    runtime = caller.runtime()
    with open_environment(loaded.environment, runtime) as opened:
        plans = plan_stacks(loaded, loaded.stacks, PlanRequest(), opened, runtime).plans
        assert find_holders(opened.store, plans) == {}
        with opened.store.lock("a", runtime.holder("kplan apply a.yaml"), 0.0):
            assert find_holders(opened.store, plans)["a"].command == "kplan apply a.yaml"
