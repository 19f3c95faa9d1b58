"""Write the topics that one `for_each` of Terraform's makes as one block with `for_each`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from kplan.importers.connector_block import BlockExpander
from kplan.importers.parts import Data, KeyPath, flatten_block, set_at
from kplan.importers.writing import count_lines, escape_template

KEY: Final = "{{ each.key }}"
PLAIN_KEY: Final = re.compile(r"[\w.-]+\Z")
SEPARATORS: Final = ("", ".", "_", "-")
FEWEST: Final = 2  # topics that are worth a loop


def fold_loops(data: Data, loops: Iterable[Mapping[str, str]], expander: BlockExpander) -> dict[str, Any]:
    """Return the data with one block for each loop, where it then declares the same in no more lines.

    `loops` are names of topics by the key, or the value, of each instance.
    """
    folded = dict(data)
    for loop in loops:
        topics = folded.get("topics") or {}
        names = {key: name for key, name in loop.items() if name in topics}
        block = _fold_topics(topics, names) if len(names) >= FEWEST else None
        if block is None:
            continue
        name, settings = block
        rest = {topic: own for topic, own in folded["topics"].items() if topic not in names.values()}
        candidate = {**folded, "topics": dict(sorted({**rest, name: settings}.items()))}
        if count_lines(candidate) <= count_lines(folded) and expander.declares_same(candidate, folded):
            folded = candidate
    return folded


def _fold_topics(topics: Mapping[str, Any], names: Mapping[str, str]) -> tuple[str, dict[str, Any]] | None:
    """Return the name and the block of the loop; None where the topics have too little in common."""
    frame = _find_frame(names)
    if frame is None:
        return None
    rows = {key: flatten_block(topics[name] or {}) for key, name in names.items()}
    paths = dict.fromkeys(path for row in rows.values() for path in row)
    same = [path for path in paths if len({repr(row.get(path, ...)) for row in rows.values()}) == 1]
    different = [path for path in paths if path not in same]
    if any(path not in row or row[path] is None for path in different for row in rows.values()):
        return None
    words = {path: path[-1].replace(".", "_") for path in different}  # `retention_ms` for `retention.ms`
    if not all(word.isidentifier() for word in words.values()):
        return None
    first = next(iter(rows.values()))
    block: dict[str, Any] = {"for_each": _write_items(rows, words)}
    for path in paths:
        reference = "each.value" if len(words) == 1 else f"each.value.{words.get(path)}"
        set_at(block, path, first[path] if path in same else f"{{{{ {reference} }}}}")
    return f"{escape_template(frame[0])}{KEY}{escape_template(frame[1])}", block


def _write_items(rows: Mapping[str, Mapping[KeyPath, Any]], words: Mapping[KeyPath, str]) -> Any:
    """Return what the loop is over: keys alone, or with what is different."""
    if not words:
        return list(rows)
    if len(words) == 1:
        return {key: row[path] for key, row in rows.items() for path in words}
    return {key: {word: row[path] for path, word in words.items()} for key, row in rows.items()}


def _find_frame(names: Mapping[str, str]) -> tuple[str, str] | None:
    """Return what is before and after the key in all names."""
    if not all(PLAIN_KEY.match(key) for key in names):
        return None
    key, name = next(iter(names.items()))
    for start in (i for i in range(len(name)) if name.startswith(key, i)):
        before, after = name[:start], name[start + len(key) :]
        is_part = before[-1:] in SEPARATORS and after[:1] in SEPARATORS
        if is_part and all(other == f"{before}{own}{after}" for own, other in names.items()):
            return before, after
    return None
