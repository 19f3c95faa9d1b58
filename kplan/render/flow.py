"""What feeds what, laid out to be drawn: columns from left to right, with what is alike drawn as one."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from typing import Any

from kplan.inspect.lineage import TABLE, find_flows, grouped, kind_of, moves_records, neighbours, table_of
from kplan.kinds.nouns import count_kind, name_several
from kplan.kinds.registry import KINDS
from kplan.render.text import format_sign

MOST = 60  # boxes in one drawing
ALIKE = 4  # more topics or tables with the same lines are drawn as one box
LETTERS, LETTER = 38, 7.25  # a box's longest label, and the width of a letter
BOX, ROW, GAP, EDGE = 30, 40, 88, 12
STATES = {"same": "as before", "new": "from now on", "gone": "no longer"}

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """Records flow from one box to another: as before (`same`), from now on (`new`), or no longer (`gone`)."""

    start: str
    end: str
    state: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class Box:
    """A resource or a table, or several topics or tables that are alike.

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
    def words(self) -> str:
        said = " ".join(filter(None, (self.mark, self.number)))
        return f"{self.title} ({said})" if said else self.title


@dataclass(frozen=True, slots=True)
class Drawing:
    """Boxes and lines with their places, what they say in words, and what is not drawn."""

    boxes: Sequence[Box]
    lines: Sequence[Line]
    width: float
    height: float
    sentences: Sequence[str]
    left_out: str

    @property
    def states(self) -> list[tuple[str, str]]:
        """The kinds of lines in it, with what they mean."""
        return [(state, said) for state, said in STATES.items() if any(line.state == state for line in self.lines)]


def draw(document: Json) -> Drawing | None:
    """The drawing of a plan; None where no connector is among its changes."""
    changes = {change["address"]: change for change in document["changes"]}
    lines = _lines(changes.values())
    if not lines:
        return None
    linked = {end for line in lines for end in (line.start, line.end)}
    apart = Counter(change["kind"] for address, change in changes.items() if address not in linked)
    boxes, lines = _joined(lines, changes)
    kept = _chosen(boxes, lines)
    hidden = [box for key, box in boxes.items() if key not in kept]
    lines = [line for line in lines if line.start in kept and line.end in kept]
    placed = _placed([box for key, box in boxes.items() if key in kept], lines)
    width = max((box.x + box.width for box in placed), default=0) + EDGE
    height = max((box.y + BOX for box in placed), default=0) + EDGE
    at = {box.key: box for box in placed}
    curves = [Line(line.start, line.end, line.state, _curve(at[line.start], at[line.end])) for line in lines]
    return Drawing(placed, curves, width, height, list(_sentences(at, lines)), _left_out(hidden, apart))


# -- what is drawn ----------------------------------------------------------------------------------------------------
def _lines(changes: Iterable[Json]) -> list[Line]:
    found = []
    for change in changes:
        if moves_records(change["kind"]):
            address, live, after = change["address"], _live(change), change["after"]
            old = dict.fromkeys(find_flows(address, live) if live else ())
            new = dict.fromkeys(find_flows(address, after) if after else ())
            for ends in {**old, **new}:
                state = "gone" if ends not in new else "same" if ends in old else "new"
                found.append(Line(*ends, state))
    return found


def _live(change: Json) -> Json | None:
    """The resource as it is now; what no server tells of it, the ledger knows from the last apply."""
    live, applied = change["before"], (change.get("owner") or {}).get("applied") or {}
    return {**applied, **{key: value for key, value in live.items() if value}} if live else None


