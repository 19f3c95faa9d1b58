"""What a dotenv file says."""

from __future__ import annotations

import pytest

from kplan.language.dotenv import is_dotenv, parse_dotenv


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("export A=b", "b"),
        (" A = b c # comment", "b c"),
        ("A=b#c", "b#c"),
        ("A=", ""),
        ("A=# comment", ""),
        ("A='b # $c' # comment", "b # $c"),
        ('A="b \\"c\\"\\n\\\\"', 'b "c"\n\\'),
        ('A="b\nc"', "b\nc"),
        ("A=b=c", "b=c"),
        ("# comment\n\nA=b\r\n", "b"),
        ("A=first\nA=b", "b"),
    ],
)
def test_a_line_gives_a_value(line: str, value: str) -> None:
    assert is_dotenv(line) and parse_dotenv(line) == {"A": value}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("A=b\nno line", "line 2 is not NAME=VALUE"),
        ("A='b", "line 1 has text after the value, or a quote without an end"),
        ("A=b\nB='c' d", "line 2 has text after the value, or a quote without an end"),
        ("1A=b", "line 1 is not NAME=VALUE"),
    ],
)
def test_a_wrong_line_is_named_and_not_shown(text: str, reason: str) -> None:
    with pytest.raises(ValueError) as failure:
        parse_dotenv(text)
    assert str(failure.value) == reason


def test_no_line_is_no_variable() -> None:
    assert parse_dotenv("# nothing\n\n") == {} and not is_dotenv("a: b")
