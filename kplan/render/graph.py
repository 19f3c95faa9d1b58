"""The order of a plan's steps as a mermaid graph: what is sent together, what it needs, and what comes after what.

Known limits: GitLab draws a graph of more than 2,000 characters only when it is asked to (render_mermaid.js), GitHub
fails on labelled lines inside a closed block (mermaid#3504), and labels are read as Markdown, in which `1. x` or `- x`
is a list. So lines have no labels, and a label begins with a number and a blank, with all but plain characters coded.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kplan.render.diagnostics import visible
from kplan.render.steps import verb
from kplan.text import truncate

ROOM = 1_900
BOXES = 40
NAMED = (6, 3, 1)  # how many steps of a box are named, from the most to the least
LABEL = 60

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Box:
    """Steps of one wave that are drawn as one."""

    number: int
    steps: Sequence[Json]

    @property
    def wave(self) -> int:
        return int(self.steps[0]["wave"])

    @property
    def final(self) -> bool:
        return any(not change["undo"]["complete"] for change in self.steps)


def mermaid(document: Json) -> str:
    """The graph's source, the most detailed one that both hosts draw unasked, or else the least."""
    changes = document["changes"]
    sources = (_source(boxes, named) for boxes in _groupings(changes) for named in NAMED)
    source = ""
    for source in sources:
        if len(source) <= ROOM:
            break
    return source


def _groupings(changes: Sequence[Json]) -> Iterator[list[Box]]:
    """The steps that need, and are needed by, the same ones; then whole waves."""
    needed_by: dict[str, set[str]] = defaultdict(set)
    for change in changes:
        for need in change["depends_on"]:
            needed_by[need].add(change["address"])
    yield _boxes(
        changes,
        [(c["wave"], frozenset(c["depends_on"]), frozenset(needed_by[c["address"]]), verb(c)) for c in changes],
    )
    yield _boxes(changes, [c["wave"] for c in changes])


def _boxes(changes: Sequence[Json], keys: Sequence[Hashable]) -> list[Box]:
    groups: dict[Hashable, list[Json]] = {}
    for change, key in zip(changes, keys, strict=True):
        groups.setdefault(key, []).append(change)
    return [Box(number, steps) for number, steps in enumerate(groups.values(), 1)]


def _source(boxes: Sequence[Box], named: int) -> str:
    shown = boxes[:BOXES]
    lines = ["flowchart TD", *(_node(box, named) for box in shown), *_lines(shown)]
    if len(boxes) > BOXES:
        more = sum(len(box.steps) for box in boxes[BOXES:])
        lines += [f'  rest["{more} more steps"]', f"  b{shown[-1].number} -.-> rest"]
    if any(box.final for box in shown):
        lines.append("  classDef final stroke:#d1242f,stroke-width:3px")
    return "\n".join(lines) + "\n"


def _node(box: Box, named: int) -> str:
    said = [_said(change) for change in box.steps[:named]]
    more = len(box.steps) - named
    if more > 0:
        said.append(f"and {more} more, up to step {box.steps[-1]['step']}")
    return f'  b{box.number}["{"<br>".join(said)}"]{":::final" if box.final else ""}'


def _said(change: Json) -> str:
    return f"{change['step']} {coded(verb(change))} {coded(truncate(change['address'], LABEL))}"


def coded(text: str) -> str:
    """The text with every character that mermaid, HTML or Markdown might read as a sign coded by its number."""
    return re.sub(r"[^A-Za-z0-9 ./,-]", lambda found: f"#{ord(found[0])};", visible(text))


def _lines(boxes: Sequence[Box]) -> Iterator[str]:
    """A line to a box from each that it needs; where it needs none, a dotted one from the wave before."""
    owner = {change["address"]: box for box in boxes for change in box.steps}
    for n, box in enumerate(boxes):
        found = {owner[need].number for change in box.steps for need in change["depends_on"] if need in owner}
        needs = sorted(found - {box.number})
        yield from (f"  b{need} --> b{box.number}" for need in needs)
        before = [each.number for each in boxes[:n] if each.wave < box.wave]
        if before and not needs:
            yield f"  b{before[-1]} -.-> b{box.number}"
