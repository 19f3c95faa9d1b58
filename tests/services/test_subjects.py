"""Schema subjects on a real registry, Apicurio: planned, refused with the place, applied, undone, and recovered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from tests.faults import schemas as faults
from tests.services import KafkaCluster
from tests.services.registry import Registry
from tests.shell import Shell

SETTINGS = """
version: 1
default: dev
environments:
  dev:
    kafka: {{bootstrap.servers: "{kafka.bootstrap}"}}
    schema_registry: {{url: "{registry.url}"}}
    state: {{sqlite: dev.db}}
"""
ORDER = {"type": "record", "name": "Order", "namespace": "shop", "fields": [{"name": "id", "type": "long"}]}
CHANNEL = {"name": "channel", "type": "string", "default": "web"}


@pytest.fixture
def shop(tmp_path: Path, kafka: KafkaCluster, registry: Registry) -> Shell:
    """A project with the file `order.avsc`; the subjects of a test begin with its stack's name."""
    shell = Shell(tmp_path)
    shell.write("kplan.yaml", SETTINGS.format(kafka=kafka, registry=registry))
    write_schema(shell, ORDER)
    return shell


def write_schema(shell: Shell, schema: Any, name: str = "order.avsc") -> None:
    shell.write(name, json.dumps(schema, indent=1))


def add_field(schema: Any, *fields: Any) -> Any:
    return {**schema, "fields": [*schema["fields"], *fields]}


def declare(shell: Shell, stack: str, schemas: str, more: str = "") -> None:
    shell.write("stack.yaml", f"version: 1\nstack: {stack}\nschemas:\n{schemas}{more}")


def read_versions(registry: Registry, subject: str) -> list[int]:
    return list(registry.call("GET", f"/subjects/{subject}/versions") or [])


def read_level(registry: Registry, subject: str) -> str | None:
    answer = registry.call("GET", f"/config/{subject}")
    level = answer["compatibilityLevel"] if answer else None
    return None if level == "NONE" else level  # which is the level of the whole registry


def test_new_subject_is_registered_with_its_level_and_then_nothing_changes(shop: Shell, registry: Registry) -> None:
    declare(shop, "new", "  new-value: {file: order.avsc, compatibility: BACKWARD}\n")
    shop.kplan("apply", "stack.yaml", "--yes")
    assert read_versions(registry, "new-value") == [1]
    assert read_level(registry, "new-value") == "BACKWARD"
    assert "No changes" in shop.kplan("plan", "stack.yaml").out


def test_other_white_space_and_order_of_keys_is_the_same_schema(shop: Shell, registry: Registry) -> None:
    declare(shop, "same", "  same-value: {file: order.avsc}\n")
    shop.kplan("apply", "stack.yaml", "--yes")
    turned = json.dumps(dict(reversed(ORDER.items())), separators=(" ,  ", " : "))
    shop.write("order.avsc", turned)
    assert "No changes" in shop.kplan("plan", "stack.yaml").out


def test_incompatible_schema_is_refused_at_its_line_of_the_file(shop: Shell, registry: Registry) -> None:
    declare(shop, "refused", "  refused-value: {file: order.avsc, compatibility: BACKWARD}\n")
    shop.kplan("apply", "stack.yaml", "--yes")
    write_schema(shop, add_field(ORDER, {"name": "channel", "type": "string"}))
    ended = shop.kplan("plan", "stack.yaml", expect=4)
    line = 1 + shop.folder.joinpath("order.avsc").read_text().splitlines().index("  {", 7)
    assert "K341" in ended.err
    assert f"order.avsc:{line}:3" in ended.err
    assert "`channel` has no default" in ended.err
    assert read_versions(registry, "refused-value") == [1]


def test_compatible_change_shows_its_fields_and_is_a_new_version(shop: Shell, registry: Registry) -> None:
    declare(shop, "grows", "  grows-value: {file: order.avsc, compatibility: BACKWARD}\n")
    shop.kplan("apply", "stack.yaml", "--yes")
    write_schema(shop, add_field(ORDER, CHANNEL))
    planned = shop.kplan("plan", "stack.yaml")
    assert 'fields/channel       string, default "web"' in planned.out
    assert "1 by compatibility" in planned.out
    shop.kplan("apply", "stack.yaml", "--yes")
    assert read_versions(registry, "grows-value") == [1, 2]
    assert "No changes" in shop.kplan("plan", "stack.yaml").out


