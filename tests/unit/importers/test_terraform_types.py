"""A value as a variable of a type has it."""

from __future__ import annotations

from typing import Any

import pytest

from kplan.importers.terraform_expressions import Opaque
from kplan.importers.terraform_types import complete_value

TOPICS = "${map(object({ partitions = number, days = optional(number, 7), config = optional(map(string), {}) }))}"


def complete(value: Any, type_text: str) -> Any:
    return complete_value(value, type_text, lambda number: None)


def test_an_optional_attribute_has_its_default() -> None:
    value = {"a": {"partitions": 3}, "b": {"partitions": "6", "days": None, "config": {"x": 1}}}
    assert complete(value, TOPICS) == {
        "a": {"partitions": 3, "days": 7, "config": {}},
        "b": {"partitions": 6, "days": 7, "config": {"x": "1"}},
    }


@pytest.mark.parametrize(
    ("value", "type_text", "expected"),
    [
        (["b", "a", "b"], "${set(string)}", ["a", "b"]),
        ({"a": 1}, "${object({ b = optional(string) })}", {"b": None}),
        ("12", "${number}", 12),
        ("x", "${number}", "x"),
        (True, "${string}", "true"),
        ([1], "${tuple([number])}", [1]),
        ({"a": 1}, "${any}", {"a": 1}),
        ({"a": 1}, "${unheard_of(string)}", {"a": 1}),
        ({"a": 1}, "${object(var.x)}", {"a": 1}),
        (7, "${object({ a = string })}", 7),
    ],
)
def test_a_value_of_a_type(value: Any, type_text: str, expected: Any) -> None:
    assert complete(value, type_text) == expected


def test_an_unknown_value_stays_unknown() -> None:
    completed = complete({"a": {"partitions": Opaque("var.x"), "days": Opaque("var.y")}}, TOPICS)
    assert isinstance(completed["a"]["partitions"], Opaque) and isinstance(completed["a"]["days"], Opaque)
