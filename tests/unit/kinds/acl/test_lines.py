"""What each line of a principal's block grants. tests/services/test_access_lines.py proves it with clients."""

from __future__ import annotations

from pathlib import Path

import pytest

from kplan.kinds.acl.lines import KPLAN_TASKS
from kplan.kinds.acl.permissions import ACTIVITIES
from tests.unit.kinds.declared import names

LINES: list[tuple[str, list[str]]] = [
    ("produce: a", ["Write/topic/a"]),
    ("produce: [a, 'b.*', '*']", ["Write/topic/a", "Write/topic-prefix/b.", "Write/topic-any"]),
    ("produce: {topics: a}", ["Write/topic/a"]),
    ("produce: {topics: [a, b], idempotent: true}", ["Write/topic/a", "Write/topic/b", "IdempotentWrite/cluster"]),
    ("consume: {topics: a, group: g}", ["Read/topic/a", "Read/group/g"]),
    ("consume: {topics: ['a*', b], group: ['g.*', h]}",
     ["Read/topic-prefix/a", "Read/topic/b", "Read/group-prefix/g.", "Read/group/h"]),
    ("consume: [{topics: a, group: g}, {topics: b, group: h}]",
     ["Read/topic/a", "Read/group/g", "Read/topic/b", "Read/group/h"]),
    ("consume: {topics: a, group: '*'}", ["Read/topic/a", "Read/group-any"]),
    ("transactional_id: t", ["Write/transactional-id/t"]),
    ("transactional_id: [t, 'u-*']", ["Write/transactional-id/t", "Write/transactional-id-prefix/u-"]),
    ("streams: app", ["Read/group/app", "Create/topic-prefix/app-", "Delete/topic-prefix/app-",
                      "Read/topic-prefix/app-", "Write/topic-prefix/app-", "Write/transactional-id-prefix/app-"]),
    ("worker: {group_id: g, topics: [c, o, s]}",
     [f"{operation}/topic/{topic}" for topic in "cos" for operation in ("Read", "Write", "Create")]
     + ["Read/group/g", "Write/transactional-id/connect-cluster-g"]),
    ("kplan: {do: [access]}", ["Alter/cluster"]),
    ("kplan: {do: [quotas]}", ["AlterConfigs/cluster"]),
    ("kplan: {do: [reassign]}", ["Alter/cluster", "AlterConfigs/cluster"]),
    ("kplan: {do: [plan], topics: shop.}",
     ["Describe/topic-prefix/shop.", "DescribeConfigs/topic-prefix/shop.", "Describe/cluster", "Describe/group-any",
      "Read/topic/__kplan", "Describe/group-prefix/kplan."]),
    ("kplan: {do: [plan], topics: shop.*, stacks: ['shop-*', other], state: __own}",
     ["Describe/topic-prefix/shop.", "DescribeConfigs/topic-prefix/shop.", "Describe/cluster", "Describe/group-any",
      "Read/topic/__own", "Describe/group-prefix/own.shop-", "Describe/group/own.other"]),
    ("allow: [{topic: a, operations: [Read, Describe]}]", ["Read/topic/a", "Describe/topic/a"]),
    ("allow: [{group: ['a*', b], operations: [Read]}]", ["Read/group-prefix/a", "Read/group/b"]),
    ("allow: [{group: {name: 'a*', pattern: literal}, operations: [Read]}]", ["Read/group/a%2A"]),
    ("allow: [{topic: {name: '*', pattern: prefixed}, operations: [Read]}]", ["Read/topic-prefix/%2A"]),
    ("allow: [{transactional_id: t, operations: [All]}]", ["All/transactional-id/t"]),
    ("allow: [{cluster: true, operations: [IdempotentWrite]}]", ["IdempotentWrite/cluster"]),
    ("allow: [{topic: größe/x, operations: [Read]}]", ["Read/topic/gr%C3%B6%C3%9Fe%2Fx"]),
]  # fmt: skip


@pytest.mark.parametrize(("line", "grants"), LINES, ids=[line for line, _ in LINES])
def test_a_line_grants_exactly_this(tmp_path: Path, line: str, grants: list[str]) -> None:
    assert names(tmp_path, f"access: {{'User:a': {{{line}}}}}") == [f"User:a/allow/{grant}" for grant in grants]


def test_a_deny_denies(tmp_path: Path) -> None:
    block = "access: {'User:a': {deny: [{topic: '*', operations: [All], hosts: 10.0.0.7}]}}"
    assert names(tmp_path, block) == ["User:a/deny/All/topic-any/host=10.0.0.7"]


def test_hosts_are_for_each_line_but_an_entry_with_its_own(tmp_path: Path) -> None:
    block = """
    access:
      User:a:
        produce: t
        allow: [{group: g, operations: [Read], hosts: ["*"]}]
        hosts: [10.0.0.7, "::1"]
    """
    assert names(tmp_path, block) == [
        "User:a/allow/Write/topic/t/host=10.0.0.7", "User:a/allow/Write/topic/t/host=::1", "User:a/allow/Read/group/g",
    ]  # fmt: skip


def test_every_activity_of_a_task_exists() -> None:
    known = {activity.name for activity in ACTIVITIES}
    assert {name for names in KPLAN_TASKS.values() for name in names} <= known


def test_the_task_apply_has_what_plan_has(tmp_path: Path) -> None:
    """Read, Write, Alter and Delete include Describe, so not each right of a plan is named again."""
    grants = {
        each.removeprefix("User:a/allow/") for each in names(tmp_path, "access: {'User:a': {kplan: {do: [apply]}}}")
    }
    assert {"Create/topic-any", "Alter/topic-any", "Delete/topic-any", "Read/topic/__kplan", "Write/topic/__kplan",
            "Read/group-prefix/kplan.", "Write/transactional-id-prefix/kplan."} <= grants  # fmt: skip
