"""Read dotenv files: `NAME=VALUE` lines with comments, quotes and `export`."""

from __future__ import annotations

import re

from kplan.patterns import late_pattern

NAME = late_pattern(r"\s*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*")
BLANK = late_pattern(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
SINGLE = late_pattern(r"'([^']*)'")
DOUBLE = late_pattern(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
PLAIN = late_pattern(r"[^\n]*")
COMMENT = late_pattern(r"(?:^|[ \t])#.*")
ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def is_dotenv(text: str) -> bool:
    """Return whether the first line that is not blank or a comment is `NAME=VALUE`."""
    lines = (line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    return bool(NAME.match(next(lines, "")))


def parse_dotenv(text: str) -> dict[str, str]:
    """Return the variables by name. The last of two lines with one name counts.

    Text in single quotes is taken literally; double quotes know `\\n`, `\\t`, `\\"` and `\\\\`. Both may span lines.
    Nothing is expanded. Raises ValueError with the number of the line, without its text.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    values: dict[str, str] = {}
    position = 0
    while position < len(text):
        if (blank := BLANK.match(text, position)) and blank.end() > position:
            position = blank.end()
            continue
        name = NAME.match(text, position)
        if name is None:
            raise ValueError(f"line {_count_line(text, position)} is not NAME=VALUE")
        values[name[1]], end = _read_value(text, name.end())
        rest = BLANK.match(text, end)
        if rest is None:
            raise ValueError(f"line {_count_line(text, end)} has text after the value, or a quote without an end")
        position = rest.end()
    return values


def _read_value(text: str, start: int) -> tuple[str, int]:
    """Return the value that begins at `start`, and where it ends."""
    if single := SINGLE.match(text, start):
        return single[1], single.end()
    if double := DOUBLE.match(text, start):
        return re.sub(r"\\(.)", lambda found: ESCAPES.get(found[1], found[1]), double[1], flags=re.DOTALL), double.end()
    if text[start : start + 1] in ("'", '"'):
        return "", start
    plain = PLAIN.match(text, start)
    assert plain is not None
    return COMMENT.sub("", plain[0]).strip(), plain.end()


def _count_line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


__all__ = ["is_dotenv", "parse_dotenv"]