def _joined(lines: Sequence[Line], changes: Mapping[str, Json]) -> tuple[dict[str, Box], list[Line]]:
    """The boxes by their keys, where topics that are alike share one, and the lines between boxes."""
    around = {state: neighbours((each.start, each.end) for each in lines if each.state == state) for state in STATES}
    ends = {end for line in lines for end in (line.start, line.end)}
    groups = grouped(
        sorted(ends, key=lambda a: (changes[a]["step"] if a in changes else 1 << 30, a)),
        lambda a: _likeness(a, changes.get(a), [frozenset(around[state].get(a, ())) for state in STATES]),
        ALIKE,
    )
    boxes = {group[0]: _box(group, [changes[a] for a in group if a in changes]) for group in groups}
    key = {address: group[0] for group in groups for address in group}
    joined = {(key[line.start], key[line.end], line.state): None for line in lines}
    return boxes, [Line(*each) for each in joined]


def _likeness(address: str, change: Json | None, around: Sequence[frozenset[tuple[str, str]]]) -> Hashable:
    kind = kind_of(address)
    if moves_records(kind):
        return address
    return kind, *around, format_sign(change) if change else "", change and change["undo"]["complete"], _level(change)


def _level(change: Json | None) -> str:
    levels = {risk["level"] for risk in change["risks"]} if change else set()
    return next((level for level in ("danger", "caution") if level in levels), "")


