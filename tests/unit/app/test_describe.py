"""All that is known of one resource."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.shell import Shell

STACK = """\
version: 1
stack: shop
topics:
  shop.orders: {partitions: 3, config: {retention.ms: MS}}
connectors:
  shop-copy: {class: FileStreamSource, config: {topic: shop.orders}}
  shop-archive: {class: FileStreamSink, config: {topics: shop.orders, file: /tmp/a}}
access:
  User:orders: {produce: "shop.*"}
  User:other: {produce: other}
users:
  orders: {password: "{{ var.password }}"}
quotas:
  - {user: orders, producer_byte_rate: 1MB/s}
schemas:
  shop.orders-value: {compatibility: BACKWARD, text: '{"type": "record", "name": "Order", "fields": []}'}
variables: {password: {sensitive: true}}
"""


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A project that is applied; the stack then declares another retention."""
    made = Shell(tmp_path, {"KPLAN_VAR_password": "a-secret-of-tests"}, secrets=("a-secret-of-tests",))
    made.write("kplan.yaml", "version: 1\nenvironments: {local: {simulated: {}}}\n")
    made.write("shop.yaml", STACK.replace("MS", "1d"))
    made.kplan("apply", "--yes")
    made.write("shop.yaml", STACK.replace("MS", "2d"))
    return made


def test_a_topic_has_its_settings_readers_access_schema_quotas_and_changes(shell: Shell) -> None:
    out = shell.kplan("describe", "topic/shop.orders").out
    head, *lines = out.splitlines()
    assert head.startswith("topic/shop.orders · env local · SIMULATED cluster")
    assert "  declared in shop.yaml:4, stack shop" in lines
    (retention,) = [line for line in lines if line.startswith("  retention.ms")]
    assert "86400000 (1d)" in retention and "declared 172800000 (2d) (topic, shop.yaml:4)" in retention
    (partitions,) = [line for line in lines if line.startswith("  partitions")]
    assert "declared" not in partitions and "shop.yaml:4" in partitions
    for words in ("acl/User:orders/allow/Write/topic-prefix/shop.", "quota/user=orders", "subject/shop.orders-value",
                  "connect-shop-archive", "connector/shop-archive", "retention.ms"):  # fmt: skip
        assert words in out
    assert "User:other" not in out
    assert "  +  " in lines[-1], "its creation is its last change"


def test_the_document_says_what_differs(shell: Shell) -> None:
    document = shell.kplan("describe", "topic/shop.orders", "--format", "json").json
    assert [row["path"] for row in document["settings"] if row["differs"]] == ["/config/retention.ms"]
    assert document["feeds"] == ["connector/shop-archive"] and document["is_live"]
    assert [reader["group"] for reader in document["facts"]["readers"]] == ["connect-shop-archive"]
    assert {row["address"].partition("/")[0] for row in document["related"]} == {"acl", "quota", "subject"}


def test_a_failed_connector_has_its_whole_trace(shell: Shell) -> None:
    shell.write("kplan.yaml", "version: 1\nenvironments: {local: {simulated: {fail: [connector/shop-broken]}}}\n")
    broken = "connectors:\n  shop-broken: {class: FileStreamSource, config: {topic: shop.orders}}\n"
    shell.write("shop.yaml", STACK.replace("MS", "1d").replace("connectors:\n", broken))
    shell.kplan("apply", "--yes", "--on-failure", "stop", expect=8)
    out = shell.kplan("describe", "connector/shop-broken").out
    assert "FAILED on simulated:8083" in out and "org.apache.kafka.connect.errors.ConnectException" in out


def test_a_user_has_its_bindings_and_quotas(shell: Shell) -> None:
    out = shell.kplan("describe", "user/orders").out
    assert "acl/User:orders/allow/Write/topic-prefix/shop." in out and "quota/user=orders" in out
    assert "User:other" not in out


def test_without_stacks_what_is_live_and_recorded_is_shown(shell: Shell) -> None:
    (shell.folder / "shop.yaml").unlink()
    out = shell.kplan("describe", "topic/shop.orders").out
    assert "owned by stack shop, which does not declare it here" in out and "not declared" in out


def test_what_nobody_knows_is_an_error_with_the_nearest_names(shell: Shell) -> None:
    assert "did you mean topic/shop.orders?" in shell.kplan("describe", "topic/shop.order", expect=4).err
    assert "kplan describe topic/shop.orders" in shell.kplan("show", "topic/shop.orders", expect=4).err


def test_list_names_the_cluster_and_what_begins_so(shell: Shell) -> None:
    listed = shell.kplan("list", "shop.ord")
    assert "env local · SIMULATED cluster" in listed.err and "SIMULATED" not in listed.out
    assert "nothing is named shop.ord; 1 name with this beginning: kplan list 'shop.ord*'" in listed.err
    assert "beginning" not in shell.kplan("list", "shop.orders").err
