"""The published schema of the plan document is what `kplan plan --format json` prints, key by key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.schemas import objects, published, strict
from tests.shell import Shell

SCHEMA = published("plan.v1")
SECRET = "only-a-test-51c9"
TOPICS = """
version: 1
stack: shop
topics:
  shop.orders: {partitions: 3, replication_factor: 3, config: {retention.ms: 7d}, ignore: [segment.bytes]}
  shop.old: {partitions: 1, replication_factor: 3}
  shop.kept: {partitions: 1, replication_factor: 3, protect: true}
"""
CDC = """
version: 1
stack: cdc
variables:
  db_password: {type: string, sensitive: true}
defaults: {topic: {replication_factor: 3}}
connectors:
  inventory:
    template: debezium-postgres
    topic_prefix: cdc
    database: {hostname: db, name: inventory, user: cdc, password: "{{ var.db_password }}"}
    restart: on-change
    restart_failed: {attempts: 2, delay: 1s}
    tables:
      customers:
      orders: {partitions: 6}
"""


VALIDATOR = Draft202012Validator(strict(SCHEMA))


def valid(document: Any) -> Any:
    problems = [f"/{'/'.join(map(str, e.absolute_path))}: {e.message[:300]}" for e in VALIDATOR.iter_errors(document)]
    assert not problems, "\n".join(problems)
    return document


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path, {"KPLAN_VAR_db_password": SECRET}, (SECRET,))


def plan(shell: Shell, text: str, *arguments: str, expect: int = 0) -> Any:
    shell.write("stack.yaml", text)
    return valid(shell.kplan("plan", "stack.yaml", "--format", "json", *arguments, expect=expect).json)


def apply(shell: Shell, text: str) -> None:
    shell.write("stack.yaml", text)
    shell.kplan("apply", "stack.yaml", "--yes")


def test_the_schema_is_a_schema_and_describes_each_property() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    bare = []
    for each in objects(SCHEMA):
        properties = each.get("properties")
        if isinstance(properties, dict):
            bare += [key for key, value in properties.items()
                     if not value.get("description") and not _described(value)]  # fmt: skip
    assert not bare


def _described(value: dict[str, Any]) -> bool:
    name = value.get("$ref", "").removeprefix("#/$defs/")
    return bool(name) and bool(SCHEMA["$defs"][name].get("description"))


def test_creation_of_topics_and_a_connector(shell: Shell) -> None:
    document = plan(shell, CDC)
    assert [c["actions"] for c in document["changes"]] == [["create"]] * 4
    connector = document["changes"][-1]
    assert connector["after"]["config"]["database.password"]["ref"] == "{{ var.db_password }}"
    assert connector["sensitive"] == ["/config/database.password"]


def test_an_empty_plan(shell: Shell) -> None:
    apply(shell, TOPICS)
    assert plan(shell, TOPICS, "--detailed-exitcode")["changes"] == []


def test_updates_with_and_without_undo(shell: Shell) -> None:
    apply(shell, TOPICS)
    document = plan(shell, TOPICS.replace("7d", "30d").replace("partitions: 3", "partitions: 6"))
    assert document["point_of_no_return"] == 1
    assert {d["path"] for d in document["changes"][0]["diff"]} == {"/partitions", "/config/retention.ms"}


def test_a_connector_that_changes(shell: Shell) -> None:
    apply(shell, CDC)
    changed = CDC.replace("customers:", "customers:\n      products:").replace(
        "restart:", "decimals: string\n    restart:"
    )
    document = plan(shell, changed)
    assert {r["level"] for c in document["changes"] for r in c["risks"]} == {"note", "caution"}


def test_a_secret_is_a_reference_and_a_keyed_fingerprint(shell: Shell) -> None:
    shell.environment["KPLAN_KEY"] = "a key"
    secret = plan(shell, CDC)["changes"][-1]["after"]["config"]["database.password"]
    assert secret["ref"] == "{{ var.db_password }}"
    assert secret["fingerprint"].startswith("hmac:")


@pytest.mark.parametrize("key", ["", "a key"])
def test_a_changed_secret_is_a_difference(shell: Shell, key: str) -> None:
    if key:
        shell.environment["KPLAN_KEY"] = key
    apply(shell, CDC)
    document = valid(shell.kplan("plan", "stack.yaml", "--format", "json", "--var", "db_password=another-5d1f").json)
    assert "another-5d1f" not in json.dumps(document)
    assert [d["path"] for c in document["changes"] for d in c["diff"]] == ["/config/database.password"]
    assert document["changes"][0]["diff"][0]["after"]["ref"] == "{{ var.db_password }}"


def test_blocked_by_dangers(shell: Shell) -> None:
    apply(shell, TOPICS)
    left = "\n".join(line for line in TOPICS.splitlines() if "shop.old" not in line and "shop.kept" not in line)
    document = plan(shell, left, expect=3)
    assert document["blocked"] and not document["applyable"]


def test_accepted_dangers(shell: Shell) -> None:
    apply(shell, TOPICS)
    left = "\n".join(line for line in TOPICS.splitlines() if "shop.old" not in line)
    document = plan(shell, left, "--accept", "delete:topic/shop.old")
    assert document["changes"][0]["risks"][0]["accepted"] == "flag"


def test_blocked_by_max_changes(shell: Shell) -> None:
    many = "version: 1\nstack: many\nguards: {max_changes: 10%}\ntopics:\n  'm.{{ each.key }}':\n" \
        "    for_each: [a, b, c, d, e, f, g, h, i, j]\n    config: {retention.ms: 7d}\n"  # fmt: skip
    apply(shell, many)
    assert plan(shell, many.replace("7d", "8d"), expect=3)["blocked"] == ["K419"]


def test_with_errors(shell: Shell) -> None:
    apply(shell, TOPICS)
    document = plan(shell, TOPICS.replace("partitions: 3", "partitions: 2"), expect=4)
    assert document["errored"] and document["diagnostics"][0]["code"] == "K232"


def test_destroy(shell: Shell) -> None:
    apply(shell, CDC)
    document = plan(shell, CDC, "--destroy")
    assert document["mode"] == "destroy"
    assert document["changes"][0]["kind"] == "connector"


def test_replace_move_and_release(shell: Shell) -> None:
    apply(shell, CDC)
    moved = CDC.replace("  inventory:\n", "  stock:\n    slot: inventory\n    publication: inventory\n", 1)
    document = plan(shell, moved + "moved:\n  - {from: connector/inventory, to: connector/stock}\n")
    assert document["changes"][-1]["moved_from"] == "connector/inventory"
    document = plan(shell, CDC, "--replace", "*/*", expect=3)
    assert ["delete", "create"] in [c["actions"] for c in document["changes"]]
    apply(shell, TOPICS)
    left = "\n".join(line for line in TOPICS.splitlines() if "shop.old" not in line)
    document = plan(shell, f"{left}\nremoved:\n  - {{topic: shop.old, keep: true}}\n")
    assert [c["actions"] for c in document["changes"]] == [["release"]]


def test_a_partial_plan_that_was_not_checked(shell: Shell) -> None:
    document = plan(shell, CDC, "--target", "topic/cdc.public.orders", "--offline")
    assert not document["complete"] and not document["checked"]


def test_two_stacks_are_one_document(shell: Shell) -> None:
    shell.write("stacks/a.yaml", TOPICS)
    shell.write("stacks/b.yaml", CDC)
    document = valid(shell.kplan("plan", "stacks", "--format", "json").json)
    assert document.keys() == {"format_version", "plans"}
    assert [p["stack"]["name"] for p in document["plans"]] == ["shop", "cdc"]


def test_a_saved_plan_is_the_same_document(shell: Shell) -> None:
    shell.write("stack.yaml", CDC)
    printed = shell.kplan(
        "plan", "stack.yaml", "--format", "json", "--out", "plan.json", SOURCE_DATE_EPOCH="1767261600"
    ).json
    saved = valid(json.loads((shell.folder / "plan.json").read_text("utf-8")))
    assert saved == printed
    shell.assert_no_secret_on_disk()


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d.pop("digest"),
        lambda d: d.update(digest="sha256:1"),
        lambda d: d.update(mode="maybe"),
        lambda d: d["changes"][0].pop("undo"),
        lambda d: d["changes"][0].update(actions=["rename"]),
        lambda d: d["changes"][0].update(before={"partitions": 0, "replication_factor": 1, "config": {}}),
        lambda d: d["stack"].update(name="Shop"),
    ],
)
def test_another_document_does_not_fit(shell: Shell, damage: Any) -> None:
    document = plan(shell, TOPICS)
    damage(document)
    assert not VALIDATOR.is_valid(document)
    assert not Draft202012Validator(SCHEMA).is_valid(document)


def test_unknown_keys_are_for_later_minor_versions(shell: Shell) -> None:
    document = plan(shell, TOPICS) | {"format_version": "1.9", "weather": "fine"}
    assert Draft202012Validator(SCHEMA).is_valid(document)
    assert not Draft202012Validator(SCHEMA).is_valid(document | {"format_version": "2.0"})
