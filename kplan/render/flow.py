"""Lay out what feeds what as a drawing: columns from left to right, with similar boxes drawn as one."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from typing import Any

from kplan.inspect.lineage import (
    TABLE,
    find_flows,
    find_neighbours,
    group_similar,
    moves_records,
    name_kind,
    split_table_id,
)
from kplan.kinds.groups import name_sink_group
from kplan.kinds.nouns import count_kind, name_several
from kplan.kinds.registry import KINDS
from kplan.render.text import format_sign
from kplan.text import format_ranges
from kplan.values import dataclass

GROUP = "group"  # the kind of boxes of consumer groups
MAX_BOXES = 60  # in one drawing
MAX_SIMILAR = 4  # more topics or tables with the same lines become one box
MAX_LABEL_LETTERS, LETTER_WIDTH = 38, 7.25  # a box's longest label, and the width of a letter
BOX_HEIGHT, ROW_HEIGHT, COLUMN_GAP, MARGIN = 30, 40, 88, 12
STATES = {"same": "as before", "new": "from now on", "gone": "no longer"}

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """Connect two boxes with a flow: as before (`same`), from now on (`new`), or no longer (`gone`)."""

    start: str
    end: str
    state: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class FlowBox:
    """Draw a resource or a table, or several similar topics or tables.

    `step` is the first one's, 0 of what does not change; `number` names all steps, and their risk.
    """

    key: str
    label: str
    title: str
    kind: str
    mark: str
    action: str
    level: str
    step: int
    number: str
    x: float = 0
    y: float = 0
    width: float = 0

    @property
    def shape(self) -> str:
        return KINDS[self.kind].views.shape if self.kind in KINDS else ""

    @property
    def description(self) -> str:
        details = " ".join(filter(None, (self.mark, self.number)))
        return f"{self.title} ({details})" if details else self.title


@dataclass(frozen=True, slots=True)
class Drawing:
    """Hold boxes and lines with their places, their description in words, and what is not drawn."""

    boxes: Sequence[FlowBox]
    lines: Sequence[Line]
    width: float
    height: float
    sentences: Sequence[str]
    left_out: str

    @property
    def states(self) -> list[tuple[str, str]]:
        """Return the kinds of lines in it, with their meaning."""
        return [
            (state, meaning) for state, meaning in STATES.items() if any(line.state == state for line in self.lines)
        ]


def draw(document: Json) -> Drawing | None:
    """Return the drawing of a plan; None where no connector is among its changes, and no group reads its topics."""
    changes = {change["address"]: change for change in document["changes"]}
    lines = [*_make_lines(changes.values()), *_list_reader_lines(changes)]
    if not lines:
        return None
    linked = {end for line in lines for end in (line.start, line.end)}
    unconnected = Counter(change["kind"] for address, change in changes.items() if address not in linked)
    boxes, lines = _merge_similar(lines, changes)
    chosen = _choose_boxes(boxes, lines)
    hidden = [box for key, box in boxes.items() if key not in chosen]
    lines = [line for line in lines if line.start in chosen and line.end in chosen]
    placed = _place([box for key, box in boxes.items() if key in chosen], lines)
    width = max((box.x + box.width for box in placed), default=0) + MARGIN
    height = max((box.y + BOX_HEIGHT for box in placed), default=0) + MARGIN
    boxes_by_key = {box.key: box for box in placed}
    curves = [
        Line(line.start, line.end, line.state, _draw_curve(boxes_by_key[line.start], boxes_by_key[line.end]))
        for line in lines
    ]
    return Drawing(
        placed,
        curves,
        width,
        height,
        list(_write_sentences(boxes_by_key, lines)),
        _describe_left_out(hidden, unconnected),
    )


# -- what is drawn ----------------------------------------------------------------------------------------------------
def _make_lines(changes: Iterable[Json]) -> list[Line]:
    lines = []
    for change in changes:
        if moves_records(change["kind"]):
            address, live, after = change["address"], _complete_live(change), change["after"]
            old = dict.fromkeys(find_flows(address, live) if live else ())
            new = dict.fromkeys(find_flows(address, after) if after else ())
            for ends in {**old, **new}:
                state = "gone" if ends not in new else "same" if ends in old else "new"
                lines.append(Line(*ends, state))
    return lines


def _list_reader_lines(changes: Mapping[str, Json]) -> Iterator[Line]:
    """Yield the lines from topics that change to who reads them, as far as the plan knows: consumer groups, and sinks
    that the plan does not change."""
    moving = [address for address in changes if moves_records(name_kind(address))]
    own = {name_sink_group(address.partition("/")[2]) for address in moving}
    for address, change in changes.items():
        facts = [risk["facts"] for risk in change["risks"] if risk.get("facts")]
        if not facts:
            continue
        state = "gone" if change["after"] is None else "same"
        sinks = {name for each in facts for name in each.get("sinks", ())}
        groups = {reader["group"] for each in facts for reader in each.get("readers", ())} - own
        readers = [f"connector/{name}" for name in sorted(sinks) if f"connector/{name}" not in changes]
        readers += [f"{GROUP}/{group}" for group in sorted(groups - set(map(name_sink_group, sinks)))]
        yield from (Line(address, reader, state) for reader in readers)


def _complete_live(change: Json) -> Json | None:
    """Return the resource as it is now; what servers do not return, the ledger has from the last apply."""
    live, applied = change["before"], (change.get("owner") or {}).get("applied") or {}
    return {**applied, **{key: value for key, value in live.items() if value}} if live else None


def _merge_similar(lines: Sequence[Line], changes: Mapping[str, Json]) -> tuple[dict[str, FlowBox], list[Line]]:
    """Return the boxes by their keys, where similar topics share one, and the lines between boxes."""
    neighbours_by_state = {
        state: find_neighbours((line_ends.start, line_ends.end) for line_ends in lines if line_ends.state == state)
        for state in STATES
    }
    ends = {end for line in lines for end in (line.start, line.end)}
    groups = group_similar(
        sorted(ends, key=lambda a: (changes[a]["step"] if a in changes else 1 << 30, a)),
        lambda a: _make_group_key(
            a, changes.get(a), [frozenset(neighbours_by_state[state].get(a, ())) for state in STATES]
        ),
        MAX_SIMILAR,
    )
    boxes = {group[0]: _make_box(group, [changes[a] for a in group if a in changes]) for group in groups}
    key_of = {address: group[0] for group in groups for address in group}
    merged = {(key_of[line.start], key_of[line.end], line.state): None for line in lines}
    return boxes, [Line(*line_ends) for line_ends in merged]


def _make_group_key(address: str, change: Json | None, neighbours: Sequence[frozenset[tuple[str, str]]]) -> Hashable:
    kind = name_kind(address)
    if moves_records(kind):
        return address
    return (
        kind,
        *neighbours,
        format_sign(change) if change else "",
        change and change["undo"]["complete"],
        _find_level(change),
    )


def _find_level(change: Json | None) -> str:
    levels = {risk["level"] for risk in change["risks"]} if change else set()
    return next((level for level in ("danger", "caution") if level in levels), "")


def _make_box(group: Sequence[str], changes: Sequence[Json]) -> FlowBox:
    first = changes[0] if changes else None
    kind = name_kind(group[0])
    name, suffix = _split_name(group[0])
    text = name if len(group) == 1 else f"{count_kind(len(group), kind)}, {name.removeprefix(f'{kind}/')} …"
    mark = (format_sign(first) + ("" if first["undo"]["complete"] else "!")) if first else ""
    steps = [change["step"] for change in changes]
    label = (
        text
        if len(text) <= MAX_LABEL_LETTERS
        else text[: MAX_LABEL_LETTERS // 2] + "…" + text[-MAX_LABEL_LETTERS // 2 + 1 :]
    )
    level = _find_level(first)
    number = f"{level} {format_ranges(steps, 1)}".strip()
    return FlowBox(
        group[0],
        label,
        text + suffix,
        kind,
        mark,
        first["actions"][0] if first else "",
        level,
        steps[0] if steps else 0,
        number,
        width=round(_count_letters(f"{mark} {label}  {number}" if first else label) * LETTER_WIDTH + 2 * MARGIN),
    )


def _split_name(address: str) -> tuple[str, str]:
    """Return the address; of a table its name, and the words for where it is."""
    if name_kind(address) != TABLE:
        return address, ""
    database, name = split_table_id(address)
    return name, f" of {database}"


def _count_letters(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _choose_boxes(boxes: Mapping[str, FlowBox], lines: Sequence[Line]) -> set[str]:
    """Return the keys of what is drawn: connectors with their topics, the dangerous first, then by step."""
    neighbours: dict[str, list[str]] = defaultdict(list)
    for line in lines:
        neighbours[line.start].append(line.end)
        neighbours[line.end].append(line.start)
    weight = {key: (_rank_box(box), box.step or 1 << 30) for key, box in boxes.items()}
    anchors = [
        key
        for key, box in boxes.items()
        if moves_records(box.kind) or any(name_kind(each) == GROUP for each in neighbours[key])
    ]
    chosen: set[str] = set()
    for key in sorted(anchors, key=lambda k: min(weight[member] for member in (k, *neighbours[k]))):
        group = {key, *neighbours[key]}
        if len(chosen | group) <= MAX_BOXES:
            chosen |= group
        elif not chosen:
            chosen = {key, *sorted(neighbours[key], key=weight.__getitem__)[: MAX_BOXES - 1]}
    return chosen


def _rank_box(box: FlowBox) -> int:
    return {"danger": 0, "caution": 1}.get(box.level, 2)


def _describe_left_out(hidden: Sequence[FlowBox], unconnected: Mapping[str, int]) -> str:
    """Describe the hidden boxes, and what holds records but is `unconnected` to all that moves them, by kind."""
    sentences = []
    if hidden:
        kinds = Counter(box.kind for box in hidden)
        boxes = [count_kind(kinds[kind], kind) for kind in KINDS if kinds[kind] and moves_records(kind)]
        others = [TABLE, GROUP, *(kind for kind in KINDS if not moves_records(kind))]
        boxes += [f"{kinds[kind]} boxes of {name_several(kind)}" for kind in others if kinds[kind]]
        sentences.append(f"Left out to keep the drawing readable: {' and '.join(boxes)}. The list of steps has all.")
    for kind in KINDS:
        if KINDS[kind].views.holds_records and (number := unconnected.get(kind, 0)):
            verb = "is" if number == 1 else "are"
            sentences.append(
                f"{count_kind(number, kind)} that no connector of this plan feeds or reads {verb} not drawn."
            )
    return " ".join(sentences)


# -- layout -----------------------------------------------------------------------------------------------------------
def _place(boxes: Sequence[FlowBox], lines: Sequence[Line]) -> list[FlowBox]:
    """Return the boxes in columns, each in the order of its neighbours, so that few lines cross."""
    column = _assign_columns([box.key for box in boxes], lines)
    before: dict[str, list[str]] = defaultdict(list)
    for line in lines:
        if column[line.start] < column[line.end]:
            before[line.end].append(line.start)
    placed: dict[str, FlowBox] = {}
    x: float = MARGIN
    for index in sorted(set(column.values())):
        in_column = [box for box in boxes if column[box.key] == index]
        in_column.sort(key=lambda box: (_average([placed[key].y for key in before[box.key]]), box.step or 1 << 30))
        rows = _spread_rows(in_column, placed, before)
        for box, y in zip(in_column, rows, strict=True):
            placed[box.key] = replace(box, x=x, y=y)
        x += max(box.width for box in in_column) + COLUMN_GAP
    return _move_to_top(list(placed.values()))


def _assign_columns(keys: Sequence[str], lines: Sequence[Line]) -> dict[str, int]:
    """Return the column of each box: right of all that feeds it, unless a circle forbids that."""
    feeds: dict[str, set[str]] = {key: set() for key in keys}
    for line in lines:
        feeds[line.end].add(line.start)
    while True:
        try:
            order = list(TopologicalSorter(feeds).static_order())
            break
        except CycleError as e:
            circle = e.args[1]
            feeds[circle[1]].discard(circle[0])
    column: dict[str, int] = {}
    for key in order:
        column[key] = max((column[source] + 1 for source in feeds[key]), default=0)
    for key in reversed(order):  # a box without a source goes next to what it feeds
        ends = [column[line.end] for line in lines if line.start == key and column[line.end] > column[key]]
        if not feeds[key] and ends:
            column[key] = min(ends) - 1
    return column


def _average(heights: Sequence[float]) -> float:
    return sum(heights) / len(heights) if heights else 0


def _spread_rows(
    boxes: Sequence[FlowBox], placed: Mapping[str, FlowBox], before: Mapping[str, Sequence[str]]
) -> list[float]:
    """Return heights that do not overlap, around the middle of the neighbours of the boxes."""
    preferred = [_average([placed[key].y for key in before[box.key]]) for box in boxes]
    top = _average(preferred) - ROW_HEIGHT * (len(boxes) - 1) / 2
    return [top + ROW_HEIGHT * index for index in range(len(boxes))]


def _move_to_top(boxes: Sequence[FlowBox]) -> list[FlowBox]:
    """Move the boxes so that the highest is at the upper edge."""
    top = min((box.y for box in boxes), default=0) - MARGIN
    return [replace(box, y=round(box.y - top)) for box in boxes]


def _draw_curve(a: FlowBox, b: FlowBox) -> str:
    x, y, to_x, to_y = a.x + a.width, a.y + BOX_HEIGHT / 2, b.x, b.y + BOX_HEIGHT / 2
    bend = max(30.0, abs(to_x - x) / 2)
    return f"M{x:g} {y:g}C{x + bend:g} {y:g} {to_x - bend:g} {to_y:g} {to_x:g} {to_y:g}"


# -- in words ---------------------------------------------------------------------------------------------------------
def _write_sentences(boxes: Mapping[str, FlowBox], lines: Sequence[Line]) -> Iterator[str]:
    """Yield the drawing in words: a sentence for each connector and direction."""
    for key, box in boxes.items():
        if moves_records(box.kind) or box.kind == GROUP:
            for verb, ends in (
                ("feeds", [(line.end, line.state) for line in lines if line.start == key]),
                ("reads", [(line.start, line.state) for line in lines if line.end == key]),
            ):
                if ends:
                    yield f"{box.description} {verb} " + ", ".join(
                        f"{boxes[end].description} {STATES[state]}" for end, state in ends
                    )
