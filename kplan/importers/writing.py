"""A stack's data as YAML text in canonical form; a text that YAML reads as something else is quoted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from textwrap import wrap
from typing import Any, Final

from kplan.kinds.key_order import read_key_orders
from kplan.kinds.topic import configs as catalog
from kplan.language import fmt
from kplan.language.source import read_plain
from kplan.language.template import OPENING

WIDTH: Final = 120
MAX_LEAVES_IN_LINE: Final = 8  # of a map that is written in one line
PLAIN: Final = re.compile(r"[A-Za-z0-9_./\\$(^<=+][A-Za-z0-9_./\\$()^<>=+;*|@~-]*(?: [A-Za-z0-9_./\\$()^<>=+;*|@~-]+)*")
UNITS: Final = {"GB": 10**9, "GiB": 2**30, "MB": 10**6, "MiB": 2**20, "kB": 10**3, "KiB": 2**10}
PRINCIPAL: Final = re.compile(r"User:[A-Za-z][A-Za-z0-9_.-]*")
NUMBER: Final = re.compile(r"-?[1-9]\d{0,17}|0")
ADDRESSED: Final = re.compile(r"(\w+/[^\s:]+): (.+)", re.DOTALL)  # a note about one resource
ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
READABLE: Final = re.compile(
    "[\x20-\x7e\xa0-\u200d\u2010-\u2027\u202f-\u2065\u206a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


def write_stack(data: Mapping[str, Any], comments: Iterable[str] = ()) -> str:
    """Return the stack as a file that `kplan fmt` does not change; the comments are at its top."""
    head = [f"# {printable(line)}".rstrip() for line in comments]
    return fmt.format("\n".join([*head, write_draft(data)]), "stack", read_key_orders())


def wrap_comment(line: str) -> list[str]:
    """Return the comment in lines of WIDTH characters; a longer word, such as a path, stays whole."""
    return wrap(line, WIDTH - len("# "), break_long_words=False, break_on_hyphens=False) or [""]


def write_notes(notes: Iterable[str]) -> list[str]:
    """Return the notes as lines of a comment; all that is noted about one resource is one note."""
    texts: dict[str, list[str]] = {}
    for note in notes:
        match = ADDRESSED.fullmatch(note)
        texts.setdefault(f"{match[1]}: " if match else note, []).extend([match[2]] if match else [])
    merged = (f"Note: {begin}{'; '.join(parts)}" for begin, parts in texts.items())
    return [line for note in merged for line in wrap_comment(note)]


def write_draft(data: Mapping[str, Any]) -> str:
    """Return the same text to kplan's reader, not yet in canonical form."""
    return "\n".join(_block_lines(data, 0, ())) + "\n"


def count_lines(data: Mapping[str, Any]) -> int:
    """Return the number of lines that the data takes."""
    return write_draft(data).count("\n")


def printable(line: str) -> str:
    """Return one line without characters that a file cannot have."""
    return "".join(c if READABLE.match(c) else "?" for c in " ".join(line.split("\n")))


def escape_template(value: str) -> str:
    """Return a text as a template that evaluates to it: what would open a template is written as a text in one."""
    return re.sub("|".join(map(re.escape, OPENING)), lambda mark: f"{{{{ '{mark[0]}' }}}}", value)


def to_setting(value: str) -> Any:
    """Return a connector's setting: a number or a boolean where Connect makes the same text of it."""
    if value in ("true", "false"):
        return value == "true"
    return int(value) if NUMBER.fullmatch(value) else escape_template(value)


def to_topic_setting(key: str, value: str) -> Any:
    """Return a topic's config: with a unit where there is one, as a list where it is one."""
    config = catalog.CONFIGS.get(key)
    if config is not None and config.type == "list" and "," in value:
        return [part.strip() for part in value.split(",")]
    readable = catalog.human(key, value)
    return readable if readable and catalog.parse(key, readable) == value else to_setting(value)


