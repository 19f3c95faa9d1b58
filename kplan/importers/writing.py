"""A stack's data as YAML text in canonical form; what reads as something else is quoted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from textwrap import wrap
from typing import Any, Final

from kplan.kinds.topic import configs as catalog
from kplan.language import fmt
from kplan.language.source import read_plain
from kplan.language.template import OPENING

WIDTH: Final = 100
MOST_IN_LINE: Final = 5  # leaves of a map that stands in one line
PLAIN: Final = re.compile(r"[A-Za-z0-9_./\\$(^<=+][A-Za-z0-9_./\\$()^<>=+;*|@~-]*(?: [A-Za-z0-9_./\\$()^<>=+;*|@~-]+)*")
NUMBER: Final = re.compile(r"-?[1-9]\d{0,17}|0")
ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
READABLE: Final = re.compile(
    "[\x20-\x7e\xa0-\u200d\u2010-\u2027\u202f-\u2065\u206a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


def text(data: Mapping[str, Any], comments: Iterable[str] = ()) -> str:
    """The stack as a file that `kplan fmt` leaves as it is; the comments stand at its top."""
    head = [f"# {printable(line)}".rstrip() for line in comments]
    return fmt.format("\n".join([*head, *([""] if head else []), draft(data)]), "stack")


def wrap_comment(line: str) -> list[str]:
    """Return the comment in lines of WIDTH characters; a longer word, such as a path, stays whole."""
    return wrap(line, WIDTH - len("# "), break_long_words=False, break_on_hyphens=False) or [""]


def draft(data: Mapping[str, Any]) -> str:
    """The same text, as far as kplan reads it, before it is put into canonical form."""
    return "\n".join(_block(data, 0, ())) + "\n"


def printable(line: str) -> str:
    """One line without characters that may not stand in a file."""
    return "".join(c if READABLE.match(c) else "?" for c in " ".join(line.split("\n")))


def verbatim(value: str) -> str:
    """A text as a template that gives it back: what would open a template is written as a text in one."""
    return re.sub("|".join(map(re.escape, OPENING)), lambda mark: f"{{{{ '{mark[0]}' }}}}", value)


def setting(value: str) -> Any:
    """A connector's setting: a number or a boolean where Connect makes the same text of it."""
    if value in ("true", "false"):
        return value == "true"
    return int(value) if NUMBER.fullmatch(value) else verbatim(value)


def topic_setting(key: str, value: str) -> Any:
    """A topic's config: with a unit where there is one, as a list where it is one."""
    known = catalog.CONFIGS.get(key)
    if known is not None and known.type == "list" and "," in value:
        return [part.strip() for part in value.split(",")]
    human = catalog.human(key, value)
    return human if human and catalog.parse(key, human) == value else setting(value)


# -- lines ------------------------------------------------------------------------------------------------------------
def _block(data: Mapping[str, Any], indent: int, path: tuple[str, ...]) -> Iterable[str]:
    for key, value in data.items():
        head = f"{' ' * indent}{scalar(key)}:"
        if isinstance(value, Mapping) and value and not _in_line(head, value, (*path, key)):
            yield head
            yield from _block(value, indent + fmt.INDENT, (*path, key))
        elif isinstance(value, list) and len(f"{head} {_flow(value)}") > WIDTH:
            yield head
            yield from (f"{' ' * (indent + fmt.INDENT)}- {_flow(each)}" for each in value)
        else:
            yield f"{head} {_flow(value)}".rstrip() if value != {} else head


def _in_line(head: str, value: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    """Whether a map stands behind its key: sections and connectors never do."""
    if len(path) < 2 or (path[0] == "connectors" and (len(path) == 2 or path[-1] in ("tables", "topics"))):
        return False
    return _leaves(value) <= MOST_IN_LINE and len(f"{head} {_flow(value)}") <= WIDTH


def _leaves(value: Any) -> int:
    return sum(_leaves(child) for child in value.values()) if isinstance(value, Mapping) else 1


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(key)}: {_flow(child)}" for key, child in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]"
    return scalar(value)


def scalar(value: object) -> str:
    """A scalar that is read as the same value again, in a block and between brackets."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else _text(str(value))


@lru_cache(maxsize=10_000)
def _text(value: str) -> str:
    if PLAIN.fullmatch(value) and "://" not in value:
        reading = read_plain(value)
        if reading.value == value and not reading.complaint:
            return value
    return '"' + "".join(map(_character, value)) + '"'


def _character(each: str) -> str:
    if each in ESCAPES:
        return ESCAPES[each]
    if READABLE.match(each):
        return each
    return f"\\u{ord(each):04x}" if ord(each) < 0x10000 else f"\\U{ord(each):08x}"
