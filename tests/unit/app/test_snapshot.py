"""Access, users and quotas in a snapshot, and in `list`, `status` and `drift`, on a simulated cluster."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from kplan.kinds.acl.binding import AclBinding, parse_binding
from kplan.kinds.schemas import read_schema
from kplan.model import Action, Change
from kplan.servers.simulated_access import SimulatedAcls
from tests.shell import Shell

SECRET = "hunter2-sesame"
STACK = """
version: 1
stack: shop
variables:
  password: {sensitive: true}
topics:
  shop.orders:
access:
  User:orders:
    produce: shop.orders
    consume: {topics: shop.orders, group: orders}
users:
  orders: {password: "{{ var.password }}"}
quotas:
  - {user: orders, producer_byte_rate: 1MB/s}
"""
FOREIGN = "User:other/allow/Read/topic/other"
READ_GROUP = "User:orders/allow/Read/group/orders"
WITHOUT = "version: 1\nenvironments: {local: {simulated: {capabilities: {authorizer: false}}}}\n"
TOPICS = "version: 1\nstack: shop\ntopics: {shop.orders: }\n"


def act(folder: Path, action: Action, name: str) -> None:
    """Change a binding as somebody else."""
    binding: AclBinding = parse_binding(name)
    before, after = (None, binding) if action is Action.CREATE else (binding, None)
    backend = SimulatedAcls(folder / ".kplan/local.db")
    assert all(outcome.ok for outcome in backend.act([Change(binding.address, action, before, after)], {}).values())
    backend.close()


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    made = Shell(tmp_path, {"KPLAN_VAR_password": SECRET}, (SECRET,))
    made.write("kplan.yaml", "version: 1\nenvironments: {local: {simulated: {}}}\n")
    made.write("stack.yaml", STACK)
    made.kplan("apply", "stack.yaml", "--yes")
    act(tmp_path, Action.CREATE, FOREIGN)
    return made


@pytest.fixture
def bare(tmp_path: Path) -> Shell:
    """A cluster without an authorizer."""
    made = Shell(tmp_path)
    made.write("kplan.yaml", WITHOUT)
    made.write("stack.yaml", TOPICS)
    made.kplan("apply", "stack.yaml", "--yes")
    return made


def list_addresses(shell: Shell, *arguments: str) -> list[str]:
    return [row["address"] for row in shell.kplan("list", *arguments, "--format", "json").json]


def test_list_shows_the_kinds_of_which_a_stack_owns_something(shell: Shell) -> None:
    addresses = list_addresses(shell)
    assert f"acl/{FOREIGN}" in addresses and "user/orders" in addresses and "quota/user=orders" in addresses
    assert list_addresses(shell, "--kind", "acl", "--unowned") == [f"acl/{FOREIGN}"]
    assert list_addresses(shell, "--kind", "quota", "--kind", "user") == ["quota/user=orders", "user/orders"]
    assert "User:other may read topic other" in shell.kplan("list", "--kind", "acl").out


def test_list_does_not_ask_a_cluster_without_an_authorizer(bare: Shell) -> None:
    assert list_addresses(bare) == ["topic/shop.orders"]
    assert "no authorizer" in bare.kplan("list", "--kind", "acl", expect=None).all
    assert "no authorizer" in bare.kplan("list", "acl/*", expect=None).all


def test_import_and_snapshot_work_without_an_authorizer(bare: Shell) -> None:
    bare.kplan("snapshot", "stack.yaml", "--out", "live.json")
    assert "bindings are left out" in bare.kplan("import", "--stack", "shop").all


def test_a_missing_binding_is_drift_and_degraded_and_a_foreign_one_is_neither(shell: Shell, tmp_path: Path) -> None:
    assert shell.kplan("drift", "stack.yaml", "--format", "json").json["drift"] == []
    assert shell.kplan("status", "stack.yaml", "--format", "json").json["status"] == "healthy"
    act(tmp_path, Action.DELETE, READ_GROUP)
    (gone,) = shell.kplan("drift", "stack.yaml", "--format", "json", expect=2).json["drift"]
    assert (gone["address"], gone["next"]) == (f"acl/{READ_GROUP}", "puts_back")
    document = shell.kplan("status", "stack.yaml", "--format", "json", expect=2).json
    assert document["status"] == "degraded" and document["bindings"]["missing"] == [READ_GROUP]
    assert len(document["bindings"]["required"]) == 3 and document["users"]["existing"] == ["orders"]
    assert "2 of 3 there, 1 missing" in shell.kplan("status", "stack.yaml", expect=2).out


def test_a_snapshot_has_what_the_stacks_declare_and_no_password(shell: Shell, tmp_path: Path) -> None:
    shell.kplan("snapshot", "stack.yaml", "--out", "live.json")
    text = (tmp_path / "live.json").read_text("utf-8")
    document = json.loads(text)
    jsonschema.validate(document, read_schema("live.v1"))
    assert FOREIGN in document["acls"] and set(document["quotas"]) == {"user=orders"}
    assert set(document["users"]["orders"]) == {"mechanisms"} and SECRET not in text
    plan = shell.kplan("plan", "stack.yaml", "--live", "live.json", "--format", "json").json
    assert plan["changes"] == []


def test_a_kind_that_a_snapshot_has_not_read_stops_a_plan_that_is_about_it(shell: Shell, tmp_path: Path) -> None:
    shell.kplan("snapshot", "stack.yaml", "--out", "live.json", "--kinds", "user")
    document = json.loads((tmp_path / "live.json").read_text("utf-8"))
    assert "users" in document and "acls" not in document and "quotas" not in document
    refused = shell.kplan("plan", "stack.yaml", "--live", "live.json", expect=4).all
    assert "K607" in refused and "take it again" in refused
    shell.write("topics.yaml", "version: 1\nstack: other\ntopics: {other: }\n")
    shell.kplan("plan", "topics.yaml", "--live", "live.json")
