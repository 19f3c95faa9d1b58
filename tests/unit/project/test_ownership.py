"""Teams and labels of stacks, topics and connectors, and what they select."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.shell import Shell

STACK = """\
version: 1
stack: shop
team: web
labels: {tier: gold, cost: "17"}
topics:
  shop.orders: {description: "Orders, one record for each change.", labels: {tier: silver}}
  shop.prices: {team: pricing}
  shop.users:
connectors:
  shop-cdc:
    template: debezium-postgres
    team: cdc
    labels: {source: erp}
    topic_prefix: erp
    database: {hostname: db, name: erp, user: cdc, password: "{{ var.password }}"}
    tables: [public.items]
variables: {password: {sensitive: true, default: a-secret-of-tests}}
"""


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    made = Shell(tmp_path)
    made.write("kplan.yaml", "version: 1\nenvironments: {local: {simulated: {}}}\n")
    made.write("shop.yaml", STACK)
    return made


def select(shell: Shell, *selectors: str) -> set[str]:
    flags = [word for each in selectors for word in ("--selector", each)]
    document = shell.kplan("plan", "shop.yaml", *flags, "--format", "json").json
    return {change["address"] for change in document["changes"]}


def test_a_resource_has_the_labels_of_its_stack_and_its_own_over_them(shell: Shell) -> None:
    document = shell.kplan("plan", "shop.yaml", "--format", "json").json
    rules = {change["address"]: change["after"]["rules"] for change in document["changes"]}
    assert rules["topic/shop.users"] == {"team": "web", "labels": {"cost": "17", "tier": "gold"}}
    assert rules["topic/shop.prices"]["team"] == "pricing"
    assert rules["topic/shop.orders"]["labels"] == {"cost": "17", "tier": "silver"}
    assert rules["topic/shop.orders"]["description"].startswith("Orders")
    assert rules["topic/erp.public.items"] == {
        "team": "cdc", "labels": {"cost": "17", "source": "erp", "tier": "gold"}}  # fmt: skip


def test_a_selector_takes_what_has_all_its_labels_and_what_that_needs(shell: Shell) -> None:
    assert select(shell, "team=pricing") == {"topic/shop.prices"}
    assert select(shell, "tier=gold,team=web") == {"topic/shop.users"}
    assert select(shell, "tier=gold", "team=web") == {"topic/shop.users"}
    assert "topic/erp.public.items" in select(shell, "team=cdc") > {"connector/shop-cdc"}
    assert shell.kplan("plan", "shop.yaml", "--selector", "team=pricing").out.count("Partial:") == 1


def test_a_selector_that_fits_nothing_is_an_error_with_the_teams(shell: Shell) -> None:
    ended = shell.kplan("plan", "shop.yaml", "--selector", "team=nobody", expect=4)
    assert "K237" in ended.all and "teams here: cdc, pricing, web" in ended.all
    assert "KEY=VALUE" in shell.kplan("plan", "shop.yaml", "--selector", "cdc", expect=64).err


def test_labels_alone_are_no_change_and_are_kept_with_what_is_applied(shell: Shell) -> None:
    shell.kplan("apply", "shop.yaml", "--yes")
    shell.write("shop.yaml", STACK.replace("team: web", "team: shop"))
    assert "No changes" in shell.kplan("plan", "shop.yaml").out
    assert (
        "warning[K237]: nothing selected is changed" in shell.kplan("plan", "shop.yaml", "--selector", "team=shop").all
    )
    shell.write("shop.yaml", STACK.replace("  shop.users:\n", "") + "removed: [{topic: shop.users}]\n")
    assert select_deleted(shell) == {"topic/shop.users"}, "by the labels that it was applied with"


def select_deleted(shell: Shell) -> set[str]:
    flags = ("--selector", "team=web", "--format", "json")
    document = shell.kplan("plan", "shop.yaml", *flags, expect=None).json
    return {change["address"] for change in document["changes"]}


def test_describe_shows_them(shell: Shell) -> None:
    out = shell.kplan("describe", "topic/shop.orders").out
    assert "  Orders, one record for each change." in out and "team web, cost=17, tier=silver" in out


@pytest.mark.parametrize("wrong", ["team: 17", "team: ''", "labels: [a]", "labels: {a: [b]}", "labels: {'': b}"])
def test_what_is_no_label_is_an_error_at_its_place(wrong: str, shell: Shell) -> None:
    shell.write("shop.yaml", f"version: 1\nstack: shop\n{wrong}\ntopics: {{shop.a: }}\n")
    assert "K106" in (ended := shell.kplan("validate", "shop.yaml", expect=4)).all and "shop.yaml:3" in ended.all
