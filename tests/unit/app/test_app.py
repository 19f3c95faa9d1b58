"""Status, drift, lists, the state and recovery, as any caller gets them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kplan.app.apply import ApplyRequest, apply_work, prepare_stacks
from kplan.app.connector import RestartRequest, read_connector, restart, set_state
from kplan.app.discover import find_connector
from kplan.app.drift import find_drift
from kplan.app.import_stack import ImportRequest, compose_stack, read_live_resources
from kplan.app.list import ListRequest, list_resources
from kplan.app.load import load_stacks
from kplan.app.opening import OpenEnvironment
from kplan.app.plan import PlanRequest
from kplan.app.recover import RecoverRequest, find_open_runs, plan_runs, read_open_run, recover_run
from kplan.app.state import find_open_runs as find_runs_of
from kplan.app.state import find_sensitive_records, sign_records
from kplan.app.status import read_status
from kplan.app.validate import check_environments, find_problems
from kplan.diagnostics import Invalid, KplanError
from kplan.execution.run import Run
from kplan.model import Action, Address, Change, Topic
from kplan.planning.pipeline import Options, make
from kplan.project.loading import Loaded
from kplan.servers.simulated_access import SimulatedAcls
from tests.unit.app.conftest import Caller
from tests.unit.app.test_plan import SECRET, SHOP


def applied(caller: Caller, path: str) -> Loaded:
    """The loaded stack, which is applied."""
    loaded = caller.load(path)
    work = prepare_stacks(loaded, PlanRequest(), caller.runtime())
    assert apply_work(work, ApplyRequest("kplan apply", confirmed=True), caller.runtime(), caller) == 0
    return loaded


def test_a_status_tells_of_the_last_run(caller: Caller) -> None:
    loaded = applied(caller, caller.topics("a", "a.x"))
    with caller.open(loaded) as opened:
        document = read_status(loaded, opened, caller.runtime())
    assert document["status"] == "healthy"


def test_a_deleted_topic_is_drift(caller: Caller) -> None:
    loaded = applied(caller, caller.topics("a", "a.x"))
    with caller.open(loaded) as opened:
        assert find_drift(loaded, opened, caller.runtime()).exit_code == 0
        _delete(opened, "a.x")
        outcome = find_drift(loaded, opened, caller.runtime())
    assert outcome.exit_code == 2
    assert [str(judged.drift.address) for judged in outcome.stacks[0].drift] == ["topic/a.x"]


def _delete(opened: OpenEnvironment, name: str) -> None:
    address = Address("topic", name)
    _act(opened, Change(address, Action.DELETE, opened.cluster.topics.read([name]).resources[address], None))


def _act(opened: OpenEnvironment, change: Change) -> None:
    assert opened.cluster.topics.act([change], {})[change.address].error is None


def test_a_list_names_owners(caller: Caller) -> None:
    loaded = applied(caller, caller.topics("a", "a.x"))
    with caller.open(loaded) as opened:
        rows = list_resources(ListRequest(), opened, caller.runtime())
        assert rows == [{"address": "topic/a.x", "stack": "a", "partitions": 1, "replication_factor": 3}]
        assert list_resources(ListRequest(unowned=True), opened, caller.runtime()) == []
        assert list_resources(ListRequest(globs=("b.*",)), opened, caller.runtime()) == []


def test_what_cannot_be_named_is_counted(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    read = SimulatedAcls.read
    monkeypatch.setattr(SimulatedAcls, "read", lambda *given: replace(read(*given), unknown=2))
    counted = "2 bindings of a type, or with an operation, that this kplan does not know"
    stack = "version: 1\nstack: a\naccess: {User:a: {produce: t}}\ntopics: {t: {partitions: 1}}\n"
    loaded = caller.load(caller.write("a.yaml", stack))
    with caller.open(loaded) as opened:
        plan = make(loaded.stacks[0], opened.cluster, opened.store, Options())
        notes = [f"{each.code} {each.severity} {each.detail}" for each in plan.diagnostics]
        assert notes == [f"K344 note {counted}: left alone"]
        list_resources(ListRequest(kinds=("acl",), unowned=True), opened, caller.runtime())
        assert caller.notes == [f"not listed: {counted}"]
        found = read_live_resources(ImportRequest("imported", "here"), opened, caller.runtime()).found
        assert [str(note) for note in found.notes] == [f"left out: {counted}"]


def test_what_is_live_and_owned_by_no_stack_becomes_a_stack(caller: Caller) -> None:
    loaded = caller.load(caller.topics("a", "a.x"))
    request, runtime = ImportRequest("imported", "here"), caller.runtime()
    with caller.open(loaded) as opened:
        nothing = read_live_resources(request, opened, runtime)
        with pytest.raises(Invalid, match="K633"):
            compose_stack(nothing, request, loaded.environment, runtime)
        _act(opened, Change(Address("topic", "b.x"), Action.CREATE, None, Topic("b.x", 2, 3)))
        imported = compose_stack(read_live_resources(request, opened, runtime), request, loaded.environment, runtime)
        assert "stack: imported" in imported.text and "b.x:" in imported.text
        with pytest.raises(Invalid, match="K632"):
            read_live_resources(replace(request, globs=("c.*",)), opened, runtime)


def test_a_connector_is_paused_and_a_restart_leaves_it_so(caller: Caller) -> None:
    caller.process["KPLAN_VAR_password"] = SECRET
    loaded = applied(caller, caller.write("shop.yaml", SHOP))
    runtime = caller.runtime()
    with caller.open(loaded) as opened:
        connector = read_connector("shop", opened, runtime)
        assert SECRET not in repr(connector.resource)
        assert not restart(connector, RestartRequest(failed_only=True), runtime)
        assert restart(connector, RestartRequest(), runtime)
        set_state(connector, "paused", runtime)
        paused = read_connector("shop", opened, runtime)
        assert paused.resource.state == "paused"
        with pytest.raises(KplanError, match="a restart does not change that"):
            restart(paused, RestartRequest(), runtime)
        with pytest.raises(KplanError, match="no connector other"):
            read_connector("other", opened, runtime)


def test_records_are_signed_that_did_not_change_meanwhile(caller: Caller) -> None:
    from kplan.app.opening import open_state

    loaded = applied(caller, caller.topics("a", "a.x"))
    runtime = caller.runtime("a key")
    store = open_state(loaded.environment, runtime)
    unsigned = [record for record in store.records() if record.fault]
    stale = replace(unsigned[0], data={})
    assert sign_records(store, "a", [stale, *unsigned[1:]], 0.0, runtime) == len(unsigned) - 1
    assert not find_sensitive_records(store, [], runtime).to_write
    assert not find_runs_of([record for record in store.records() if record.run])
    store.close()


# -- recovering -------------------------------------------------------------------------------------------------------
def interrupted(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> Loaded:
    """The loaded stack, whose apply ended like that of a killed process after its only wave."""

    def die(run: Run, *arguments: object) -> None:
        raise KeyboardInterrupt

    loaded = caller.load(caller.topics("a", "a.x"))
    work = prepare_stacks(loaded, PlanRequest(), caller.runtime())
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Run, "verify_end_state", die)
        apply_work(work, ApplyRequest("kplan apply", confirmed=True), caller.runtime(), caller)
    return loaded


@pytest.mark.slow
@pytest.mark.parametrize("forward", [False, True])
def test_an_interrupted_run_is_put_back_or_completed(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, forward: bool
) -> None:
    loaded = interrupted(caller, monkeypatch)
    request = RecoverRequest(forward=forward)
    with caller.open(loaded) as opened:
        runs = find_open_runs(opened.store, (), "")
        with pytest.raises(Invalid, match="K606"):
            find_open_runs(opened.store, (), "another")
        assert find_open_runs(opened.store, {"a"}, "") == []
        assert find_open_runs(opened.store, {"a"}, runs[0].run) == [], "its stack is stopped, and the run is there"
        (plan,) = plan_runs(runs, opened, request, caller.request(), caller.runtime())
        run = read_open_run(runs[0], plan, opened, caller.runtime())
        assert [(step.address, step.state, step.live) for step in run.steps] == [("topic/a.x", "done", "as planned")]
        assert not run.elsewhere and run.other is None
        result = recover_run(run, opened, request, caller.runtime(), caller)
        assert (result.outcome, result.left) == ("completed" if forward else "recovered", ())
        present = {address.name for address in opened.cluster.topics.read(["a.x"]).resources}
        assert present == ({"a.x"} if forward else set())
        assert find_open_runs(opened.store, (), "") == []


def test_a_pattern_that_names_nothing_is_noted(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = interrupted(caller, monkeypatch)
    request = RecoverRequest(forget=("topic/b.*", "topic/a.*"))
    with caller.open(loaded) as opened:
        runs = find_open_runs(opened.store, (), "")
        (plan,) = plan_runs(runs, opened, request, caller.request(), caller.runtime())
        run = read_open_run(runs[0], plan, opened, caller.runtime())
        recover_run(run, opened, request, caller.runtime(), caller)
        assert "--forget topic/b.*: this run has no such address" in caller.notes
        assert {address.name for address in opened.cluster.topics.read(["a.x"]).resources} == {"a.x"}


# -- without a server -------------------------------------------------------------------------------------------------
def test_a_secret_without_a_value_is_a_warning_where_no_server_is_asked(caller: Caller) -> None:
    problems = find_problems(load_stacks(caller.request(caller.write("shop.yaml", SHOP)), caller.runtime()))
    assert [problem.code for problem in problems if "no value" in problem.summary] == ["K219"]
    assert not any(problem.is_error for problem in problems)


def test_only_files_of_environments_are_checked_as_such(caller: Caller) -> None:
    stack, config = (
        caller.topics("a", "a.x"),
        caller.write("kplan.yaml", "version: 1\nenvironments: {dev: {kafak: {}}}\n"),
    )
    check = check_environments(caller.request(stack, config), caller.runtime())
    assert check.files == (config,) and any(problem.is_error for problem in check.problems)
    assert check_environments(caller.request(stack), caller.runtime()).files == ()


def test_a_connector_to_discover_is_a_declared_one(caller: Caller) -> None:
    loaded = caller.load(caller.write("shop.yaml", SHOP))
    assert find_connector(loaded, "shop").name == "shop"
    with pytest.raises(Invalid, match="K321") as refused:
        find_connector(loaded, "shpo")
    assert "did you mean `shop`?" in refused.value.diagnostics[0].help
