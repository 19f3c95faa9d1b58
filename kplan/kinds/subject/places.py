"""Where a JSON pointer leads to in a text: the lines and columns of errors in schemas."""

from __future__ import annotations

import json
import re
from typing import Final

_SPACE: Final = re.compile(r"\s*")
_LEAF: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[^\s,:\[\]{}"]+', re.DOTALL)
_TOKEN: Final = re.compile(rf"{_LEAF.pattern}|[,:\[\]{{}}]", re.DOTALL)


def locate(text: str, pointer: str) -> tuple[int, int]:
    """Return the line and the column, both from 1, where a JSON pointer leads to; of its start as far as it leads."""
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    offset = _skip(text, 0)
    for part in parts:
        if not part:
            continue
        found = _enter(text, offset, part)
        if found is None:
            break
        offset = found
    return find_line(text, offset)


def find_line(text: str, offset: int) -> tuple[int, int]:
    """Return the line and the column, both from 1, of an offset."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def find_repeated_key(text: str) -> tuple[str, int] | None:
    """Return the first key that one object has twice, and the offset of its second place. The text is JSON."""
    scopes: list[set[str] | None] = []
    is_key = False
    for token in _TOKEN.finditer(text):
        word = token[0]
        if word in "{[":
            scopes.append(set() if word == "{" else None)
        elif word in "}]":
            scopes.pop()
        elif is_key and scopes and (names := scopes[-1]) is not None and word not in ",:":
            name = str(json.loads(word))
            if name in names:
                return name, token.start()
            names.add(name)
        is_key = word in "{,"
    return None


def _skip(text: str, offset: int) -> int:
    match = _SPACE.match(text, offset)
    return match.end() if match else offset


def _enter(text: str, offset: int, part: str) -> int | None:
    """Return where the member or item `part` of what begins at `offset` is; of a named member, where its value is."""
    opening = text[offset : offset + 1]
    if opening not in ("{", "["):
        return None
    place, number = _skip(text, offset + 1), 0
    while place < len(text) and text[place] not in "}]":
        name = str(number)
        if opening == "{":
            key = _LEAF.match(text, place)
            if key is None:
                return None
            try:
                name = str(json.loads(key[0]))
            except ValueError:
                return None
            place = _skip(text, _skip(text, key.end()) + 1)
        if name == part:
            return place
        place = _skip(text, _pass(text, place))
        if text[place : place + 1] == ",":
            place = _skip(text, place + 1)
        number += 1
    return None


def _pass(text: str, offset: int) -> int:
    """Return the offset behind the value that begins at `offset`."""
    depth = 0
    while offset < len(text):
        character = text[offset]
        if character == '"' or character not in "{}[],: \t\r\n":
            leaf = _LEAF.match(text, offset)
            offset = leaf.end() if leaf else offset + 1
            if depth == 0:
                return offset
            continue
        depth += character in "{["
        depth -= character in "}]"
        offset += 1
        if depth <= 0 and character in "}]":
            return offset
        if depth == 0 and character in ",:":
            return offset - 1
    return offset
