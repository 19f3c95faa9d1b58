"""The JSON view, which is written without json's own writer: it must not differ from that in one character."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kplan.language.schema import check, read_schema
from kplan.language.source import load
from kplan.render.text import Context
from kplan.render.views import render

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.lists(inner).map(tuple),
)


@pytest.mark.slow
@given(st.dictionaries(st.text(), VALUES))
def test_the_json_view_is_what_json_itself_writes(document: dict[str, Any]) -> None:
    expected = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert render("json", [document], Context()) == expected


def test_the_first_unknown_keys_get_a_suggestion_and_very_many_get_the_known_keys() -> None:
    text = "version: 1\nstack: x\n" + "".join(f"topic{number:04}: 1\n" for number in range(1_000))
    document, _ = load(text, "stack.yaml")
    assert document is not None
    helps = [problem.help for problem in check(document, read_schema("stack.v1"))]
    assert len(helps) == 1_000
    assert helps[0] == "did you mean `topics`?"
    assert helps[-1].startswith("known keys: version, stack, ")
