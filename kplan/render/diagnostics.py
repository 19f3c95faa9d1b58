"""Views of diagnostics: full with snippets, one line each, and JSON.

No view writes a control character of a file's or a server's text as it is: a name cannot move the cursor, and text that
runs from right to left cannot pose as something else.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from textwrap import wrap
from typing import Any
from unicodedata import category, combining, east_asian_width

from kplan.diagnostics import Diagnostic, Severity, Span, join_first_names, merge_key

MOST_SHOWN = 100  # problems that a person is shown in full
MOST_LINES = 1_000  # and in one line each
MOST_ALIKE = 3  # problems that are shown in full though they differ in the resource and the place alone

Sources = Callable[[str], str | None]

_LINE_BREAK = re.compile(r"\r\n|\r|\n")
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_COLORS = {Severity.ERROR: "1;31", Severity.WARNING: "1;33", Severity.NOTE: "1;36"}
_GUTTER = "34"
_TAB = "    "


def full(
    diagnostics: Sequence[Diagnostic],
    sources: Sources,
    color: bool,
    width: int,
    *,
    files: int | None = None,
    closing: str = "",
    counted: bool = True,
) -> str:
    """Every diagnostic with its place, underlined, and the counts if `counted`. `sources` gives a text or None.

    Of many that differ in the resource and the place alone, the first is shown; it names some of the others. Of very
    many the first are shown, and the others are counted by code.
    """
    page = _Page(sources, color, max(width, 40))
    folded = _folded(diagnostics)
    blocks = ["\n".join(page.block(each)) for each in folded[:MOST_SHOWN]]
    blocks += [rest_line(folded[MOST_SHOWN:])] if len(folded) > MOST_SHOWN else []
    count = len({each.span.path for each in diagnostics if each.span}) if files is None else files
    return "\n\n".join([*blocks, *([summary_line(diagnostics, count, closing)] if counted else [])]) + "\n"


def _folded(diagnostics: Sequence[Diagnostic]) -> list[Diagnostic]:
    """The problems in their order; of more than MOST_ALIKE the first stands for all."""
    groups: dict[tuple[object, ...], list[Diagnostic]] = {}
    keys = [merge_key(each) if each.address and not each.addresses else (n,) for n, each in enumerate(diagnostics)]
    for key, each in zip(keys, diagnostics, strict=True):
        groups.setdefault(key, []).append(each)
    shown: list[Diagnostic] = []
    for key, each in zip(keys, diagnostics, strict=True):
        if len(groups[key]) <= MOST_ALIKE:
            shown.append(each)
        elif each is groups[key][0]:
            shown.append(_first_of(groups[key]))
    return shown


def _first_of(group: Sequence[Diagnostic]) -> Diagnostic:
    others = [f"{each.address} ({each.span})" if each.span else each.address for each in group[1:]]
    return replace(group[0], detail=f"{group[0].detail}\nand {len(others)} more: {join_first_names(others)}")


def summary_line(diagnostics: Iterable[Diagnostic], files: int, closing: str) -> str:
    """`2 errors, 0 warnings in 1 file. Nothing was changed.`, where `closing` is the last sentence."""
    kinds = [each.severity for each in diagnostics]
    counts = f"{_count(kinds.count(Severity.ERROR), 'error')}, {_count(kinds.count(Severity.WARNING), 'warning')}"
    return f"{counts} in {_count(files, 'file')}. {closing}".rstrip()


def rest_line(left: Sequence[Diagnostic]) -> str:
    """Return `… and 19,900 more: 19,899 K106, 1 K104; --format json has all of them`."""
    counts = Counter(each.code for each in left)
    said = ", ".join(f"{number:,} {code}" for code, number in counts.most_common())
    return f"… and {len(left):,} more: {said}; --format json has all of them"


def concise(diagnostics: Iterable[Diagnostic]) -> str:
    """One line each; of very many the first."""
    every = list(diagnostics)
    lines = [line(each) for each in every[:MOST_LINES]]
    lines += [rest_line(every[MOST_LINES:])] if len(every) > MOST_LINES else []
    return "".join(f"{each}\n" for each in lines)


def as_json(diagnostics: Iterable[Diagnostic]) -> list[dict[str, Any]]:
    """The records as published: `path` is the file's, `attribute` that within the resource or file."""
    return [_record(each) for each in diagnostics]


