"""What `kplan list` shows: what is live, and whose it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from kplan.app.list import ListRequest
from kplan.model import Address, Owned
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


def test_list_shows_what_is_live_and_whose_it_is(shell: Shell) -> None:
    out = shell.kplan("list").out
    assert "connector/feed" in out and "1 of 1 task running" in out and "3 resources." in out
    assert "6 partitions     replication 3" in out and "stack shop" in out
    rows = shell.kplan("list", "shop.c*", "--format", "json").json
    assert [(row["address"], row["stack"]) for row in rows] == [("topic/shop.customers", "shop")]
    assert "0 resources." in shell.kplan("list", "--unowned").out


TOPICS = [("topic/a.connect-offsets", False), ("topic/_schemas", False), ("topic/sinks-offsets", False),
          ("topic/__consumer_offsets", False), ("topic/orders", True), ("connector/sinks-offsets", True)]  # fmt: skip


@pytest.mark.parametrize(("address", "is_shown"), TOPICS)
def test_topics_of_connect_and_registries_are_listed_to_who_asks_or_owns_them(address: str, is_shown: bool) -> None:
    resource = Address(*address.split("/"))
    owner = Owned(resource, "platform", "prod", created=True)
    internal = frozenset({"sinks-offsets"})
    assert ListRequest().is_wanted(resource, None, internal) is is_shown
    assert ListRequest(unowned=True).is_wanted(resource, None, internal) is is_shown
    assert ListRequest(internal=True).is_wanted(resource, None, internal)
    assert ListRequest((address,)).is_wanted(resource, None, internal)
    assert ListRequest().is_wanted(resource, owner, internal) is not resource.name.startswith("__")
    assert not ListRequest((address,), unowned=True).is_wanted(resource, owner, internal)


def test_labels_select_what_is_listed(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("stack.yaml", STACK.replace("shop.customers:", "shop.customers: {team: crm, labels: {tier: gold}}"))
    shell.kplan("apply", "stack.yaml", "--yes")
    rows = shell.kplan("list", "--selector", "team=crm,tier=gold", "--format", "json").json
    assert [row["address"] for row in rows] == ["topic/shop.customers"]
    assert "0 resources." in shell.kplan("list", "--selector", "team=crm,tier=silver").out
    shell.kplan("list", "--selector", "crm", expect=64)


def test_labels_select_what_has_a_status(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("stack.yaml", STACK.replace("shop.customers:", "shop.customers: {team: crm}"))
    shell.kplan("apply", "stack.yaml", "--yes")
    assert "1 of 1 there" in shell.kplan("status", "stack.yaml", "--selector", "team=crm").out
    assert "K237" in shell.kplan("status", "stack.yaml", "--selector", "team=web", expect=4).err
