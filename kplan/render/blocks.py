"""Fold alike steps of resources that one block of a stack declares, for views that show each of them on request."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from kplan.kinds.nouns import name_several
from kplan.render.folding import Fold, fold_steps
from kplan.render.steps import find_common_beginning, summarize_step

MIN_BLOCK_SIZE: Final = 10  # of alike resources that one block declares with `for_each`

Json = Mapping[str, Any]


def fold_blocks(changes: Sequence[Json], alone: Collection[str] = ()) -> Iterator[Fold | Json]:
    """Yield the steps as `fold_steps` does; alike steps of one block in a row are folded as well."""

    def find_place(item: Fold | Json) -> object:  # steps of one block have one, so nothing else of most is compared
        source = None if isinstance(item, Fold) or item["address"] in alone else item.get("source")
        return (source["path"], source["line"]) if source and source.get("line") else id(item)

    for _, row in groupby(fold_steps(changes, alone), find_place):
        items = list(row)
        if len(items) < MIN_BLOCK_SIZE:
            yield from items
        else:
            yield from _fold_alike(items)


def _fold_alike(items: Sequence[Fold | Json]) -> Iterator[Fold | Json]:
    """Yield the steps of one place; those in a row that are alike are folded."""

    def find_key(item: Fold | Json) -> object:
        key = None if isinstance(item, Fold) else _make_key(item)
        return id(item) if key is None else key

    for _, group in groupby(items, find_key):
        alike = list(group)
        steps = [item for item in alike if not isinstance(item, Fold)]
        if len(steps) < MIN_BLOCK_SIZE:
            yield from alike
        else:
            yield _fold_block(steps)


def _fold_block(steps: Sequence[Json]) -> Fold:
    summary = summarize_step(steps[0])
    first, last = min(step["address"] for step in steps), max(step["address"] for step in steps)
    parts = [f"{summary} each"] if summary else []
    return Fold(steps, f"{find_common_beginning(first, last)}*", name_several(steps[0]["kind"]), parts, is_alike=True)


def _make_key(change: Json) -> Sequence[Any] | None:
    """Return what steps of one row have in common; None for a step that needs to be seen by itself."""
    if any(risk["level"] != "note" for risk in change["risks"]) or change.get("effects"):
        return None
    resource = change["after"] or change["before"] or {}
    content = {name: value for name, value in resource.items() if name not in ("name", "note")}
    keys = ("kind", "wave", "actions", "reason", "diff", "undo", "unchanged", "unmanaged", "adopts", "risks")
    return [content, *map(change.get, keys)]
