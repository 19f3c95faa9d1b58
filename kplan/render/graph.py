"""Draw the order of a plan's steps as a mermaid graph: what is sent together, what it needs, and what comes later.

Known limits: GitLab draws a graph of more than 2,000 characters only when it is asked to (render_mermaid.js), GitHub
fails on labelled lines inside a closed block (mermaid#3504), and labels are read as Markdown, in which `1. x` or `- x`
is a list. So lines have no labels, and a label begins with a number and a blank, with all but plain characters coded.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

from kplan.render.diagnostics import escape_controls
from kplan.render.steps import name_action
from kplan.text import truncate
from kplan.values import dataclass

MAX_GRAPH_CHARACTERS = 1_900
MAX_BOXES = 40
NAMED_STEPS = (6, 3, 1)  # numbers of steps that a box names, tried in this order
MAX_LABEL_LENGTH = 60

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StepGroup:
    """Steps of one wave that are drawn as one."""

    number: int
    steps: Sequence[Json]

    @property
    def wave(self) -> int:
        return int(self.steps[0]["wave"])

    @property
    def final(self) -> bool:
        return any(not change["undo"]["complete"] for change in self.steps)


def draw_graph(document: Json) -> str:
    """Return the graph's source, the most detailed one that both hosts draw without being asked."""
    changes = document["changes"]
    sources = (_write_source(boxes, max_named) for boxes in _group_steps(changes) for max_named in NAMED_STEPS)
    source = ""
    for source in sources:
        if len(source) <= MAX_GRAPH_CHARACTERS:
            break
    return source


def _group_steps(changes: Sequence[Json]) -> Iterator[list[StepGroup]]:
    """Yield the steps grouped by what they need and what needs them; then by whole waves."""
    needed_by: dict[str, set[str]] = defaultdict(set)
    for change in changes:
        for need in change["depends_on"]:
            needed_by[need].add(change["address"])
    yield _make_boxes(
        changes,
        [(c["wave"], frozenset(c["depends_on"]), frozenset(needed_by[c["address"]]), name_action(c)) for c in changes],
    )
    yield _make_boxes(changes, [c["wave"] for c in changes])


def _make_boxes(changes: Sequence[Json], keys: Sequence[Hashable]) -> list[StepGroup]:
    groups: dict[Hashable, list[Json]] = {}
    for change, key in zip(changes, keys, strict=True):
        groups.setdefault(key, []).append(change)
    return [StepGroup(number, steps) for number, steps in enumerate(groups.values(), 1)]


def _write_source(boxes: Sequence[StepGroup], max_named: int) -> str:
    shown = boxes[:MAX_BOXES]
    lines = ["flowchart TD", *(_write_node(box, max_named) for box in shown), *_write_lines(shown)]
    if len(boxes) > MAX_BOXES:
        more = sum(len(box.steps) for box in boxes[MAX_BOXES:])
        lines += [f'  rest["{more} more steps"]', f"  b{shown[-1].number} -.-> rest"]
    if any(box.final for box in shown):
        lines.append("  classDef final stroke:#d1242f,stroke-width:3px")
    return "\n".join(lines) + "\n"


def _write_node(box: StepGroup, max_named: int) -> str:
    names = [_label_step(change) for change in box.steps[:max_named]]
    more = len(box.steps) - max_named
    if more > 0:
        names.append(f"and {more} more, up to step {box.steps[-1]['step']}")
    return f'  b{box.number}["{"<br>".join(names)}"]{":::final" if box.final else ""}'


def _label_step(change: Json) -> str:
    return (
        f"{change['step']} {encode_label(name_action(change))} "
        f"{encode_label(truncate(change['address'], MAX_LABEL_LENGTH))}"
    )


def encode_label(text: str) -> str:
    """Encode every character that mermaid, HTML or Markdown might read as a sign by its number."""
    return re.sub(r"[^A-Za-z0-9 ./,-]", lambda match: f"#{ord(match[0])};", escape_controls(text))


def _write_lines(boxes: Sequence[StepGroup]) -> Iterator[str]:
    """Yield a line to a box from each that it needs; where it needs none, a dotted one from the wave before."""
    owner = {change["address"]: box for box in boxes for change in box.steps}
    for n, box in enumerate(boxes):
        numbers = {owner[need].number for change in box.steps for need in change["depends_on"] if need in owner}
        needs = sorted(numbers - {box.number})
        yield from (f"  b{need} --> b{box.number}" for need in needs)
        earlier = [other.number for other in boxes[:n] if other.wave < box.wave]
        if earlier and not needs:
            yield f"  b{earlier[-1]} -.-> b{box.number}"