def visible(text: str) -> str:
    """`text` with each character that would steer a terminal written as an escape; line ends and tabs, too."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(char) if category(char) in _UNSAFE else char for char in text)


def _escaped(char: str) -> str:
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(char)
    if short:
        return short
    number = ord(char)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# Full


@dataclass(frozen=True, slots=True)
class _Page:
    sources: Sources
    color: bool
    width: int
    _lines: dict[str, list[str]] = field(default_factory=dict)

    def paint(self, style: str, text: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self.color and text else text

    def block(self, each: Diagnostic) -> Iterator[str]:
        style = _COLORS[each.severity]
        code = f"[{visible(each.code)}]" if each.code else ""
        yield self.paint(style, f"{each.severity.value}{code}") + self.paint("1", f": {visible(each.summary)}")
        gutter = max(2, len(str(each.span.line))) if each.span else 2
        label = ""
        place = str(each.span) if each.span else each.address
        if place:
            yield f"{' ' * gutter}{self.paint(_GUTTER, '-->')} {visible(place)}"
        line = self._line(each.span)
        if each.span and line is not None:
            snippet, label = self._snippet(each, line, gutter, style)
            yield from snippet
        elif each.label:
            label = each.label
        for words in filter(None, (label, each.detail)):
            yield from self._paragraph(f"{' ' * (gutter + 1)}= ", words)
        if each.help:
            yield from self._paragraph("  help: ", each.help)

    def _line(self, span: Span | None) -> str | None:
        """The text of the span's first line, if it can be had."""
        if span is None or span.line < 1:
            return None
        if span.path not in self._lines:
            text = self.sources(span.path)
            self._lines[span.path] = [] if text is None else _LINE_BREAK.split(text.removeprefix("\ufeff"))
        lines = self._lines[span.path]
        return lines[span.line - 1] if span.line <= len(lines) else None

    def _snippet(self, each: Diagnostic, line: str, gutter: int, style: str) -> tuple[list[str], str]:
        """The lines of the snippet, and the label if there was no room for it behind the underline."""
        assert each.span
        start = min(max(each.span.column - 1, 0), len(line))
        end = each.span.end_column - 1 if each.span.end_line in (0, each.span.line) else len(line.rstrip())
        shown = _cut(line, start, max(end, start + 1), self.width - gutter - 3)
        bar = self.paint(_GUTTER, "|")
        number = self.paint(_GUTTER, f"{each.span.line:>{gutter}}")
        label = visible(each.label)
        room = self.width - gutter - 3 - shown.offset - shown.length - 1
        behind, below = (f" {label}", "") if label and _width(label) <= room else ("", each.label)
        mark = " " * shown.offset + self.paint(style, "^" * shown.length + behind)
        return [f"{' ' * gutter} {bar}", f"{number} {bar} {shown.text}", f"{' ' * gutter} {bar} {mark}"], below

    def _paragraph(self, head: str, text: str) -> Iterator[str]:
        """`text` behind `head`, wrapped; its own lines stay lines."""
        indent = " " * len(head)
        for line in text.rstrip().splitlines():
            for part in wrap(visible(line.expandtabs(4)), self.width - len(head), break_on_hyphens=False) or [""]:
                yield f"{head}{part}".rstrip()
                head = indent


@dataclass(frozen=True, slots=True)
class _Shown:
    """A line as it is printed; `offset` and `length` are those of the underline, in columns of a terminal."""

    text: str
    offset: int
    length: int


def _cut(line: str, start: int, end: int, room: int) -> _Shown:
    """The line where it fits into `room` columns, else the part around `start` with … at its ends."""
    skipped = max(start - 2 * room, 0)
    part = line[skipped : start + 2 * room]
    start, end = start - skipped, min(end - skipped, len(part))
    cells = [_TAB if char == "\t" else visible(char) for char in part]
    edges = [0, *accumulate(map(_width, cells))]
    first, last = 0, len(cells)
    if edges[-1] > room or len(part) < len(line):
        first, last = _window(edges, start, end, room - 2)
    lead = "…" * (skipped + first > 0)
    tail = "…" * (skipped + last < len(line))
    end = min(max(end, start), last)
    offset = len(lead) + edges[start] - edges[first]
    return _Shown(lead + "".join(cells[first:last]) + tail, offset, max(1, edges[end] - edges[start]))


def _window(edges: Sequence[int], start: int, end: int, room: int) -> tuple[int, int]:
    """The first and the last cell of a part that fits, with what is meant near its middle."""
    spare = max(room - (edges[end] - edges[start]), room // 4)
    first = bisect_left(edges, max(edges[start] - spare // 2, 0))
    if edges[-1] - edges[first] <= room:
        first = bisect_left(edges, edges[-1] - room)
    first = min(first, start)
    last = bisect_right(edges, edges[first] + room) - 1
    return first, last


def _width(text: str) -> int:
    """Columns of a terminal that `text` takes."""
    if text.isascii():
        return len(text)
    return sum(map(_columns, text))


def _columns(char: str) -> int:
    if combining(char) or category(char) == "Mn":
        return 0
    return 2 if east_asian_width(char) in "WF" else 1


# The others


def words(each: Diagnostic) -> str:
    """What is particular to this one problem."""
    return "\n".join(part for part in (each.label, each.detail) if part)


def line(each: Diagnostic) -> str:
    """`stacks/billing.yaml:20:7: K104 unknown topic config: …`. What is no error says so."""
    place = str(each.span) if each.span else each.address
    severity = "" if each.is_error else f"{each.severity.value}: "
    said = ": ".join(filter(None, (each.summary, words(each).replace("\n", "; "))))
    help = f" ({each.help})" if each.help else ""
    return visible(f"{place}: " if place else "") + visible(f"{each.code} {severity}{said}{help}".replace("\n", " "))


def _record(each: Diagnostic) -> dict[str, Any]:
    span = each.span or Span("")
    return {
        "code": each.code,
        "severity": each.severity.value,
        "summary": each.summary,
        "detail": words(each),
        "help": each.help,
        "address": each.address,
        "attribute": each.path,
        "path": span.path,
        "line": span.line,
        "column": span.column,
        "end_line": span.end_line,
        "end_column": span.end_column,
        **({"addresses": list(each.addresses)} if each.addresses else {}),
    }
