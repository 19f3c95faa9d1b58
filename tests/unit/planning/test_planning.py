"""Whatever the stack and whatever is live: an applied plan leaves nothing to do, and a failed one leaves no trace."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kplan.app.servers import open_cluster, open_store
from kplan.execution.apply import Apply
from kplan.execution.run import Result, Run
from kplan.model import Action, Address, Change, Connector, Resource, Rules, Stack, Topic
from kplan.planning.document import Plan, from_json, to_json
from kplan.planning.pipeline import Options, make
from kplan.planning.reading import read_addresses
from kplan.planning.risk import Accepted
from kplan.project.environment import Environment, Simulated
from kplan.servers.base import Cluster
from kplan.state.base import Holder, Store
from tests.examples import examples

NAMES = ["orders", "customers", "billing.events", "sys-config"]
CONNECTORS = ["alpha", "beta"]
CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "retention.ms": st.sampled_from(["86400000", "604800000", "-1"]),
        "cleanup.policy": st.sampled_from(["delete", "compact", "compact,delete"]),
        "min.insync.replicas": st.sampled_from(["1", "2"]),
        "preallocate": st.sampled_from(["true", "false"]),
    },
)


@st.composite
def resources(draw: st.DrawFn) -> dict[Address, Resource]:
    found: list[Resource] = []
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True)):
        found.append(Topic(name, draw(st.integers(1, 4)), 3, draw(CONFIGS)))
    topics = [t.name for t in found]
    for name in draw(st.lists(st.sampled_from(CONNECTORS), unique=True)):
        feeds = draw(st.lists(st.sampled_from(topics), unique=True)) if topics else []
        config = {
            "connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector",
            "tasks.max": "1",
            "file": draw(st.sampled_from(["/a", "/b"])),
            "topic": draw(st.sampled_from(NAMES)),
        }
        found.append(Connector(name, config, draw(st.sampled_from(["running", "paused", "stopped"])), tuple(feeds)))
    return {r.address: r for r in found}


def opened(folder: str, fail: tuple[str, ...] = ()) -> tuple[Cluster, Store]:
    environment = Environment("local", folder, simulated=Simulated(3, fail))
    return open_cluster(environment), open_store(environment)


def planned(stack: Stack, cluster: Cluster, store: Store, **options: Any) -> Plan:
    return make(stack, cluster, store, Options(accept=Accepted(("*",)), **options))


def applied(plan: Plan, cluster: Cluster, store: Store, run: str) -> Result:
    addresses = {c.address for c in plan.changes}
    holder = Holder("test@here", run, "test", "now")
    return Apply(
        Run(plan, cluster, store, holder, lambda: (read_addresses(cluster, addresses), store.ledger()))
    ).execute()


def everything(cluster: Cluster) -> Mapping[Address, Resource]:
    return {a: r for backend in cluster.backends for a, r in backend.read(None).resources.items()}


def fits(before: Mapping[Address, Resource], after: Mapping[Address, Resource]) -> dict[Address, Resource]:
    """The resources of `after` with no fewer partitions than they have live, for Kafka cannot take any away."""
    fitting = {}
    for address, resource in after.items():
        live = before.get(address)
        if isinstance(resource, Topic) and isinstance(live, Topic):
            resource = replace(resource, partitions=max(resource.partitions, live.partitions))
        fitting[address] = resource
    return fitting


def runs(change: Change) -> bool:
    """Whether there is something to fail: a connector that is paused or stopped has no task that does."""
    return not isinstance(change.after, Connector) or change.after.state == "running"


SETTINGS = examples(60)


@pytest.mark.slow
@SETTINGS
@given(resources(), resources())
def test_an_applied_plan_leaves_nothing_to_do(first: dict[Address, Resource], second: dict[Address, Resource]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cluster, store = opened(folder)
        for n, wanted in enumerate((first, second)):
            stack = Stack("s", "local", fits(everything(cluster), wanted))
            plan = planned(stack, cluster, store)
            assert plan.applyable, plan.diagnostics
            assert applied(plan, cluster, store, f"run{n}").outcome == "applied"
            again = planned(stack, cluster, store)
            assert not again.steps, again.steps
            assert everything(cluster).keys() == stack.resources.keys()
        assert {o.address for o in store.ledger().values()} == second.keys()


@pytest.mark.slow
@SETTINGS
@given(resources(), resources(), st.data())
def test_a_failure_anywhere_leaves_no_trace(
    first: dict[Address, Resource], second: dict[Address, Resource], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cluster, store = opened(folder)
        applied(planned(Stack("s", "local", first), cluster, store), cluster, store, "run0")
        stack = Stack("s", "local", fits(everything(cluster), second))
        plan = planned(stack, cluster, store)
        reversible = not any(s.change.irreversible for s in plan.steps)
        candidates = [
            s.change for s in plan.steps if s.change.action in (Action.CREATE, Action.UPDATE) and runs(s.change)
        ]
        if not candidates or not reversible:
            return
        before, ledger = everything(cluster), store.ledger()
        failing = data.draw(st.sampled_from(candidates))
        cluster, store = opened(folder, (str(failing.address),))
        result = applied(plan, cluster, store, "run1")
        assert result.exit_code == 7, result
        assert everything(cluster) == before
        assert store.ledger() == ledger
        assert not store.open_runs()


@pytest.mark.slow
@SETTINGS
@given(resources(), resources())
def test_a_plan_survives_being_saved(first: dict[Address, Resource], second: dict[Address, Resource]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cluster, store = opened(folder)
        applied(planned(Stack("s", "local", first), cluster, store), cluster, store, "run0")
        plan = planned(Stack("s", "local", fits(everything(cluster), second)), cluster, store)
        document = to_json(plan)
        loaded = from_json(document)
        assert to_json(loaded) == document
        assert loaded.digest == plan.digest == document["digest"]
        assert applied(loaded, cluster, store, "run1").outcome == "applied"
        assert not planned(Stack("s", "local", fits(everything(cluster), second)), cluster, store).steps


@pytest.mark.slow
@SETTINGS
@given(resources())
def test_destroy_leaves_nothing_that_kplan_made_and_all_that_it_adopted(wanted: dict[Address, Resource]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cluster, store = opened(folder)
        theirs = {a: r for a, r in wanted.items() if a.name in ("orders", "alpha")}
        applied(planned(Stack("theirs", "local", theirs), cluster, store), cluster, store, "run0")
        with store.lock("theirs", Holder("t", "run0b", "", ""), 0) as lock:
            lock.write(ledger=dict.fromkeys(theirs))
        applied(planned(Stack("s", "local", wanted), cluster, store), cluster, store, "run1")
        plan = make(Stack("s", "local", wanted), cluster, store, Options(mode="destroy"))
        assert applied(plan, cluster, store, "run2").outcome == "applied"
        assert everything(cluster).keys() == theirs.keys()
        assert not store.ledger()


def test_a_protected_topic_cannot_be_deleted_even_when_accepted(tmp_path: Path) -> None:
    cluster, store = opened(str(tmp_path))
    kept = Topic("kept", 1, 3, rules=Rules(protect=True))
    applied(planned(Stack("s", "local", {kept.address: kept}), cluster, store), cluster, store, "run0")
    plan = planned(Stack("s", "local"), cluster, store)
    assert plan.blocked == ("K410 topic/kept",)
