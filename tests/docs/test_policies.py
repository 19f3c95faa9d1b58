"""The rules in docs/policies judge the plan.json that kplan writes; regopy runs them as conftest does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from regopy import Interpreter

from tests.guides import DOCS
from tests.shell import Shell

RULES = sorted((DOCS / "policies").glob("*.rego"))
TOPIC = "{{partitions: {partitions}, replication_factor: {replicas}, config: {{{config}}}}}"


def deny(text: str) -> list[str]:
    """Return the messages of `data.main.deny` for a document."""
    interpreter = Interpreter()
    for rule in RULES:
        interpreter.add_module(rule.name, rule.read_text("utf-8"))
    interpreter.set_input(json.loads(text))
    (result,) = json.loads(str(interpreter.query("data.main.deny")))["expressions"]
    return sorted(result)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    made = Shell(tmp_path)
    made.write("kplan.yaml", "version: 1\ndefault: dev\nenvironments: {dev: {}, prod: {}}\n")
    return made


def write(shell: Shell, partitions: int = 6, replicas: int = 3, config: str = "", stack: str = "shop") -> None:
    topic = TOPIC.format(partitions=partitions, replicas=replicas, config=config)
    shell.write(f"{stack}.yaml", f"version: 1\nstack: {stack}\ntopics: {{{stack}.orders: {topic}}}\n")


def judge(shell: Shell, *arguments: str) -> list[str]:
    shell.kplan("plan", *arguments, "--out", "plan.json")
    return deny((shell.folder / "plan.json").read_text("utf-8"))


def test_a_plan_within_the_limits_is_allowed(shell: Shell) -> None:
    write(shell, 50, 3, "retention.ms: 1d")
    assert judge(shell, "shop.yaml") == []


def test_partitions_and_replicas_have_limits(shell: Shell) -> None:
    write(shell, 51, 2)
    assert judge(shell, "shop.yaml") == [
        "topic/shop.orders: 51 partitions, at most 50",
        "topic/shop.orders: replication factor 2, at least 3",
    ]


def test_each_of_several_plans_is_judged(shell: Shell) -> None:
    write(shell, 51)
    write(shell, 52, stack="billing")
    assert judge(shell, "shop.yaml", "billing.yaml") == [
        "topic/billing.orders: 52 partitions, at most 50",
        "topic/shop.orders: 51 partitions, at most 50",
    ]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("retention.ms: 7d", "retention.ms: 1d", "from 604800000 to 86400000"),
        ("retention.ms: -1", "retention.ms: 7d", "from -1 to 604800000"),
        ("retention.ms: 30d", "retention.ms: 7d", "from 2592000000 to 604800000"),
        ("retention.ms: 1d", "retention.ms: 7d", ""),
        ("retention.ms: 1d", "retention.ms: -1", ""),
        ("retention.ms: 1d", "retention.ms: 1d, segment.ms: 1h", ""),
    ],
)
def test_retention_does_not_shrink(shell: Shell, before: str, after: str, words: str) -> None:
    write(shell, config=before)
    shell.kplan("apply", "shop.yaml", "--yes")
    write(shell, config=after)
    assert judge(shell, "shop.yaml") == ([f"topic/shop.orders: retention.ms shrinks {words}"] if words else [])


@pytest.mark.parametrize(("env", "denied"), [("dev", False), ("prod", True)])
def test_a_topic_of_production_is_not_deleted(shell: Shell, env: str, denied: bool) -> None:
    write(shell)
    shell.kplan("apply", "shop.yaml", "--yes", "--env", env)
    shell.write("shop.yaml", "version: 1\nstack: shop\nremoved: [{topic: shop.orders}]\n")
    message = "topic/shop.orders: topics in prod are not deleted (stack shop)"
    assert judge(shell, "shop.yaml", "--env", env) == ([message] if denied else [])
