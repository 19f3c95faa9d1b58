"""Terraform's expressions over values that are known; what is not known stays so."""

from __future__ import annotations

from typing import Any

import pytest

from kplan.importers.terraform_expressions import InvalidValue, UnknownValue, evaluate

VALUES: dict[str, Any] = {
    "local.day": 86_400_000,
    "local.names": ["x", "y", "z"],
    "local.topics": {"b": {"partitions": 3}, "a": {"partitions": 1, "config": {"k": "v"}}},
    "var.prefix": "shop",
    "var.on": True,
}


def find(kind: str, name: str) -> Any:
    if f"{kind}.{name}" not in VALUES:
        raise UnknownValue(f"{kind}.{name}")
    return VALUES[f"{kind}.{name}"]


def compute(text: str, **bound: Any) -> Any:
    return evaluate(text, find, bound, lambda number: None)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("${local.day}", 86_400_000),
        ("${var.prefix}.orders", "shop.orders"),
        ("$${not.an.expression}", "${not.an.expression}"),
        ("a\\nb \\\"c\\\"", 'a\nb "c"'),
        ("${7 * local.day}", 604_800_000),
        ("${1 + 2 * 3 - 4 / 2}", 5),
        ("${(1 + 2) * 3 % 4}", 1),
        ("${-1}", -1),
        ("${!var.on}", False),
        ("${var.on && 1 < 2 || false}", True),
        ("${var.on ? 1 : unknown.thing}", 1),
        ('${var.prefix == "shop"}', True),
        ("${local.names[1]}", "y"),
        ("${local.names.2}", "z"),
        ("${local.topics.a.config.k}", "v"),
        ('${local.topics["b"].partitions}', 3),
        ("${local.names[*]}", ["x", "y", "z"]),
        ("${values(local.topics)[*].partitions}", [1, 3]),
        ('${[for n in local.names : upper(n) if n != "y"]}', ["X", "Z"]),
        ('${[for i, n in local.names : "${i}${n}"]}', ["0x", "1y", "2z"]),
        ('${{for k, v in local.topics : "${var.prefix}.${k}" => v.partitions}}', {"shop.b": 3, "shop.a": 1}),
        ('${{"a.b" = 1, c = 2, (var.prefix) = 3}}', {"a.b": 1, "c": 2, "shop": 3}),
        ('${join(",", concat(local.names, ["w"]))}', "x,y,z,w"),
        ('${merge({"a" = 1}, {"a" = 2, "b" = 3})}', {"a": 2, "b": 3}),
        ('${toset(["b", "a", "b"])}', ["a", "b"]),
        ("${tostring(7 * local.day)}", "604800000"),
        ('${tonumber("12")}', 12),
        ('${format("%s-%02d %5.1f%% %q %t", var.prefix, 7, 2.25, "a", true)}', 'shop-07   2.2% "a" true'),
        ('${formatlist("%s.%s", var.prefix, local.names)}', ["shop.x", "shop.y", "shop.z"]),
        ('${setproduct(["a"], local.names)}', [["a", "x"], ["a", "y"], ["a", "z"]]),
        ('${setsubtract(local.names, ["y"])}', ["x", "z"]),
        ("${floor(7 / 2) + ceil(7 / 2)}", 7),
        ('${jsonencode({"b" = [1, "<"], "a" = null})}', '{"a":null,"b":[1,"\\u003c"]}'),
        ('${substr("orders", 1, 3)}', "rde"),
        ('${one(["x"])}', "x"),
        ("${slice(local.names, 1, 3)}", ["y", "z"]),
        ('${lookup({"a" = 1}, "b", 9)}', 9),
        ('${try(local.topics.b.config, {"k" = "default"})}', {"k": "default"}),
        ('${can(local.topics.b.config)}', False),
        ('${coalesce("", "b")}', "b"),
        ('${format("%s.%d%%", "a", 3)}', "a.3%"),
        ('${replace("a-b", "-", ".")}', "a.b"),
        ('${max([1, 5, 3]...)}', 5),
        ("${flatten([[1, [2]], [3]])}", [1, 2, 3]),
        ("${length(local.names)}", 3),
        ('${keys(local.topics)}', ["a", "b"]),
    ],
)  # fmt: skip
def test_a_value(text: str, value: Any) -> None:
    found = compute(text)
    assert found == value and type(found) is type(value)


def test_what_is_bound_is_known() -> None:
    bound = {"each": {"key": "orders", "value": {"partitions": 6}}, "count": {"index": 2}}
    assert compute("${each.key}-${count.index}", **bound) == "orders-2"
    assert compute("${each.value.partitions}", **bound) == 6


@pytest.mark.parametrize(
    "text",
    [
        "${var.unknown}",
        "${data.a.b}",
        "${kafka_topic.x.name}",
        "${file(\"x\")}",
        "${timestamp()}",
        "%{ if true }a%{ endif }",
        "${[for x in data.a.b : x]}",
        "${1 +}",
        "${(1}",
        "${}",
        '${"a}',
        "${replace(\"a\", \"/a/\", \"b\")}",
    ],
)  # fmt: skip
def test_what_is_not_known_or_not_understood(text: str) -> None:
    with pytest.raises(UnknownValue):
        compute(text)


@pytest.mark.parametrize(
    "text",
    ["${local.names[9]}", "${local.topics.zzz}", "${1 / 0}", '${"a" + 1}', '${tonumber("x")}', "a${local.names}"],
)
def test_what_terraform_refuses_too(text: str) -> None:
    with pytest.raises(InvalidValue):
        compute(text)


@pytest.mark.parametrize(
    "text", ["${" + "(" * 5000, "${" + "-" * 5000 + "1}", "${" + "[" * 5000, "${!!!!1}", "${range(99999999999)}"]
)
def test_hostile_text_ends_soon(text: str) -> None:
    try:
        found = compute(text)
    except UnknownValue:
        return
    assert len(found) <= 1024


# -- values that only Terraform knows, inside maps and lists
def test_the_rest_of_a_map_with_an_unknown_value_is_known() -> None:
    merged = compute('${merge({a = var.nowhere, b = file("x")}, {c = var.prefix})}')
    assert merged["c"] == "shop"
    assert [merged[key].reference for key in "ab"] == ["var.nowhere", "file(…)"]
    assert compute("${length([var.nowhere, 1])}") == 2
    assert compute('${{a = var.nowhere, b = "x"}.b}') == "x"


@pytest.mark.parametrize(
    "text",
    [
        "${{a = var.nowhere}.a}",
        "${[var.nowhere][0] == 1}",
        '${contains([var.nowhere], "a")}',
        '${join(",", ["a", var.nowhere])}',
        "${distinct([var.nowhere])}",
        "${[for x in [var.nowhere] : upper(x)][0]}",
        "${[{a = data.x.y}][0].a ? 1 : 2}",
        '${lookup({a = var.nowhere}, "a", 1)}',
        "x${element([var.nowhere], 0)}",
        '${try(sort(["a", var.nowhere]), ["b"])}',
    ],
)
def test_nothing_is_computed_with_an_unknown_value(text: str) -> None:
    with pytest.raises(UnknownValue) as raised:
        compute(text)
    assert not isinstance(raised.value, InvalidValue)
    assert str(raised.value) in ("var.nowhere", "data.x")
