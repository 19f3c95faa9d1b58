"""Bindings of one principal and direction are one row in every view; a step with a danger, a caution or an error is
alone."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest

from kplan.diagnostics import Span
from kplan.kinds.acl.binding import AclBinding, make_binding
from kplan.kinds.acl.operations import PatternType, ResourceType
from kplan.model import Action, Address, Change, Origin, Risk, Target, Undo
from kplan.planning.document import Plan, to_json
from kplan.planning.order import Step
from kplan.render.folding import Fold, find_failing, fold_steps
from kplan.render.text import Context
from kplan.render.views import render


def bind(principal: str, operation: str, name: str, line: str, number: int, permission: str = "allow") -> AclBinding:
    pattern = PatternType.PREFIXED if name.endswith("*") else PatternType.LITERAL
    binding = make_binding(principal, permission, operation, ResourceType.TOPIC, name.rstrip("*"), pattern)
    return replace(binding, origin=Origin(Span("shop.yaml", number, 3, number, 9), note=line), lines=(line,))


def create(binding: AclBinding, *risks: Risk) -> Change:
    span = binding.origin.span
    return Change(binding.address, Action.CREATE, None, binding, undo=Undo("delete", True), risks=risks, span=span)


def revoke(binding: AclBinding) -> Change:
    return Change(binding.address, Action.DELETE, binding, None, reason="undeclared", undo=Undo("recreate", True))


def document(*changes: Change) -> dict[str, Any]:
    steps = tuple(Step(number, 1, change) for number, change in enumerate(changes, 1))
    return to_json(Plan("shop", "prod", Target("c", "k:9092"), steps=steps, created_at="2026-11-21T10:15:02Z"))


ORDERS = [
    bind("User:orders", "Write", "shop.orders", "produce", 3),
    bind("User:orders", "Write", "shop.events.*", "produce", 3),
    bind("User:orders", "Read", "shop.customers", "consume", 4),
]
OTHER = [bind("User:other", "Read", "a", "consume", 9), bind("User:other", "Read", "b", "consume", 9)]
DANGER = Risk("K440", "danger", "access", "kplan could no longer read")


def rows(made: dict[str, Any]) -> list[str]:
    return [
        f"{item.numbers} {item.title}" if isinstance(item, Fold) else f"{item['step']} {item['address']}"
        for item in fold_steps(made["changes"], find_failing(made))
    ]


def test_steps_of_one_principal_are_one_row() -> None:
    made = document(*map(create, [*ORDERS, *OTHER]))
    first, second = fold_steps(made["changes"])
    assert isinstance(first, Fold) and isinstance(second, Fold)
    assert (first.numbers, first.title, first.place) == ("1\u20133", "User:orders", "shop.yaml:3\u20134")
    assert first.summary == "3 bindings: produce shop.orders, shop.events.*; consume shop.customers"
    assert (second.numbers, second.title) == ("4\u20135", "User:other")


def test_what_is_revoked_is_a_row_of_its_own() -> None:
    made = document(*map(create, ORDERS[:2]), *map(revoke, OTHER), revoke(ORDERS[2]))
    first, second, last = fold_steps(made["changes"])
    assert isinstance(first, Fold) and isinstance(second, Fold) and not isinstance(last, Fold)
    assert second.size == "2 bindings revoked"


def test_a_denial_is_no_grant() -> None:
    denials = [bind("User:orders", "All", name, "deny", 5, "deny") for name in ("x", "y")]
    made = document(*map(create, [*ORDERS, *denials]))
    assert rows(made) == ["1\u20133 User:orders", "4\u20135 User:orders"]


@pytest.mark.parametrize("level", ["danger", "caution"])
def test_a_step_with_a_risk_is_alone(level: str) -> None:
    risk = replace(DANGER, level=level)
    made = document(create(ORDERS[0]), create(ORDERS[1], risk), create(ORDERS[2]), *map(create, OTHER))
    assert rows(made) == [
        f"1 {ORDERS[0].address}", f"2 {ORDERS[1].address}", f"3 {ORDERS[2].address}", "4\u20135 User:other",
    ]  # fmt: skip


def test_a_step_with_an_error_is_alone() -> None:
    made = copy.deepcopy(document(*map(create, ORDERS)))
    made["diagnostics"] = [{"address": str(ORDERS[2].address), "severity": "error"}]
    assert rows(made) == ["1\u20132 User:orders", f"3 {ORDERS[2].address}"]


@pytest.mark.parametrize("view", ["text", "concise", "md", "html"])
def test_every_view_has_one_row_with_the_lines_that_asked(view: str) -> None:
    shown = render(view, [document(*map(create, ORDERS))], Context(("shop.yaml",)))
    assert "shop.yaml:3\u20134" in shown and "3 bindings" in shown and "User:orders" in shown
    assert shown.count("shop.events.") >= 1


@pytest.mark.parametrize("view", ["md", "html"])
def test_a_document_has_each_binding_in_full(view: str) -> None:
    shown = render(view, [document(*map(create, ORDERS))], Context(("shop.yaml",)))
    for binding in ORDERS:
        assert str(binding.address) in shown
    assert shown.count("<details") >= 1 and "User:orders may write topics that begin with shop.events." in shown


def test_json_has_single_steps() -> None:
    shown = json.loads(render("json", [document(*map(create, ORDERS))], Context(("shop.yaml",))))
    assert [change["address"] for change in shown["changes"]] == [str(binding.address) for binding in ORDERS]


def test_the_rows_of_a_page_count_their_steps() -> None:
    shown = render("html", [document(*map(create, [*ORDERS, *OTHER]))], Context(("shop.yaml",)))
    assert 'data-total="3"' in shown and 'data-total="2"' in shown and "5 steps" in shown
    assert 'id="s1-1"' in shown and 'id="s1-2"' in shown and "create 5 bindings" in shown


def test_four_hundred_bindings_are_a_page_and_fit_into_a_comment() -> None:
    bindings = [
        bind(f"User:s{n}", "Write", f"shop.topic-{k}", "produce", 2 * n + 3) for n in range(30) for k in range(14)
    ]
    made = document(*map(create, bindings))
    text = render("text", [made], Context(("shop.yaml",)))
    assert len(text.splitlines()) < 30 * 7
    comment = render("md", [made], Context(("shop.yaml",)))
    assert len(comment) < 60_000 and "Left out" not in comment
    assert all(f"`{binding.address}`" in comment or f"{binding.address}\n" in comment for binding in bindings)


def test_a_kind_without_folding_is_alone() -> None:
    made = {"step": 1, "address": "topic/a", "kind": "topic", "risks": [], "effects": [], "source": None}
    assert list(fold_steps([made, {**made, "step": 2, "address": str(Address("topic", "b"))}])) != []
    assert not any(isinstance(item, Fold) for item in fold_steps([made, {**made, "step": 2}]))
