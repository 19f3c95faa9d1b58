"""Where JSON pointers lead to in a text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kplan.kinds.subject.places import find_repeated_key, locate
from tests.examples import examples

TEXT = """{
  "type": "record", "name": "Order",
  "fields": [
    {"name": "id", "type": "long"},
    {"name": "a,]}\\"{[", "type": ["null", "string"]},
    {"na\\u006de": "total", "a/b": 1, "c~d": 2, "": 3}
  ]
}
"""


@pytest.mark.parametrize(
    ("pointer", "line", "column"),
    [
        ("", 1, 1),
        ("/", 1, 1),
        ("/type", 2, 11),
        ("/name", 2, 29),
        ("/fields", 3, 13),
        ("/fields/0", 4, 5),
        ("/fields/0/type", 4, 28),
        ("/fields/1/name", 5, 14),
        ("/fields/1/type", 5, 34),
        ("/fields/1/type/1", 5, 43),
        ("/fields/2/name", 6, 19),
        ("/fields/2/a~1b", 6, 35),
        ("/fields/2/c~0d", 6, 45),
    ],
)
def test_a_pointer_leads_to_the_value(pointer: str, line: int, column: int) -> None:
    assert locate(TEXT, pointer) == (line, column)


@pytest.mark.parametrize(
    ("pointer", "line", "column"),
    [("/doc", 1, 1), ("/fields/7", 3, 13), ("/fields/x", 3, 13), ("/fields/0/type/items/3", 4, 28)],
)
def test_a_pointer_that_leads_nowhere_has_the_place_where_it_ends(pointer: str, line: int, column: int) -> None:
    assert locate(TEXT, pointer) == (line, column)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1), inner, max_size=4),
    max_leaves=20,
)


def list_pointers(node: Any, pointer: str = "") -> Iterator[tuple[str, Any]]:
    yield pointer, node
    parts = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in parts:
        yield from list_pointers(value, f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}")


@given(data=JSON, indent=st.sampled_from([None, 0, 2]), ascii_only=st.booleans())
@examples(200)
def test_every_value_is_found(data: Any, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(data, indent=indent, ensure_ascii=ascii_only)
    lines = text.split("\n")
    for pointer, value in list_pointers(data):
        line, column = locate(text, pointer)
        rest = "\n".join([lines[line - 1][column - 1 :], *lines[line:]])
        assert json.JSONDecoder().raw_decode(rest)[0] == value


@given(data=JSON)
@examples(100)
def test_a_text_without_repeated_keys_has_none(data: Any) -> None:
    assert find_repeated_key(json.dumps(data)) is None


@pytest.mark.parametrize(
    ("text", "name", "offset"),
    [
        ('{"a": 1, "a": 2}', "a", 9),
        ('{"a": {"b": "a"}, "b": [{"a": 1}, {"a": 1, "\\u0061" : 2}]}', "a", 43),
        ('[{"a": "a", "b": "a"}, {"a:,": "a", "a": 1, "b": {}, "a:,": 2}]', "a:,", 53),
    ],
)
def test_a_repeated_key_is_found(text: str, name: str, offset: int) -> None:
    assert find_repeated_key(text) == (name, offset)


@given(text=st.text(alphabet='{}[],:"\\ \na1', max_size=40), pointer=st.text(alphabet="/a10~", max_size=8))
@examples(300)
def test_any_text_has_a_place_in_it(text: str, pointer: str) -> None:
    line, column = locate(text, pointer)
    lines = text.split("\n")
    assert 1 <= line <= len(lines)
    assert 1 <= column <= len(lines[line - 1]) + 1
