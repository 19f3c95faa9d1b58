"""What `kplan list` shows: what is live, and whose it is."""

from __future__ import annotations

from pathlib import Path

import pytest

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