def test_failed_apply_puts_levels_and_versions_back(shop: Shell, kafka: KafkaCluster, registry: Registry) -> None:
    declare(shop, "back", "  back-value: {file: order.avsc, compatibility: BACKWARD}\n")
    shop.kplan("apply", "stack.yaml", "--yes")
    write_schema(shop, add_field(ORDER, CHANNEL))
    topic = "topics:\n  back.topic: {replication_factor: 1}\n"
    schemas = "  back-value: {file: order.avsc, compatibility: FULL}\n  back-new: {file: order.avsc}\n"
    declare(shop, "back", schemas, topic)
    shop.kplan("plan", "stack.yaml", "--out", "plan.json")
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.create_topics([NewTopic("back_topic", 1, 1)])["back_topic"].result(10)  # whose name collides
    ended = shop.kplan("apply", "plan.json", expect=7)
    assert "subject/back-value" in ended.all
    assert read_versions(registry, "back-value") == [1]
    assert read_level(registry, "back-value") == "BACKWARD"
    assert read_versions(registry, "back-new") == []


def test_reference_to_a_schema_of_the_same_plan(shop: Shell, registry: Registry) -> None:
    money = {"type": "record", "name": "Money", "namespace": "common", "fields": [{"name": "amount", "type": "long"}]}
    item = {"type": "record", "name": "Item", "fields": [{"name": "price", "type": "common.Money"}]}
    write_schema(shop, money, "money.avsc")
    write_schema(shop, item, "item.avsc")
    references = "references: [{name: common.Money, subject: ref.money}]"
    schemas = f"  ref.item: {{file: item.avsc, {references}}}\n  ref.money: {{file: money.avsc}}\n"
    declare(shop, "ref", schemas)
    shop.kplan("apply", "stack.yaml", "--yes")
    assert "No changes" in shop.kplan("plan", "stack.yaml").out
    write_schema(shop, add_field(money, {"name": "currency", "type": "string", "default": "EUR"}), "money.avsc")
    planned = shop.kplan("plan", "stack.yaml")
    assert "K461" in planned.out
    shop.kplan("apply", "stack.yaml", "--yes")
    latest = registry.call("GET", "/subjects/ref.item/versions/latest")
    assert (latest["version"], latest["references"][0]["version"]) == (2, 2)
    assert "No changes" in shop.kplan("plan", "stack.yaml").out
    destroyed = shop.kplan("destroy", "stack.yaml", "--yes")
    assert "K347: stays" in destroyed.out, "this registry counts schemas that were deleted softly"
    assert read_versions(registry, "ref.item") == []
    assert read_versions(registry, "ref.money") == [1, 2]


def test_removed_subject_is_deleted_softly_and_destroyed(shop: Shell, registry: Registry) -> None:
    both = "  gone-one: {file: order.avsc, compatibility: FULL}\n  gone-two: {file: order.avsc}\n"
    declare(shop, "gone", both)
    shop.kplan("apply", "stack.yaml", "--yes")
    declare(shop, "gone", both.splitlines()[1] + "\n", "removed: [{subject: gone-one}]\n")
    shop.kplan("apply", "stack.yaml", "--yes")
    assert read_versions(registry, "gone-one") == []
    assert registry.call("GET", "/subjects/gone-one/versions?deleted=true") == [1]
    shop.kplan("destroy", "stack.yaml", "--yes")
    assert read_versions(registry, "gone-two") == []


def test_hard_deletion_is_a_danger_without_an_undo(shop: Shell, registry: Registry) -> None:
    declare(shop, "hard", "  hard-value: {file: order.avsc}\n  hard-other: {file: order.avsc}\n")
    shop.kplan("apply", "stack.yaml", "--yes")
    declare(shop, "hard", "  hard-other: {file: order.avsc}\n", "removed: [{subject: hard-value, hard: true}]\n")
    assert "K460" in shop.kplan("plan", "stack.yaml", expect=3).out
    shop.kplan("apply", "stack.yaml", "--yes", "--accept", "delete:subject/hard-value")
    assert registry.call("GET", "/subjects/hard-value/versions?deleted=true") is None


