"""Put into a stack what it includes from other files."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from kplan.kinds.schemas import read_schema
from kplan.language.source import Document

INCLUDE: Final = "include"
OF_STACKS: Final = ("stack", INCLUDE, "removed", "moved")  # keys that only a stack itself has
_KNOWN_SCHEMAS: dict[int, tuple[Mapping[str, Any], dict[str, Any]]] = {}  # by the identity of the one they come from


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
