"""Drift is judged by all three: what was applied, what is live, what the stack declares now."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from kplan.app.servers import open_cluster
from kplan.inspect.drift import Next, compare_stack, list_drift
from kplan.model import (
    Action,
    Address,
    AttrDiff,
    Change,
    Connector,
    Guards,
    Live,
    Move,
    Owned,
    Removal,
    Resource,
    Rules,
    Secret,
    Stack,
    Topic,
)
from kplan.project.environment import Environment, Simulated
from tests.fakes.webhook import Receiver, receiving
from tests.schemas import published, strict
from tests.shell import Shell

SCHEMA = published("drift.v1")
STACK = """
version: 1
stack: shop
topics:
  shop.orders: {partitions: 3, replication_factor: 3, config: {retention.ms: 7d}}
  shop.customers: {partitions: 3, replication_factor: 3}
"""
WITH_CONNECTOR = """
version: 1
stack: shop
topics:
  shop.orders: {partitions: 6, config: {retention.ms: 1d}}
  shop.customers:
connectors:
  feed:
    class: org.apache.kafka.connect.file.FileStreamSourceConnector
    config: {file: /x, topic: shop.orders}
"""
APPLIED = Topic("t", 6, 3, {"retention.ms": "100"})


def change(shell: Shell, name: str, key: str, text: str | None, env: str = "local") -> None:
    """Someone sets a config of a topic by hand; with None deletes the topic."""
    topics = open_cluster(Environment(env, str(shell.folder), simulated=Simulated())).topics
    address = Address("topic", name)
    now = topics.read([name]).resources[address]
    assert isinstance(now, Topic)
    after = None if text is None else Topic(name, now.partitions, 3, {**now.config, key: text})
    diffs = (AttrDiff(f"/config/{key}", now.config.get(key), text),)
    action = Action.DELETE if after is None else Action.UPDATE
    assert topics.act([Change(address, action, now, after, diffs if after else ())], {})[address].ok


def judged(applied: Resource, now: Resource | None, declared: Resource | None, **stack: Any) -> list[tuple[str, Next]]:
    """Path and what the next apply does, of each difference."""
    mine = {declared.address: declared} if declared else {}
    live = Live(resources={now.address: now} if now else {})
    ledger = {applied.address: Owned(applied.address, "shop", "local", True, applied=applied)}
    found = compare_stack(Stack("shop", "local", mine, **stack), live, ledger, "key")
    return [(each.drift.path, each.next) for each in found.differences]


def retention(text: str | None, **more: Any) -> Topic:
    return replace(APPLIED, config={} if text is None else {"retention.ms": text}, **more)


@pytest.mark.parametrize(("now", "declared", "stack", "expected"), [
    (retention("5"), retention("100"), {}, Next.PUTS_BACK),
    (retention("5"), retention("7"), {}, Next.OVERWRITES),
    (retention("5"), retention(None), {}, Next.OVERWRITES),
    (retention("5"), retention("5"), {}, Next.NOTHING),
    (retention("5"), retention("100", rules=Rules(ignore=frozenset({"retention.ms"}))), {}, Next.IGNORES),
    (retention("5"), None, {}, Next.DELETES),
    (retention("5"), None, {"removed": (Removal(APPLIED.address),)}, Next.DELETES),
    (retention("5"), None, {"removed": (Removal(APPLIED.address, keep=True),)}, Next.GIVES_UP),
    (replace(APPLIED, partitions=9), APPLIED, {}, Next.REFUSES),
    (replace(APPLIED, partitions=9), replace(APPLIED, partitions=9), {}, Next.NOTHING),
    (replace(APPLIED, partitions=9), replace(APPLIED, partitions=12), {}, Next.OVERWRITES),
    (None, APPLIED, {}, Next.PUTS_BACK),
    (None, APPLIED, {"guards": Guards(create=False)}, Next.REFUSES),
    (None, None, {}, Next.NOTHING),
])  # fmt: skip
def test_the_next_apply_does_what_is_said(
    now: Topic | None, declared: Topic | None, stack: dict[str, Any], expected: Next
) -> None:
    assert [each for _, each in judged(APPLIED, now, declared, **stack)] == [expected]


def test_a_connector_that_is_to_move_is_held_against_its_new_name() -> None:
    old, new = (
        Connector("old", {"connector.class": "X", "a": "1"}),
        Connector("new", {"connector.class": "X", "a": "1"}),
    )
    live = Connector("old", {"connector.class": "X", "a": "2"})
    assert judged(old, live, new, moved=(Move(old.address, new.address),)) == [("/config/a", Next.PUTS_BACK)]


@pytest.mark.parametrize(("declared", "expected"), [
    ("one", Next.PUTS_BACK), ("two", Next.NOTHING), ("three", Next.OVERWRITES), (None, Next.PUTS_BACK),
])  # fmt: skip
def test_a_secret_is_compared_with_what_is_declared(declared: str | None, expected: Next) -> None:
    applied = Connector("c", {"token": replace(Secret("{{ var.t }}", "one").signed("key"), value=None)})
    now = Connector("c", {"token": "two"})
    wanted = Connector("c", {"token": Secret("{{ var.t }}", declared)})
    assert judged(applied, now, wanted) == [("/config/token", expected)]


def test_what_may_not_be_described_is_named_and_is_no_drift() -> None:
    ledger = {APPLIED.address: Owned(APPLIED.address, "shop", "local", True, applied=APPLIED)}
    found = compare_stack(Stack("shop", "local"), Live(hidden=frozenset({APPLIED.address})), ledger)
    assert (found.owned, found.unseen, found.differences) == (1, (Address("topic", "t"),), ())


# -- the command ------------------------------------------------------------------------------------------------------
@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    made = Shell(tmp_path, {"HOOK": "http://127.0.0.1:1/T0canary7"}, ("T0canary7",))
    made.write("kplan.yaml", "version: 1\nenvironments: {local: {}}\n")
    made.write("stack.yaml", STACK)
    return made


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def test_a_change_that_the_stack_takes_up_is_no_drift_and_no_plan(shell: Shell) -> None:
    shell.kplan("apply", "stack.yaml", "--yes")
    change(shell, "shop.orders", "retention.ms", "86400000")
    shell.kplan("drift", "stack.yaml", expect=2)
    shell.write("stack.yaml", STACK.replace("7d", "1d"))
    assert "No changes" in shell.kplan("plan", "stack.yaml", "--detailed-exitcode").out
    out = shell.kplan("drift", "stack.yaml").out
    assert "604800000 (7d) -> 86400000 (1d)" in out and "No drift" in out


def test_a_stack_that_was_never_applied_is_not_said_to_be_as_applied(shell: Shell) -> None:
    out = shell.kplan("drift", "stack.yaml").out
    assert "Nothing has been applied" in out and "No drift" not in out
    assert shell.kplan("drift", "stack.yaml", "--format", "json").json["owned"] == 0


def test_the_document_is_as_its_schema_says(shell: Shell) -> None:
    validator = Draft202012Validator(strict(json.loads(shell.kplan("schema", "drift").out)))
    assert json.loads(shell.kplan("schema", "drift").out) == SCHEMA
    shell.kplan("apply", "stack.yaml", "--yes")
    change(shell, "shop.orders", "retention.ms", "60000")
    change(shell, "shop.customers", "", None)
    found = shell.kplan("drift", "stack.yaml", "--format", "json", expect=2).json
    validator.validate(found)
    assert [(d["address"], d["path"], d["next"]) for d in found["drift"]] == [
        ("topic/shop.customers", "/", "puts_back"),
        ("topic/shop.orders", "/config/retention.ms", "puts_back"),
    ]
    shell.write("other.yaml", STACK.replace("shop", "other"))
    several = shell.kplan("drift", "stack.yaml", "other.yaml", "--format", "json", expect=2).json
    validator.validate(several)
    assert [(each["stack"]["name"], each["owned"]) for each in several["stacks"]] == [("shop", 2), ("other", 0)]


@pytest.mark.parametrize(("when", "told"), [(", when: [drift]", 1), ("", 0), (", when: [failure]", 0)])
def test_receivers_that_ask_for_drift_are_told_of_it(shell: Shell, receiver: Receiver, when: str, told: int) -> None:
    url, got = receiver
    shell.environment["HOOK"] = f"{url}/T0canary7"
    hook = f'notify: [{{webhook: "{{{{ env.HOOK }}}}"{when}}}]'
    shell.write("kplan.yaml", f"version: 1\nenvironments: {{local: {{simulated: {{}}, {hook}}}}}\n")
    shell.kplan("apply", "stack.yaml", "--yes")
    shell.kplan("drift", "stack.yaml")
    assert got == []
    change(shell, "shop.orders", "retention.ms", "60000")
    shell.kplan("drift", "stack.yaml", expect=2)
    assert len(got) == told
    for body in got:
        assert body["text"].startswith("kplan: shop (local): drift: 1 resource, 1 difference.\n• topic/shop.orders")
        assert "604800000 (7d) -> 60000 (1m)" in body["text"] and "set it back" in body["text"]
        assert (body["kplan"]["outcome"], body["kplan"]["stack"], len(body["kplan"]["drift"])) == ("drift", "shop", 1)


def test_a_receiver_that_does_not_answer_is_a_warning_without_its_path(shell: Shell) -> None:
    hook = 'notify: [{webhook: "{{ env.HOOK }}", when: [drift]}]'
    shell.write("kplan.yaml", f"version: 1\nenvironments: {{local: {{simulated: {{}}, {hook}}}}}\n")
    shell.kplan("apply", "stack.yaml", "--yes")
    change(shell, "shop.orders", "retention.ms", "60000")
    ended = shell.kplan("drift", "stack.yaml", expect=2)
    assert "warning: 127.0.0.1 could not be notified of the drift" in ended.err


def test_drift_is_what_someone_changed_whatever_the_stack_says_by_now(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("stack.yaml", WITH_CONNECTOR)
    shell.kplan("apply", "stack.yaml", "--yes")
    shell.write("stack.yaml", WITH_CONNECTOR.replace("partitions: 6", "partitions: 9"))
    assert "No drift" in shell.kplan("drift", "stack.yaml").out
    change(shell, "shop.orders", "retention.ms", "60000")
    change(shell, "shop.orders", "cleanup.policy", "compact")  # never declared, so it is nobody's drift
    change(shell, "shop.customers", "", None)
    ended = shell.kplan("drift", "stack.yaml", expect=2)
    assert "~ topic/shop.orders" in ended.out and "86400000 (1d) -> 60000 (1m)" in ended.out
    assert "it is gone" in ended.out and "2 resources, 2 differences" in ended.out
    assert "cleanup.policy" not in ended.out
    found = shell.kplan("drift", "stack.yaml", "--format", "json", expect=2).json
    assert [(d["address"], d["path"]) for d in found["drift"]] == [
        ("topic/shop.customers", "/"),
        ("topic/shop.orders", "/config/retention.ms"),
    ]


@pytest.mark.parametrize(("key", "value", "paths"), [
    (None, "other", []), ("k1", "one", []), ("k1", "other", ["/config/token"]), ("k1", None, ["/config/token"]),
])  # fmt: skip
def test_a_secret_is_drift_where_its_digest_says_so(key: str | None, value: str | None, paths: list[str]) -> None:
    applied = Connector(
        "feed", {"token": replace(Secret("{{ var.token }}", "one").signed("k1"), value=None), "file": "/x"}
    )
    ledger = {applied.address: Owned(applied.address, "shop", "local", True, applied=applied)}
    live = Live(resources={applied.address: Connector("feed", {"file": "/x"} | ({"token": value} if value else {}))})
    assert [d.path for d in list_drift("shop", live, ledger, key)] == paths