def to_rate(value: float) -> Any:
    """Return bytes a second: with the unit that gives the shortest text, or the number."""
    if value != int(value):
        return value
    texts = [f"{int(value) // size}{unit}/s" for unit, size in UNITS.items() if value and value % size == 0]
    return min(texts, key=len, default=int(value))


# -- lines ------------------------------------------------------------------------------------------------------------
def _block_lines(data: Mapping[str, Any], indent: int, path: tuple[str, ...]) -> Iterable[str]:
    """Yield the lines of a map, indented."""
    for key, content in data.items():
        head = f"{' ' * indent}{to_scalar(key)}:"
        value = list(content) if _holds_names_only(content, (*path, key)) else content
        if isinstance(value, str) and _is_literal(value):
            yield f"{head} {'|' if value.endswith(chr(10)) else '|-'}"
            yield from (f"{' ' * (indent + fmt.INDENT)}{line}".rstrip() for line in value.splitlines())
        elif isinstance(value, Mapping) and value and not _fits_in_line(head, value, (*path, key)):
            yield head
            yield from _block_lines(value, indent + fmt.INDENT, (*path, key))
        elif isinstance(value, list) and len(f"{head} {_to_flow(value)}") > WIDTH:
            yield head
            yield from (f"{' ' * (indent + fmt.INDENT)}- {_to_flow(each)}" for each in value)
        else:
            yield f"{head} {_to_flow(value)}".rstrip() if value != {} else head


def _holds_names_only(value: Any, path: tuple[str, ...]) -> bool:
    """Return whether these are a connector's tables without settings, which are a list of names."""
    are_tables = len(path) == 3 and path[0] == "connectors" and path[2] == "tables"
    return are_tables and isinstance(value, Mapping) and value != {} and not any(value.values())


def _is_literal(text: str) -> bool:
    """Return whether a text of several lines can be written as these lines, which YAML reads unchanged."""
    lines = text.split("\n")
    return (
        len(lines) > 2
        and lines[0] != ""
        and lines[0][0] != " "
        and lines[-2] != ""
        and all(line == line.rstrip() and all(map(READABLE.match, line)) for line in lines)
    )


def _holds_literal(value: Any) -> bool:
    """Return whether a text within a map is written in several lines."""
    if isinstance(value, Mapping):
        return any(map(_holds_literal, value.values()))
    return isinstance(value, str) and _is_literal(value)


def _fits_in_line(head: str, value: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    """Return whether a map is written behind its key: sections and connectors never are."""
    if (len(path) < 2 and path != ("variables",)) or (
        path[0] == "connectors" and (len(path) == 2 or path[-1] in ("tables", "topics"))
    ):
        return False
    return (
        not _holds_literal(value)
        and _count_leaves(value) <= MAX_LEAVES_IN_LINE
        and len(f"{head} {_to_flow(value)}") <= WIDTH
    )


def _count_leaves(value: Any) -> int:
    return sum(_count_leaves(child) for child in value.values()) if isinstance(value, Mapping) else 1


def _to_flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{to_scalar(key)}: {_to_flow(child)}" for key, child in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_to_flow, value))}]"
    return to_scalar(value)


def to_scalar(value: object) -> str:
    """Return a scalar that is read as the same value, in a block and between brackets."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else _to_quoted(str(value))


@lru_cache(maxsize=10_000)
def _to_quoted(value: str) -> str:
    """Return a text, in quotes where it needs them."""
    if PRINCIPAL.fullmatch(value):
        return value
    if PLAIN.fullmatch(value) and "://" not in value:
        reading = read_plain(value)
        if reading.value == value and not reading.complaint:
            return value
    if value.count('"') > 1 and "'" not in value and all(map(READABLE.match, value)):
        return f"'{value}'"  # such as JSON
    return '"' + "".join(map(_escape_character, value)) + '"'


def _escape_character(character: str) -> str:
    if character in ESCAPES:
        return ESCAPES[character]
    if READABLE.match(character):
        return character
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"
