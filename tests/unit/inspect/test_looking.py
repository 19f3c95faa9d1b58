"""The commands that look and change nothing: list, drift, completion."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kplan.app.servers import open_cluster
from kplan.inspect.drift import drifted
from kplan.model import Action, Address, AttrDiff, Change, Connector, Live, Owned, Secret, Topic
from kplan.project.environment import Environment, Simulated
from tests.shell import Shell

STACK = """
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


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    made = Shell(tmp_path)
    made.write("stack.yaml", STACK)
    made.kplan("apply", "stack.yaml", "--yes")
    return made


def change(shell: Shell, name: str, key: str, text: str | None) -> None:
    """Someone sets a config of a topic by hand; with None deletes the topic."""
    topics = open_cluster(Environment("local", str(shell.folder), simulated=Simulated())).topics
    address = Address("topic", name)
    now = topics.read([name]).resources[address]
    assert isinstance(now, Topic)
    after = None if text is None else Topic(name, now.partitions, 3, {**now.config, key: text})
    diffs = (AttrDiff(f"/config/{key}", now.config.get(key), text),)
    action = Action.DELETE if after is None else Action.UPDATE
    assert topics.act([Change(address, action, now, after, diffs if after else ())], {})[address].ok


def test_list_shows_what_is_live_and_whose_it_is(shell: Shell) -> None:
    out = shell.kplan("list").out
    assert "connector/feed" in out and "1 of 1 task running" in out and "3 resources." in out
    assert "6 partitions     replication 3" in out and "stack shop" in out
    rows = shell.kplan("list", "shop.c*", "--format", "json").json
    assert [(row["address"], row["stack"]) for row in rows] == [("topic/shop.customers", "shop")]
    assert "0 resources." in shell.kplan("list", "--unowned").out


def test_drift_is_what_someone_changed_whatever_the_stack_says_by_now(shell: Shell) -> None:
    shell.write("stack.yaml", STACK.replace("partitions: 6", "partitions: 9"))
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
    assert [d.path for d in drifted("shop", live, ledger, key)] == paths


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_completion_scripts_complete_commands_and_flags(shell: Shell, name: str) -> None:
    assert "_KPLAN_COMPLETE" in shell.kplan("completion", name).out
    words = {"COMP_WORDS": "kplan plan --det", "COMP_CWORD": "2"} if name != "fish" else {
        "COMP_WORDS": "kplan plan --det", "COMP_CWORD": "--det"}  # fmt: skip
    run = subprocess.run(
        [sys.executable, "-m", "kplan"],
        env={**os.environ, **words, "_KPLAN_COMPLETE": f"{name}_complete"},
        capture_output=True,
        text=True,
        cwd=shell.folder,
        check=False,
    )
    assert "--detailed-exitcode" in run.stdout, json.dumps([run.stdout, run.stderr])
