"""Put into a stack what it includes from other files, and into its topics what their classes say."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, Final

from kplan.diagnostics import Diagnostic, Span, codes, error
from kplan.kinds.schemas import read_schema
from kplan.language.source import Document

INCLUDE: Final = "include"
CLASSES: Final = "classes"
CLASS: Final = "class"
OF_STACKS: Final = ("stack", INCLUDE, "removed", "moved")  # keys that only a stack itself has
_KNOWN_SCHEMAS: dict[int, tuple[Mapping[str, Any], dict[str, Any]]] = {}  # by the identity of the one they come from

Path = tuple[str | int, ...]
Places = dict[Path, Span]


def read_part_schema() -> Mapping[str, Any]:
    """Return the schema of a file that stacks include: that of a stack, without what names it and what it removes."""
    whole = read_schema("stack.v1")
    if id(whole) not in _KNOWN_SCHEMAS:
        own = {key: value for key, value in whole["properties"].items() if key not in OF_STACKS}
        _KNOWN_SCHEMAS[id(whole)] = (whole, {**whole, "properties": own, "required": ["version"]})
    return _KNOWN_SCHEMAS[id(whole)][1]


def merge_included(stack: Document, parts: Sequence[Document]) -> Document:
    """Return the stack with what it includes: maps are merged key by key, and of all else the later file wins, the
    stack last. Each value keeps its place."""
    data: Any = {}
    for document in (*parts, stack):
        data = _merge(data, document.data)
    latest_first = (stack, *reversed(parts))
    spans: Any = ChainMap(*(document.spans for document in latest_first))  # type: ignore[arg-type]
    key_spans: Any = ChainMap(*(document.key_spans for document in latest_first))  # type: ignore[arg-type]
    return replace(stack, data={key: value for key, value in data.items() if key != INCLUDE}, spans=spans,
                   key_spans=key_spans)  # fmt: skip


def _merge(under: Any, over: Any) -> Any:
    """Return both together; a block without anything (`orders:`) leaves the other as it is."""
    if isinstance(under, dict) and isinstance(over, dict):
        return {**under, **{key: _merge(under.get(key), value) for key, value in over.items()}}
    return under if over is None and isinstance(under, dict) else over


def apply_classes(stack: Document) -> tuple[Document, list[Diagnostic]]:
    """Return the stack with the settings of each topic's class beneath the topic's own, and classes that are not there.

    What comes from a class has the place that it has there.
    """
    data = stack.data
    if CLASSES not in data and not any(True for _ in _list_users(data)):
        return stack, []
    classes = {name: block or {} for name, block in (data.get(CLASSES) or {}).items()}
    problems: list[Diagnostic] = []
    spans: Places = {}
    key_spans: Places = {}
    made = {key: value for key, value in data.items() if key != CLASSES}
    for path, block in list(_list_users(data)):
        name = block[CLASS]
        if name not in classes:
            close = get_close_matches(str(name), classes, 1)
            help = f"did you mean `{close[0]}`?" if close else f"`classes:` has {', '.join(classes) or 'none'}"
            problems.append(
                error(codes.K117, "there is no such class", str(name), span=stack.at(*path, CLASS), help=help)
            )
        own = {key: value for key, value in block.items() if key != CLASS}
        _replace_at(made, path, _merge(classes.get(name, {}), own))
        for below in _list_paths(classes.get(name, {})):
            source = (CLASSES, name, *below)
            if (*path, *below) not in stack.spans and source in stack.spans:
                spans[(*path, *below)] = stack.spans[source]
                if source in stack.key_spans:
                    key_spans[(*path, *below)] = stack.key_spans[source]
    if not spans:
        return replace(stack, data=made), problems
    all_spans: Any = ChainMap(spans, stack.spans)  # type: ignore[arg-type]
    all_key_spans: Any = ChainMap(key_spans, stack.key_spans)  # type: ignore[arg-type]
    return replace(stack, data=made, spans=all_spans, key_spans=all_key_spans), problems


def _list_users(data: Mapping[str, Any]) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield the path and the block of each topic and table that names a class."""
    sections: list[tuple[Path, Any]] = [(("topics",), data.get("topics"))]
    for name, block in (data.get("connectors") or {}).items():
        if isinstance(block, dict):
            sections += [(("connectors", name, key), block.get(key)) for key in ("tables", "topics")]
    for path, section in sections:
        for name, block in section.items() if isinstance(section, dict) else ():
            if isinstance(block, dict) and CLASS in block:
                yield (*path, name), block


def _list_paths(block: Mapping[str, Any], above: Path = ()) -> Iterator[Path]:
    for key, value in block.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from _list_paths(value, (*above, key))


def _replace_at(data: dict[str, Any], path: Path, value: Any) -> None:
    """Set the value at a path; the maps above it are copied, for others may share them."""
    inner: Any = data
    for step in path[:-1]:
        inner[step] = dict(inner[step])
        inner = inner[step]
    inner[path[-1]] = value
