"""A whole cluster becomes a folder of stacks, one for each prefix, and the first plan of them changes nothing."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from kplan.importers.resources import ImportedResources
from kplan.importers.splitting import split_into_stacks
from kplan.kinds.acl.binding import parse_binding
from kplan.kinds.subject.subject import Subject
from kplan.model import Connector, Resource, Rules, Topic
from tests.shell import Shell

STACK = """\
version: 1
stack: all
variables: {password: {type: string, sensitive: true}}
topics:
  shop.audit: {partitions: 2}
  web.clicks: {config: {retention.ms: 1d}}
  web.views:
  alone:
  lonely.topic:
connectors:
  cdc:
    template: debezium-postgres
    topic_prefix: shop
    database: {hostname: db, name: shop, user: cdc, password: "{{ var.password }}"}
    tables: {public.orders: {partitions: 3}, public.lines: {}}
  web-sink: {class: org.apache.kafka.connect.file.FileStreamSinkConnector, config: {topics: web.clicks, file: /tmp/x}}
access:
  User:app: {consume: {topics: [web.clicks], group: app}}
"""
SECRET = "a-secret-of-tests"


def split(*resources: Resource) -> dict[str, list[str]]:
    imported = ImportedResources()
    for resource in resources:
        imported.add(resource)
    return {name: [each.name for each in own.resources] for name, own in split_into_stacks(imported).items()}


def topic(name: str) -> Topic:
    return Topic(name, 1, 1)


def test_names_are_split_at_their_first_mark() -> None:
    assert split(topic("shop.a"), topic("shop-b"), topic("Shop_c"), topic("web.x"), topic("web.y")) == {
        "shop": ["shop.a", "shop-b", "Shop_c"],
        "web": ["web.x", "web.y"],
    }


def test_what_is_alone_is_together() -> None:
    assert split(topic("a"), topic("b.c"), topic("web.x"), topic("web.y")) == {
        "others": ["a", "b.c"],
        "web": ["web.x", "web.y"],
    }


def test_connectors_and_subjects_are_with_their_topics_and_access_is_apart() -> None:
    binding = parse_binding("User:app/allow/Read/topic/shop.a")
    cdc, sink = Connector("cdc", {"topic.prefix": "shop"}), Connector("s3", {"topics": "web.x,shop.a"})
    parts = split(topic("shop.a"), topic("web.x"), cdc, sink, Subject("shop.a-value", level="NONE"), binding)
    assert parts == {
        "access": [binding.name], "shop": ["shop.a", "cdc", "shop.a-value"], "web": ["web.x", "s3"]
    }  # fmt: skip


def test_a_cluster_becomes_stacks_whose_first_plan_changes_nothing(tmp_path: Path) -> None:
    shell = Shell(tmp_path, {"KPLAN_VAR_password": SECRET, "KPLAN_VAR_database_password": SECRET}, (SECRET,))
    shell.write("kplan.yaml", "version: 1\nenvironments: {local: {simulated: {}}}\n")
    shell.write("all.yaml", STACK)
    shell.kplan("apply", "all.yaml", "--yes")
    with sqlite3.connect(tmp_path / ".kplan" / "local.db") as connection:
        connection.execute("DELETE FROM kplan_ledger")  # as if it were made by other means
    ended = shell.kplan("import", "--out-dir", "stacks")
    assert "4 stacks. `kplan plan stacks` shows what adopts them." in ended.err
    assert sorted(file.stem for file in (tmp_path / "stacks").iterdir()) == ["access", "others", "shop", "web"]
    assert "already exists" in shell.kplan("import", "--out-dir", "stacks", "topic/web.*", expect=64).err
    shell.kplan("fmt", "--check", "stacks")
    plans = json.loads(shell.kplan("plan", "stacks", "--format", "json", "--detailed-exitcode").out)["plans"]
    assert {action for plan in plans for each in plan["changes"] for action in each["actions"]} == {"adopt"}
    assert sum(len(plan["changes"]) for plan in plans) == 12
    shell.kplan("apply", "stacks", "--yes")
    assert not any(each["changes"] for each in shell.kplan("plan", "stacks", "--format", "json").json["plans"])


def test_one_stack_or_several(tmp_path: Path) -> None:
    ended = Shell(tmp_path).kplan("import", "--out", "a.yaml", "--out-dir", "stacks", expect=64)
    assert "leave one of them out" in ended.err


def split_by(*resources: Resource, label: str = "", **patterns: str) -> dict[str, list[str]]:
    imported = ImportedResources()
    for resource in resources:
        imported.add(resource)
    globs = {name: tuple(own.split(",")) for name, own in patterns.items()}
    return {
        name: [each.name for each in own.resources] for name, own in split_into_stacks(imported, globs, label).items()
    }


def test_patterns_come_before_labels_and_these_before_prefixes() -> None:
    def labelled(name: str, **labels: str) -> Topic:
        return Topic(name, 1, 1, rules=Rules(team=labels.pop("team", ""), labels=labels))

    resources = (
        labelled("shop.a", team="Web Shop"),
        labelled("shop.b", team="Web Shop"),
        labelled("pay.a", team="pay", tier="gold"),
        topic("log.a"),
        topic("log.b"),
        Connector("cdc", {"topic.prefix": "pay"}),
    )
    assert split_by(*resources, label="team", money="topic/pay.*,pay") == {
        "log": ["log.a", "log.b"],
        "money": ["pay.a", "cdc"],
        "web-shop": ["shop.a", "shop.b"],
    }
    assert split_by(*resources, label="tier")["gold"] == ["pay.a"]


def test_files_are_split_by_the_labels_of_their_objects(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    head = "apiVersion: kafka.strimzi.io/v1\nkind: KafkaTopic\n"
    files = [
        f"{head}metadata: {{name: {name}, labels: {{strimzi.io/cluster: c, team: {team}, tier: '{{{{x}}}}'}}}}\n"
        for name, team in (("orders", "shop"), ("lines", "shop"), ("clicks", "web"))
    ]
    shell.write("topics.yaml", "---\n".join(files))
    ended = shell.kplan("import", "--file", "topics.yaml", "--out-dir", "stacks", "--by", "team")
    assert "label tier is not carried over" in ended.err
    assert sorted(file.name for file in (tmp_path / "stacks").iterdir()) == ["shop.yaml", "web.yaml"]
    assert "orders: {team: shop}" in (tmp_path / "stacks/shop.yaml").read_text()
    shell.kplan("validate", "stacks")


def test_groups_that_say_nothing_are_usage_errors(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    assert "--group is about the stacks of --out-dir" in shell.kplan("import", "--group", "a=x", expect=64).err
    assert "--by is about" in shell.kplan("import", "--by", "team", expect=64).err
    for group in ("shop", "Shop=x", "shop=,"):
        ended = shell.kplan("import", "--out-dir", "x", "--group", group, expect=64)
        assert "a stack's name, = and a GLOB" in ended.err
