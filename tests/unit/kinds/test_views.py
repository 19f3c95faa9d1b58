"""Kinds that are only registered go through every view that only reads, each with its own nouns."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from kplan.app.list import ListRequest, list_resources
from kplan.app.runtime import Runtime
from kplan.app.snapshot import _read_facts, _read_ids, _read_live
from kplan.app.status import restart_failed
from kplan.app.wait import find_missing
from kplan.cli import list as list_command
from kplan.cli import snapshot as snapshot_command
from kplan.cli import wait as wait_command
from kplan.inspect import drift, status
from kplan.inspect.lineage import Graph, build_graph, fold_graph
from kplan.kinds import registry
from kplan.kinds.codec import change_to_json
from kplan.model import (
    Action,
    Address,
    AttrDiff,
    Change,
    Facts,
    Live,
    Owned,
    Resource,
    Rules,
    Secret,
    Stack,
    Target,
    Topic,
    Undo,
)
from kplan.model.masks import Mask
from kplan.project.environment import Environment
from kplan.render import drift as drift_text
from kplan.render import lineage as lineage_view
from kplan.render import status as status_text
from kplan.render.flow import draw
from kplan.render.steps import describe_unchanged, list_rows, summarize_step
from kplan.render.text import describe_undo
from kplan.servers.base import BackendState, Cluster
from kplan.servers.snapshots import Snapshot, from_json, note_uncompared, to_json, without_secrets
from tests.unit.kinds.other import OTHERS, Mirror, Policy

PASSWORD = "canary-77aa-only-a-test"
KEY = "a key for digests"
SAFE, OPEN, GONE = (Policy(name, level) for name, level in (("safe", 1), ("open", 2), ("gone", 3)))
COPY = Mirror("a-b", rules=Rules(restart_failed=(2, 5.0)))


@pytest.fixture(autouse=True)
def other_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, kind in OTHERS.items():
        monkeypatch.setitem(registry._kinds, name, kind)


def stack(*resources: Resource) -> Stack:
    return Stack("s", "local", {resource.address: resource for resource in resources})


def live(*resources: Resource, **fields: Any) -> Live:
    return Live(resources={resource.address: resource for resource in resources}, **fields)


@dataclass
class Server:
    """A backend that says what it was asked: `late` are resources that are read by name alone."""

    kind: str
    resources: Collection[Resource] = ()
    late: Collection[Resource] = ()
    server: str = "kafka"
    asked: list[Any] = field(default_factory=list)

    def read(self, names: Collection[str] | None) -> BackendState:
        self.asked.append(names)
        present = self.resources if names is None else [*self.resources, *self.late]
        return BackendState({r.address: r for r in present if names is None or r.name in names})

    def identify(self) -> Target:
        return Target("id")

    def facts(self, names: Collection[str]) -> Mapping[Address, Facts]:
        self.asked.append(("facts", names))
        return {}

    def read_ids(self, names: Collection[str]) -> Mapping[Address, str]:
        return {Address(self.kind, name): f"id of {name}" for name in names}

    def restart(self, name: str, failed_only: bool) -> None:
        self.asked.append(("restart", name, failed_only))

    def close(self) -> None: ...


def runtime(notes: list[str] | None = None) -> Runtime:
    return Runtime(Mask(), lambda: datetime(2026, 1, 1, tzinfo=UTC), KEY, ([] if notes is None else notes).append)


# -- status -----------------------------------------------------------------------------------------------------------
def status_of(declared: Stack, now: Live) -> dict[str, Any]:
    return status.make_document([declared], now, {}, {}, {}, "2026-01-01T00:00:00Z", 0)


def test_status_says_what_is_there_and_as_declared() -> None:
    found = status_of(stack(SAFE, OPEN, GONE), live(SAFE, Policy("open", 9)))
    assert found["status"] == status.DEGRADED
    assert found["policies"] == {
        "required": ["gone", "open", "safe"],
        "existing": ["open", "safe"],
        "missing": ["gone"],
        "misconfigured": ["open"],
        "differences": {"open": ["level: 9 instead of 2"]},
    }
    text = "\n".join(status_text.render_lines(found))
    assert "  policies    2 of 3 there, 1 missing, 1 misconfigured" in text
    assert "    missing        gone" in text and "    misconfigured  open: level: 9 instead of 2" in text


def test_status_says_how_what_runs_is() -> None:
    found = status_of(stack(COPY), live())
    assert found["status"] == status.DEGRADED and not found["mirrors"]["a-b"]["healthy"]
    assert "    a-b  MISSING (declared running), 0 of 0 tasks running" in status_text.render_lines(found)
    assert "  mirrors     1 of 1 healthy" in status_text.render_lines(status_of(stack(COPY), live(COPY)))


def test_a_document_has_no_part_for_a_kind_that_no_stack_declares() -> None:
    found = status_of(stack(SAFE), live(SAFE))
    assert found["status"] == status.HEALTHY
    assert {"topics", "connectors", "policies"} <= found.keys() and "mirrors" not in found


def test_status_without_an_answer_names_what_is_required() -> None:
    found = status.make_error_document([stack(SAFE, COPY)], "no broker answers", {}, "2026-01-01T00:00:00Z")
    assert found["policies"]["required"] == ["safe"] and found["policies"]["existing"] == []
    assert found["mirrors"] == {}


def test_what_failed_is_reported_and_restarted_by_its_address() -> None:
    failed = {"mirrors": {"a-b": {"healthy": False, "state": "FAILED", "tasks": [], "cause": "no disk"}}}
    assert status.FailedConnectors().update(failed) == (["mirror/a-b: FAILED: no disk"], [])
    restarts = status.Restarts()
    assert list(restarts.find_due([stack(COPY)], failed, 0)) == []
    assert list(restarts.find_due([stack(COPY)], failed, 6)) == [(COPY.address, "1 of 2")]


# -- list -------------------------------------------------------------------------------------------------------------
def rows(request: ListRequest, *resources: Resource) -> list[dict[str, Any]]:
    overview = SimpleNamespace(refuse_unreadable=lambda stacks: None, unreadable=(), ledger={})
    opened: Any = SimpleNamespace(
        cluster=Cluster.of(Server("policy", resources)),  # type: ignore[arg-type]
        store=SimpleNamespace(overview=lambda: overview, where="here"),
    )
    return list_resources(replace(request, kinds=("policy",)), opened, runtime())


def test_a_row_says_what_the_kind_says() -> None:
    assert rows(ListRequest(), SAFE) == [{"address": "policy/safe", "stack": None, "level": 1, "weight": 7}]
    assert list_command._table_lines(rows(ListRequest(), SAFE)) == [
        "policy/safe           level 1, weight 7                     -",
        "1 resource.",
    ]


def test_what_a_kind_calls_internal_is_listed_on_demand() -> None:
    assert rows(ListRequest(), Policy("_own")) == []
    assert [row["address"] for row in rows(ListRequest(internal=True), Policy("_own"))] == ["policy/_own"]


# -- drift ------------------------------------------------------------------------------------------------------------
def drift_of(declared: Policy, applied: Policy, *now: Policy) -> tuple[drift.JudgedDrift, ...]:
    ledger = {applied.address: Owned(applied.address, "s", "local", True, applied=applied)}
    return drift.compare_stack(stack(declared), live(*now), ledger, KEY).drift


def test_a_changed_attribute_is_drift() -> None:
    [judged] = drift_of(SAFE, SAFE, Policy("safe", 5))
    assert (judged.drift.path, judged.next) == ("/level", drift.Next.PUTS_BACK)
    assert drift_text.describe_change(judged) == "level 1 -> 5"


def test_a_resource_without_records_is_not_called_empty() -> None:
    [judged] = drift_of(SAFE, SAFE)
    assert drift_text.describe_change(judged) == "it is gone"
    assert drift_text.describe_next(judged).endswith("the next apply recreates it")


def test_a_secret_is_compared_by_its_digest() -> None:
    applied = Policy("safe", 1, Secret("{{ var.p }}", PASSWORD).signed(KEY))
    stored = Policy("safe", 1, Secret("{{ var.p }}", fingerprint=applied.password.fingerprint))  # type: ignore[union-attr]
    declared = Policy("safe", 1, Secret("{{ var.p }}", PASSWORD))
    assert drift_of(declared, stored, Policy("safe", 1, PASSWORD)) == ()
    [judged] = drift_of(declared, stored, Policy("safe", 1, "another password"))
    assert drift_text.describe_change(judged) == "password (sensitive, changed)"


# -- snapshot ---------------------------------------------------------------------------------------------------------
def test_a_snapshot_holds_the_resource_and_no_secret() -> None:
    now = live(Policy("safe", 4, Secret(value=PASSWORD)), COPY)
    bare = without_secrets(Snapshot("local", "2026-01-01T00:00:00Z", now), {})
    text = json.dumps(to_json(bare))
    assert PASSWORD not in text
    document = json.loads(text)
    assert document["policies"]["safe"]["level"] == 4 and list(document["mirrors"]) == ["a-b"]
    back = from_json(document, "live.json").live
    assert back.resources == {**now.resources, SAFE.address: Policy("safe", 4, Secret())}
    words = snapshot_command._describe_snapshot(bare, "live.json")
    assert words.startswith("live.json: 0 topics, 0 connectors, 1 policy, 1 mirror, ")


def test_a_snapshot_without_a_kind_is_read() -> None:
    document = to_json(Snapshot("local", "2026-01-01T00:00:00Z", live(Topic("t"))))
    assert "policies" not in document
    assert set(from_json(document).live.resources) == {Address("topic", "t")}


def test_a_damaged_resource_is_named() -> None:
    document = to_json(Snapshot("local", "2026-01-01T00:00:00Z", live(SAFE)))
    document["policies"]["safe"] = {"level": 1}
    with pytest.raises(Exception, match="policy/safe is damaged"):
        from_json(document, "live.json")


def test_an_unknown_secret_is_noted() -> None:
    declared = stack(Policy("safe", 1, Secret("{{ var.p }}", PASSWORD)))
    [note] = note_uncompared(declared, live(Policy("safe", 1, Secret())))
    assert note.detail.startswith("password of policy/safe")


def test_secrets_of_declared_resources_are_masked() -> None:
    caller = runtime()
    environment = Environment("local")
    caller.learn(environment, [stack(Policy("safe", 1, Secret("{{ var.p }}", PASSWORD)))])
    assert caller.mask.mask(f"it says {PASSWORD}") == "it says (sensitive)"


def test_what_is_left_out_is_read_where_it_is_managed(monkeypatch: pytest.MonkeyPatch) -> None:
    own, other = Policy("_own"), Policy("_other")
    server = Server("policy", [SAFE, other], late=[own])
    cluster: Any = Cluster.of(server)  # type: ignore[arg-type]
    monkeypatch.setattr("kplan.app.snapshot.read_addresses", lambda *_: live(SAFE, other))
    assert set(_read_live(cluster, {own.address, SAFE.address}, []).resources) == {SAFE.address, own.address}
    assert server.asked == [["_own"]]


def test_facts_are_read_of_what_holds_records() -> None:
    policies, topics = Server("policy"), Server("topic")
    cluster: Any = Cluster.of(topics, policies)  # type: ignore[arg-type]
    addresses = [SAFE.address, Address("topic", "t")]
    _read_facts(cluster, addresses, runtime())
    assert topics.asked == [("facts", ["t"])] and policies.asked == []
    assert _read_ids(cluster, addresses, runtime())[SAFE.address] == "id of safe"


# -- lineage ----------------------------------------------------------------------------------------------------------
def lineage() -> Graph:
    return build_graph([stack(Topic("a"), COPY, SAFE)])


def test_the_graph_has_every_kind() -> None:
    found = lineage()
    assert [node.id for node in found.nodes] == ["mirror/a-b", "topic/a", "topic/b", "policy/safe"]
    assert found.flows == [("mirror/a-b", "topic/b"), ("topic/a", "mirror/a-b")]
    document = lineage_view.make_document(found, [])
    assert {node["kind"] for node in document["nodes"]} == {"mirror", "policy", "topic"}


def test_the_graph_is_drawn_and_written() -> None:
    text = "\n".join(lineage_view.render_text(lineage()))
    assert "mirror/a-b  (stack s)\n  < topic a\n  > topic b  not declared here" in text
    assert "policy safe" in text
    assert text.endswith("0 tables, 0 connectors, 1 mirror, 2 topics, 1 policy.")
    assert '["a-b"]' in lineage_view.render_mermaid(lineage()) and 'label="safe" shape=box]' in lineage_view.render_dot(
        lineage()
    )


def test_many_alike_are_one_node_with_the_plural() -> None:
    found = fold_graph(build_graph([stack(*(Policy(f"p{n}") for n in range(5)))]), 3)
    assert [node.label for node in found.nodes] == ["5 policies: p0 … p4"]


def test_a_plan_is_drawn_with_what_moves_records() -> None:
    changes = [Change(r.address, Action.CREATE, None, r) for r in (Topic("a"), Topic("b"), Topic("c"), COPY, SAFE)]
    drawing = draw({"changes": [change_to_json(change, number, 1) for number, change in enumerate(changes, 1)]})
    assert drawing is not None
    assert {(line.start, line.end) for line in drawing.lines} == {
        ("topic/a", "mirror/a-b"),
        ("mirror/a-b", "topic/b"),
    }
    assert {box.key: box.shape for box in drawing.boxes} == {
        "topic/a": "rounded", "topic/b": "rounded", "mirror/a-b": "box",
    }  # fmt: skip
    assert drawing.left_out == "1 topic that no connector of this plan feeds or reads is not drawn."
    assert any(sentence.startswith("mirror/a-b (+! 4) feeds topic/b") for sentence in drawing.sentences)


# -- waiting and restarting -------------------------------------------------------------------------------------------
def test_one_can_wait_for_what_is_ready_when_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server("policy", [SAFE])
    monkeypatch.setattr("kplan.app.wait.open_cluster", lambda *_: Cluster.of(Server("topic"), server))  # type: ignore[arg-type]
    environment = Environment("local")
    assert "policies" in wait_command._find_nouns() and "mirrors" not in wait_command._find_nouns()
    missing = find_missing(environment, ["kafka", "policies"], [SAFE.address, GONE.address], runtime())
    assert missing == "policies missing: gone"
    assert find_missing(environment, ["policies"], [SAFE.address], runtime()) == ""


def test_a_restart_goes_to_the_server_of_the_resource() -> None:
    server, notes = Server("mirror"), []
    opened: Any = SimpleNamespace(cluster=Cluster.of(server))  # type: ignore[arg-type]
    restart_failed(opened, COPY.address, "1 of 2", runtime(notes))
    assert server.asked == [("restart", "a-b", True)]
    assert notes == ["mirror/a-b failed and is restarted, 1 of 2"]


# -- the steps of a plan ----------------------------------------------------------------------------------------------
def step(action: Action, before: Policy | None, after: Policy | None, **fields: Any) -> dict[str, Any]:
    diffs = tuple(AttrDiff(*diff) for diff in fields.pop("diffs", ()))
    return change_to_json(Change(SAFE.address, action, before, after, diffs, **fields), 1, 1)


def test_a_step_that_creates_has_a_row_for_each_attribute() -> None:
    created = step(Action.CREATE, None, Policy("safe", 3, Secret("{{ var.p }}", PASSWORD)))
    assert [(row.key, row.after) for row in list_rows(created)] == [("level", "3"), ("password", "(sensitive)")]
    assert summarize_step(created) == ""


def test_a_step_that_updates_says_what_it_puts_back() -> None:
    undo = Undo("restore", True)
    updated = step(Action.UPDATE, SAFE, Policy("safe", 3), diffs=[("/level", 1, 3)], unchanged=1, undo=undo)
    assert (describe_undo(updated), describe_unchanged(updated)) == ("level = 1", "1 attribute unchanged")
    deleted = step(Action.CREATE, None, SAFE, undo=Undo("delete", True))
    assert describe_undo(deleted) == "delete it"


def test_a_step_of_a_kind_that_only_a_later_kplan_knows_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    created = step(Action.CREATE, None, SAFE, undo=Undo("delete", True))
    monkeypatch.delitem(registry._kinds, "policy")
    assert [row.key for row in list_rows(created)] == ["level", "password"]
    assert describe_undo(created) == "delete it"
