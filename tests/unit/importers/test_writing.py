"""Texts of a stack as YAML: of several lines, and with quotation marks."""

from __future__ import annotations

import pytest
import yaml

from kplan.importers.writing import write_draft, write_stack


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ('{\n  "type": "string"\n}', "text: |-\n      {"),
        ('{\n  "type": "string"\n}\n', "text: |\n      {"),
        ('{"type": "string"}', 'text: \'{"type": "string"}\''),
        ("a\n\nb\nc", "text: |-\n      a\n\n      b"),
        (" a\nb\nc", 'text: " a\\nb\\nc"'),
        ("a \nb\nc", 'text: "a \\nb\\nc"'),
        ("a\nb\n\n", 'text: "a\\nb\\n\\n"'),
        ("a\tb\nc\nd", 'text: "a\\tb\\nc\\nd"'),
        ('"it\'s"', 'text: "\\"it\'s\\""'),
    ],
)
def test_a_text_is_read_as_it_was(text: str, written: str) -> None:
    data = {"version": 1, "stack": "a", "schemas": {"s": {"text": text, "type": "avro"}}}
    for draft in (write_draft(data), write_stack(data)):
        assert written in draft and yaml.safe_load(draft) == data
