"""Texts of protobuf: their words, what cannot be protobuf in them, and the fields of their messages.

Source: https://protobuf.dev/reference/protobuf/proto3-spec/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

# A text or a comment without an end goes to the end of its line or of the file: no pattern is tried twice at one place.
_TOKEN: Final = re.compile(
    r"""(//[^\n]*|/\*.*?(?:\*/|\Z))|"[^"\\\n]*(?:\\.[^"\\\n]*)*"?|'[^'\\\n]*(?:\\.[^'\\\n]*)*'?|[\w.]+|\S""", re.DOTALL
)
PAIRS: Final = {"{": "}", "[": "]", "(": ")"}
TYPES: Final = ("message", "enum", "service", "extend")
NO_FIELDS: Final = ("option", "reserved", "extensions", "")


def list_tokens(text: str) -> Iterator[tuple[str, int]]:
    """Yield the words of a text, without its comments, each with its offset."""
    return ((match[0], match.start()) for match in _TOKEN.finditer(text) if match[1] is None)


def find_problem(text: str) -> tuple[str, int] | None:
    """Return why a text cannot be protobuf, with the offset of the place; None where it can be."""
    opened: list[tuple[str, int]] = []
    before, names_type = "", False
    for word, offset in list_tokens(text):
        if word in PAIRS:
            opened.append((word, offset))
        elif word in PAIRS.values():
            if not opened or PAIRS[opened[-1][0]] != word:
                return f"a {word} without its {next(key for key, end in PAIRS.items() if end == word)}", offset
            opened.pop()
        elif word[0] in "\"'" and (len(word) < 2 or word[-1] != word[0]):
            return "a text without its end", offset
        names_type = names_type or before in ("message", "enum")
        before = word
    if opened:
        return f"a {opened[-1][0]} is not closed", opened[-1][1]
    return None if names_type else ("it has neither a message nor an enum", 0)


def list_protobuf_fields(text: str) -> Iterator[tuple[str, str]]:
    """Yield the fields of messages and the values of enums; a field's number is a part of its type: `string = 3`."""
    scope: list[str] = []
    statement: list[str] = []
    is_option = False  # of a field, between brackets
    for word, _ in list_tokens(text):
        is_option = word == "[" or (is_option and word != "]")
        if is_option:
            statement.append(word)
        elif word == "{":
            is_type = len(statement) > 1 and statement[0] in TYPES
            scope.append(statement[1] if is_type else "")
            statement = []
        elif word in ("}", ";"):
            if word == "}":
                scope = scope[:-1]
            elif scope and "=" in statement[1:] and statement[0] not in NO_FIELDS:
                yield _read_field(statement, [part for part in scope if part])
            statement = []
        else:
            statement.append(word)


def _read_field(statement: Sequence[str], scope: Sequence[str]) -> tuple[str, str]:
    place = statement.index("=", 1)
    words, value = statement[: place - 1], statement[place + 1 :]
    number = "".join(value[: value.index("[")] if "[" in value else value)
    kind = "".join(words).replace(",", ", ") if "<" in words else " ".join(words)
    return ".".join([*scope, statement[place - 1]]), f"{kind} = {number}".strip()