def test_schema_that_exists_is_adopted_and_one_that_is_older_is_said(shop: Shell, registry: Registry) -> None:
    for schema in (ORDER, add_field(ORDER, CHANNEL)):
        registry.call("POST", "/subjects/old-value/versions", {"schema": json.dumps(schema)})
    declare(shop, "old", "  old-value: {file: order.avsc}\n")
    planned = shop.kplan("plan", "stack.yaml")
    assert "K462" in planned.err and "declared is version 1, the latest is 2" in planned.err
    write_schema(shop, add_field(ORDER, CHANNEL))
    assert "adopt" in shop.kplan("plan", "stack.yaml").out


def test_versions_are_removed_so_that_the_declared_one_is_the_latest_again(shop: Shell, registry: Registry) -> None:
    for schema in (ORDER, add_field(ORDER, CHANNEL)):
        registry.call("POST", "/subjects/newer-value/versions", {"schema": json.dumps(schema)})

    def remove(entry: str, subject: str = "newer-value") -> None:
        declare(
            shop, "newer", f"  {subject}: {{file: order.avsc}}\n", f"removed: [{{subject: newer-value, {entry}}}]\n"
        )

    remove("versions: [2]")
    planned = shop.kplan("plan", "stack.yaml", expect=3)
    assert "K464" in planned.out and "K462" not in planned.err
    remove("versions: [2], accept: [schema]")
    assert "- versions" in shop.kplan("plan", "stack.yaml").out
    shop.kplan("apply", "stack.yaml", "--yes")
    assert read_versions(registry, "newer-value") == [1]
    assert "No changes" in shop.kplan("plan", "stack.yaml").out
    remove("versions: [1]", "other")
    refused = shop.kplan("validate", "stack.yaml", expect=4).all
    assert "K278" in refused and "versions of a subject that is not declared" in refused
    remove("versions: [1], hard: true")
    assert "versions are deleted softly" in shop.kplan("validate", "stack.yaml", expect=4).all


def test_drift_of_the_level_and_of_the_schema(shop: Shell, registry: Registry) -> None:
    declare(shop, "drift", "  drift-value: {file: order.avsc, compatibility: BACKWARD}\n")
    shop.kplan("apply", "stack.yaml", "--yes")
    registry.call("PUT", "/config/drift-value", {"compatibility": "FORWARD"})
    registry.call("POST", "/subjects/drift-value/versions", {"schema": json.dumps(add_field(ORDER, CHANNEL))})
    ended = shop.kplan("drift", "stack.yaml", expect=2)
    assert "level" in ended.out and "schema" in ended.out


def test_import_writes_a_stack_that_plans_empty(shop: Shell, registry: Registry) -> None:
    for schema in (ORDER, add_field(ORDER, CHANNEL)):
        registry.call("POST", "/subjects/imported-value/versions", {"schema": json.dumps(schema)})
    registry.call("PUT", "/config/imported-value", {"compatibility": "FULL"})
    shop.kplan("import", "subject/imported-*", "--stack", "imported", "--out", "imported.yaml")
    planned = shop.kplan("plan", "imported.yaml", "--format", "json").json
    assert [change["actions"] for change in planned["changes"]] == [["adopt"]]


def test_plan_from_a_snapshot_refuses_what_avro_refuses(shop: Shell, registry: Registry) -> None:
    declare(shop, "snap", "  snap-value: {file: order.avsc, compatibility: BACKWARD}\n")
    shop.kplan("apply", "stack.yaml", "--yes")
    shop.kplan("snapshot", "stack.yaml", "--out", "live.json")
    assert "No changes" in shop.kplan("plan", "stack.yaml", "--live", "live.json").out
    write_schema(shop, add_field(ORDER, {"name": "channel", "type": "string"}))
    ended = shop.kplan("plan", "stack.yaml", "--live", "live.json", expect=4)
    assert "K341" in ended.err and "order.avsc:" in ended.err
    write_schema(shop, add_field(ORDER, CHANNEL))
    assert "K461" in shop.kplan("plan", "stack.yaml", "--live", "live.json").out


def test_killed_apply_is_recovered(kafka: KafkaCluster, registry: Registry) -> None:
    """Some points of `python -m tests.faults.schemas`, which tries all of them."""
    trials = faults.Trials(kafka, registry)
    points = [
        point for point in enumerate(trials.list_points(), 1) if "/versions " in point[1] or "/config/" in point[1]
    ]
    outcomes = faults.run(trials, points[:: len(points) // 3][:3])
    assert [outcome for outcome in outcomes if outcome.verdict == "LOST"] == []
    assert len(outcomes) == 3
