"""Topics that one `for_each` of Terraform's makes become one block where that says the same."""

from __future__ import annotations

import pytest

from kplan.importers.connector_block import BlockExpander
from kplan.importers.files import parse
from kplan.importers.loops import fold_loops
from kplan.importers.stack import compose_stack
from kplan.project.environment import Environment

EXPANDER = BlockExpander.create(Environment("local", "."), lambda name: (None, ()), ())


def text_of(items: str, name: str, settings: str = "partitions = 1") -> str:
    hcl = f'resource "kafka_topic" "t" {{\n for_each = {items}\n name = "{name}"\n {settings}\n}}\n'
    imported = parse("main.tf", hcl.encode())
    return compose_stack(imported, dict(imported.topics), "shop", EXPANDER, live=False).text


@pytest.mark.parametrize(
    ("items", "name", "expected"),
    [
        ('toset(["a", "b"])', "shop.${each.key}", '"shop.{{ each.key }}": {for_each: [a, b]'),
        ('toset(["a", "b"])', "shop.${each.key}.v1", '"shop.{{ each.key }}.v1": {for_each: [a, b]'),
        ('{one = "a", two = "b"}', "shop.${each.value}", '"shop.{{ each.key }}": {for_each: [a, b]'),
        ('{a = "one", b = "two"}', "shop.${each.key}", '"shop.{{ each.key }}": {for_each: [a, b]'),
        ('toset(["a", "b"])', "${upper(each.key)}", "A:"),
        ('toset(["a", "b"])', "shop${each.key}", "shopa:"),
        ('toset(["a"])', "shop.${each.key}", "shop.a:"),
    ],
)
def test_a_loop_is_kept_where_the_key_is_a_part_of_the_name(items: str, name: str, expected: str) -> None:
    assert expected in text_of(items, name)


def test_what_differs_is_the_value_of_each() -> None:
    settings = "partitions = each.value\n replication_factor = 3"
    names = {f"t{n}": n for n in range(2, 8)}
    items = "{" + ", ".join(f"{key} = {number}" for key, number in names.items()) + "}"
    text = text_of(items, "shop.${each.key}", settings)
    assert "for_each: {t2: 2, t3: 3, t4: 4, t5: 5, t6: 6, t7: 7}" in text
    assert 'partitions: "{{ each.value }}"' in text


def test_data_without_topics_stays() -> None:
    assert fold_loops({"stack": "a"}, [{"a": "shop.a", "b": "shop.b"}], EXPANDER) == {"stack": "a"}
