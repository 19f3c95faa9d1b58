"""Keys that YAML reads without a value where a person wrote one: `{a:1}` and `{a: x,y}`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from kplan.diagnostics import Diagnostic, codes, error, warning
from kplan.language.source import Document, Path
from kplan.model import Secret, conceal
from kplan.patterns import late_pattern
from kplan.values import dataclass

SUMMARY = "a key without a value"
GLUED = late_pattern(r"([A-Za-z0-9_.-]+):(?!//)([^:\s].*)", re.DOTALL)  # a URL is not a key with its value

DEFAULTS_PLACE = "write `defaults:` at the top of the stack, or the settings at each table or topic"


def missing_blank(key: str, value: Any = None) -> str:
    """Return how to write `retention.ms:7d`, which YAML reads as one key, or "" for any other key."""
    found = GLUED.fullmatch(key) if value is None else None
    if found is None:
        return ""
    name, text = found.groups()
    shown = "…" if isinstance(conceal(name, text), Secret) else text
    return f"a blank is missing after the colon: {{{name}: {shown}}}"


def report_glued(document: Document, path: Path, data: Any) -> Iterator[Diagnostic]:
    """Yield an error for each key like `a:1` in the flow map at `path`, whose keys may be any text."""
    for key in data if isinstance(data, dict) else ():
        if (help := missing_blank(key, data[key])) and document.has_no_colon(*path, key):
            detail = f"{key.partition(':')[0]}: YAML reads the value as a part of the key"
            yield error(codes.K248, SUMMARY, detail, help=help, span=document.key_at(*path, key))


@dataclass(frozen=True, slots=True)
class CutList:
    """A list that YAML cuts at its first comma: `key` keeps the first item, the others became keys.

    `help` says how to write it; `shown` is False where `key` holds a secret.
    """

    key: str
    rest: tuple[str, ...]
    help: str
    shown: bool


def cut_lists(document: Document, path: Path, data: Mapping[str, Any]) -> dict[str, CutList]:
    """Return the cut lists of the flow map at `path`, by the first of the keys that were meant as items."""
    found: dict[str, CutList] = {}
    owner, items = "", list[str]()
    for key, value in [*data.items(), ("", 0)]:
        if value is None and owner and document.has_no_colon(*path, key) and not missing_blank(key):
            items.append(key)
            continue
        if items:
            found[items[0]] = _cut_list(owner, data[owner], items)
        owner, items = key if isinstance(value, str | int | float) else "", []
    return found


def _cut_list(owner: str, first: Any, rest: list[str]) -> CutList:
    text = ",".join([str(first), *rest])
    if isinstance(conceal(owner, text), Secret):
        return CutList(owner, tuple(rest), f"put the whole value of {owner} in quotes", False)
    items = ", ".join([str(first), *rest])
    return CutList(owner, tuple(rest), f'write {{{owner}: "{text}"}} or {{{owner}: [{items}]}}', True)


def problems(document: Document, path: Path, config: Mapping[str, Any], known: Collection[str]) -> Iterator[Diagnostic]:
    """Yield what is wrong with the keys without a value in a connector's `config` as it is written at `path`.

    `known` are the settings that the template or kplan sets: null leaves out such a one.
    """
    address = f"connector/{path[1]}"
    lists = cut_lists(document, path, config)
    items = {key for each in lists.values() for key in each.rest}
    for key in (key for key, value in config.items() if value is None):
        span = document.key_at(*path, key)
        if help := missing_blank(key):
            name = key.partition(":")[0]
            detail = f"{name}: YAML reads the value as a part of the key"
            yield error(codes.K248, SUMMARY, detail, help=help, span=span, address=address)
        elif cut := lists.get(key):
            detail = f"{', '.join(cut.rest)}: YAML ends {cut.key} at the comma before it"
            detail = detail if cut.shown else f"YAML ends {cut.key} at its first comma"
            span = span if cut.shown else document.key_at(*path, cut.key)
            yield error(codes.K248, SUMMARY, detail, help=cut.help, span=span, address=address)
        elif key not in known and key not in items:
            detail = f"{key}: null leaves out a setting of the template, and there is none of this name"
            help = "give it a value, or remove the line"
            yield warning(codes.K249, "a setting that has no effect", detail, help=help, span=span, address=address)