def _box(group: Sequence[str], changes: Sequence[Json]) -> Box:
    first = changes[0] if changes else None
    kind = kind_of(group[0])
    name, where = _named(group[0])
    said = name if len(group) == 1 else f"{count_kind(len(group), kind)}, {name.removeprefix(f'{kind}/')} …"
    mark = (format_sign(first) + ("" if first["undo"]["complete"] else "!")) if first else ""
    steps = [change["step"] for change in changes]
    label = said if len(said) <= LETTERS else said[: LETTERS // 2] + "…" + said[-LETTERS // 2 + 1 :]
    level = _level(first)
    number = f"{level} {ranges(steps, 1)}".strip()
    return Box(
        group[0],
        label,
        said + where,
        kind,
        mark,
        first["actions"][0] if first else "",
        level,
        steps[0] if steps else 0,
        number,
        width=round(_letters(f"{mark} {label}  {number}" if first else label) * LETTER + 2 * EDGE),
    )


def _named(address: str) -> tuple[str, str]:
    """The address; of a table its name, and the words for where it is."""
    if kind_of(address) != TABLE:
        return address, ""
    database, name = table_of(address)
    return name, f" of {database}"


def _letters(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def ranges(numbers: Sequence[int], most: int = 6) -> str:
    """`1–4, 7` for 1 2 3 4 7; beyond `most` parts, how many numbers there are more."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    said = [str(a) if a == b else f"{a}\u2013{b}" for a, b in parts[:most]]
    more = sum(b - a + 1 for a, b in parts[most:])
    return ", ".join(said) + (f" and {more} more" if more else "")


def _chosen(boxes: Mapping[str, Box], lines: Sequence[Line]) -> set[str]:
    """The keys of what is drawn: connectors with their topics, the dangerous first, then in the order of the steps."""
    near: dict[str, list[str]] = defaultdict(list)
    for line in lines:
        near[line.start].append(line.end)
        near[line.end].append(line.start)
    weight = {key: (_order(box), box.step or 1 << 30) for key, box in boxes.items()}
    connectors = [key for key, box in boxes.items() if moves_records(box.kind)]
    kept: set[str] = set()
    for key in sorted(connectors, key=lambda k: min(weight[each] for each in (k, *near[k]))):
        whole = {key, *near[key]}
        if len(kept | whole) <= MOST:
            kept |= whole
        elif not kept:
            kept = {key, *sorted(near[key], key=weight.__getitem__)[: MOST - 1]}
    return kept


def _order(box: Box) -> int:
    return {"danger": 0, "caution": 1}.get(box.level, 2)


def _left_out(hidden: Sequence[Box], apart: Mapping[str, int]) -> str:
    """The boxes that are hidden, and what holds records and is `apart` from all that moves them, by kind."""
    said = []
    if hidden:
        kinds = Counter(box.kind for box in hidden)
        boxes = [count_kind(kinds[kind], kind) for kind in KINDS if kinds[kind] and moves_records(kind)]
        others = [TABLE, *(kind for kind in KINDS if not moves_records(kind))]
        boxes += [f"{kinds[kind]} boxes of {name_several(kind)}" for kind in others if kinds[kind]]
        said.append(f"Left out to keep the drawing readable: {' and '.join(boxes)}. The list of steps has all.")
    for kind in KINDS:
        if KINDS[kind].views.holds_records and (number := apart.get(kind, 0)):
            verb = "is" if number == 1 else "are"
            said.append(f"{count_kind(number, kind)} that no connector of this plan feeds or reads {verb} not drawn.")
    return " ".join(said)


# -- where it stands --------------------------------------------------------------------------------------------------
def _placed(boxes: Sequence[Box], lines: Sequence[Line]) -> list[Box]:
    """The boxes in columns, each in the order of what it hangs on, so that few lines cross."""
    column = _columns([box.key for box in boxes], lines)
    before: dict[str, list[str]] = defaultdict(list)
    for line in lines:
        if column[line.start] < column[line.end]:
            before[line.end].append(line.start)
    placed: dict[str, Box] = {}
    x: float = EDGE
    for index in sorted(set(column.values())):
        inside = [box for box in boxes if column[box.key] == index]
        inside.sort(key=lambda box: (_middle([placed[key].y for key in before[box.key]]), box.step or 1 << 30))
        rows = _spread(inside, placed, before)
        for box, y in zip(inside, rows, strict=True):
            placed[box.key] = replace(box, x=x, y=y)
        x += max(box.width for box in inside) + GAP
    return _raised(list(placed.values()))


def _columns(keys: Sequence[str], lines: Sequence[Line]) -> dict[str, int]:
    """The column of each box: right of all that feeds it, where no circle forbids that."""
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
        column[key] = max((column[each] + 1 for each in feeds[key]), default=0)
    for key in reversed(order):  # what nothing feeds stands next to what it feeds
        ends = [column[line.end] for line in lines if line.start == key and column[line.end] > column[key]]
        if not feeds[key] and ends:
            column[key] = min(ends) - 1
    return column


def _middle(heights: Sequence[float]) -> float:
    return sum(heights) / len(heights) if heights else 0


def _spread(boxes: Sequence[Box], placed: Mapping[str, Box], before: Mapping[str, Sequence[str]]) -> list[float]:
    """Heights that do not overlap, around the middle of what the boxes hang on."""
    wanted = [_middle([placed[key].y for key in before[box.key]]) for box in boxes]
    top = _middle(wanted) - ROW * (len(boxes) - 1) / 2
    return [top + ROW * index for index in range(len(boxes))]


def _raised(boxes: Sequence[Box]) -> list[Box]:
    """The same, the highest at the upper edge."""
    top = min((box.y for box in boxes), default=0) - EDGE
    return [replace(box, y=round(box.y - top)) for box in boxes]


def _curve(a: Box, b: Box) -> str:
    x, y, to_x, to_y = a.x + a.width, a.y + BOX / 2, b.x, b.y + BOX / 2
    bend = max(30.0, abs(to_x - x) / 2)
    return f"M{x:g} {y:g}C{x + bend:g} {y:g} {to_x - bend:g} {to_y:g} {to_x:g} {to_y:g}"


# -- in words ---------------------------------------------------------------------------------------------------------
def _sentences(at: Mapping[str, Box], lines: Sequence[Line]) -> Iterator[str]:
    """The drawing for who does not see it: a sentence for each connector and direction."""
    for key, box in at.items():
        if moves_records(box.kind):
            for verb, ends in (
                ("feeds", [(line.end, line.state) for line in lines if line.start == key]),
                ("reads", [(line.start, line.state) for line in lines if line.end == key]),
            ):
                if ends:
                    yield f"{box.words} {verb} " + ", ".join(f"{at[end].words} {STATES[state]}" for end, state in ends)
