"""Render diagnostics: in full with snippets, one line each, and as JSON.

No view writes a control character of a file's or a server's text as it is: a name cannot move the cursor, and text that
runs from right to left cannot pose as something else.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import field, replace
from itertools import accumulate
from textwrap import wrap
from typing import Any
from unicodedata import category, combining, east_asian_width

from kplan.diagnostics import Diagnostic, Severity, Span, join_first_names, merge_key
from kplan.patterns import late_pattern
from kplan.values import dataclass

MAX_SHOWN = 100  # problems that are shown in full
MAX_LINES = 1_000  # problems that are shown in one line each
MAX_SIMILAR = 3  # problems shown in full that differ in the resource and the place alone

Sources = Callable[[str], str | None]

_LINE_BREAK = late_pattern(r"\r\n|\r|\n")
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_COLORS = {Severity.ERROR: "1;31", Severity.WARNING: "1;33", Severity.NOTE: "1;36"}
_GUTTER = "34"
_TAB = "    "


def render_full(
    diagnostics: Sequence[Diagnostic],
    sources: Sources,
    color: bool,
    width: int,
    *,
    files: int | None = None,
    closing: str = "",
    counted: bool = True,
) -> str:
    """Return every diagnostic with its place, underlined, and the counts if `counted`. `sources` returns a text or
    None.

    Of many that differ in the resource and the place alone, only the first is shown, and it names some of the others.
    Of very many, only the first are shown, and the others are counted by code.
    """
    page = _Renderer(sources, color, max(width, 40))
    shown = _group_similar(diagnostics)
    blocks = ["\n".join(page.render_block(diagnostic)) for diagnostic in shown[:MAX_SHOWN]]
    blocks += [format_rest(shown[MAX_SHOWN:])] if len(shown) > MAX_SHOWN else []
    count = len({diagnostic.span.path for diagnostic in diagnostics if diagnostic.span}) if files is None else files
    return "\n\n".join([*blocks, *([format_summary(diagnostics, count, closing)] if counted else [])]) + "\n"


def _group_similar(diagnostics: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Return the problems in their order; of more than MAX_SIMILAR that are similar, the first represents all."""
    groups: dict[tuple[object, ...], list[Diagnostic]] = {}
    keys = [
        merge_key(diagnostic) if diagnostic.address and not diagnostic.addresses else (n,)
        for n, diagnostic in enumerate(diagnostics)
    ]
    for key, diagnostic in zip(keys, diagnostics, strict=True):
        groups.setdefault(key, []).append(diagnostic)
    shown: list[Diagnostic] = []
    for key, diagnostic in zip(keys, diagnostics, strict=True):
        if len(groups[key]) <= MAX_SIMILAR:
            shown.append(diagnostic)
        elif diagnostic is groups[key][0]:
            shown.append(_merge_group(groups[key]))
    return shown


def _merge_group(group: Sequence[Diagnostic]) -> Diagnostic:
    others = [
        f"{diagnostic.address} ({diagnostic.span})" if diagnostic.span else diagnostic.address
        for diagnostic in group[1:]
    ]
    return replace(group[0], detail=f"{group[0].detail}\nand {len(others)} more: {join_first_names(others)}")


def format_summary(diagnostics: Iterable[Diagnostic], files: int, closing: str) -> str:
    """Return `2 errors, 0 warnings in 1 file. Nothing was changed.`, where `closing` is the last sentence."""
    severities = [diagnostic.severity for diagnostic in diagnostics]
    counts = (
        f"{_format_count(severities.count(Severity.ERROR), 'error')}, "
        f"{_format_count(severities.count(Severity.WARNING), 'warning')}"
    )
    return f"{counts} in {_format_count(files, 'file')}. {closing}".rstrip()


def format_rest(left: Sequence[Diagnostic]) -> str:
    """Return `… and 19,900 more: 19,899 K106, 1 K104; --format json has all of them`."""
    counts = Counter(diagnostic.code for diagnostic in left)
    numbers = ", ".join(f"{number:,} {code}" for code, number in counts.most_common())
    return f"… and {len(left):,} more: {numbers}; --format json has all of them"


def render_concise(diagnostics: Iterable[Diagnostic]) -> str:
    """Return one line for each diagnostic; of very many only the first."""
    listed = list(diagnostics)
    lines = [format_line(text) for text in listed[:MAX_LINES]]
    lines += [format_rest(listed[MAX_LINES:])] if len(listed) > MAX_LINES else []
    return "".join(f"{text}\n" for text in lines)


def encode_diagnostics(diagnostics: Iterable[Diagnostic]) -> list[dict[str, Any]]:
    """Return the records as published: `path` is the file's, `attribute` that within the resource or file."""
    return [_encode_diagnostic(diagnostic) for diagnostic in diagnostics]


def escape_controls(text: str) -> str:
    """Escape each character of `text` that would control a terminal; line ends and tabs, too."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(char) if category(char) in _UNSAFE else char for char in text)


def _escape(char: str) -> str:
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(char)
    if short:
        return short
    number = ord(char)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _format_count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# Full


@dataclass(frozen=True, slots=True)
class _Renderer:
    sources: Sources
    color: bool
    width: int
    _lines: dict[str, list[str]] = field(default_factory=dict)

    def paint(self, style: str, text: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self.color and text else text

    def render_block(self, diagnostic: Diagnostic) -> Iterator[str]:
        style = _COLORS[diagnostic.severity]
        code = f"[{escape_controls(diagnostic.code)}]" if diagnostic.code else ""
        yield self.paint(style, f"{diagnostic.severity.value}{code}") + self.paint(
            "1", f": {escape_controls(diagnostic.summary)}"
        )
        gutter = max(2, len(str(diagnostic.span.line))) if diagnostic.span else 2
        label = ""
        place = str(diagnostic.span) if diagnostic.span else diagnostic.address
        if place:
            yield f"{' ' * gutter}{self.paint(_GUTTER, '-->')} {escape_controls(place)}"
        line = self._get_line(diagnostic.span)
        if diagnostic.span and line is not None:
            snippet, label = self._render_snippet(diagnostic, line, gutter, style)
            yield from snippet
        elif diagnostic.label:
            label = diagnostic.label
        for words in filter(None, (label, diagnostic.detail)):
            yield from self._wrap_paragraph(f"{' ' * (gutter + 1)}= ", words)
        if diagnostic.help:
            yield from self._wrap_paragraph("  help: ", diagnostic.help)

    def _get_line(self, span: Span | None) -> str | None:
        """Return the text of the span's first line, or None if it is not available."""
        if span is None or span.line < 1:
            return None
        if span.path not in self._lines:
            text = self.sources(span.path)
            self._lines[span.path] = [] if text is None else _LINE_BREAK.split(text.removeprefix("\ufeff"))
        lines = self._lines[span.path]
        return lines[span.line - 1] if span.line <= len(lines) else None

    def _render_snippet(self, diagnostic: Diagnostic, line: str, gutter: int, style: str) -> tuple[list[str], str]:
        """Return the lines of the snippet, and the label if it did not fit behind the underline."""
        assert diagnostic.span
        start = min(max(diagnostic.span.column - 1, 0), len(line))
        end = (
            diagnostic.span.end_column - 1
            if diagnostic.span.end_line in (0, diagnostic.span.line)
            else len(line.rstrip())
        )
        shown = _cut_around(line, start, max(end, start + 1), self.width - gutter - 3)
        bar = self.paint(_GUTTER, "|")
        number = self.paint(_GUTTER, f"{diagnostic.span.line:>{gutter}}")
        label = escape_controls(diagnostic.label)
        label_width = self.width - gutter - 3 - shown.offset - shown.length - 1
        behind, below = (f" {label}", "") if label and _measure_width(label) <= label_width else ("", diagnostic.label)
        mark = " " * shown.offset + self.paint(style, "^" * shown.length + behind)
        return [f"{' ' * gutter} {bar}", f"{number} {bar} {shown.text}", f"{' ' * gutter} {bar} {mark}"], below

    def _wrap_paragraph(self, head: str, text: str) -> Iterator[str]:
        """Yield `text` behind `head`, wrapped; its own line breaks stay."""
        indent = " " * len(head)
        for line in text.rstrip().splitlines():
            for part in wrap(escape_controls(line.expandtabs(4)), self.width - len(head), break_on_hyphens=False) or [
                ""
            ]:
                yield f"{head}{part}".rstrip()
                head = indent


@dataclass(frozen=True, slots=True)
class _Shown:
    """A line as it is printed; `offset` and `length` are those of the underline, in columns of a terminal."""

    text: str
    offset: int
    length: int


def _cut_around(line: str, start: int, end: int, width: int) -> _Shown:
    """Return the line if it fits into `width` columns, else the part around `start` with … at its ends."""
    skipped = max(start - 2 * width, 0)
    part = line[skipped : start + 2 * width]
    start, end = start - skipped, min(end - skipped, len(part))
    cells = [_TAB if char == "\t" else escape_controls(char) for char in part]
    edges = [0, *accumulate(map(_measure_width, cells))]
    first, last = 0, len(cells)
    if edges[-1] > width or len(part) < len(line):
        first, last = _choose_window(edges, start, end, width - 2)
    lead = "…" * (skipped + first > 0)
    tail = "…" * (skipped + last < len(line))
    end = min(max(end, start), last)
    offset = len(lead) + edges[start] - edges[first]
    return _Shown(lead + "".join(cells[first:last]) + tail, offset, max(1, edges[end] - edges[start]))


def _choose_window(edges: Sequence[int], start: int, end: int, width: int) -> tuple[int, int]:
    """Return the first and the last cell of a part that fits, with the underlined text near its middle."""
    spare = max(width - (edges[end] - edges[start]), width // 4)
    first = bisect_left(edges, max(edges[start] - spare // 2, 0))
    if edges[-1] - edges[first] <= width:
        first = bisect_left(edges, edges[-1] - width)
    first = min(first, start)
    last = bisect_right(edges, edges[first] + width) - 1
    return first, last


def _measure_width(text: str) -> int:
    """Return the columns of a terminal that `text` takes."""
    if text.isascii():
        return len(text)
    return sum(map(_count_columns, text))


def _count_columns(char: str) -> int:
    if combining(char) or category(char) == "Mn":
        return 0
    return 2 if east_asian_width(char) in "WF" else 1


# The others


def join_details(diagnostic: Diagnostic) -> str:
    """Return the label and the detail: what is particular to this one problem."""
    return "\n".join(part for part in (diagnostic.label, diagnostic.detail) if part)


def format_line(diagnostic: Diagnostic) -> str:
    """Return `stacks/billing.yaml:20:7: K104 unknown topic config: …`; a level other than error is named."""
    place = str(diagnostic.span) if diagnostic.span else diagnostic.address
    severity = "" if diagnostic.is_error else f"{diagnostic.severity.value}: "
    message = ": ".join(filter(None, (diagnostic.summary, join_details(diagnostic).replace("\n", "; "))))
    help = f" ({diagnostic.help})" if diagnostic.help else ""
    return escape_controls(f"{place}: " if place else "") + escape_controls(
        f"{diagnostic.code} {severity}{message}{help}".replace("\n", " ")
    )


def _encode_diagnostic(diagnostic: Diagnostic) -> dict[str, Any]:
    span = diagnostic.span or Span("")
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity.value,
        "summary": diagnostic.summary,
        "detail": join_details(diagnostic),
        "help": diagnostic.help,
        "address": diagnostic.address,
        "attribute": diagnostic.path,
        "path": span.path,
        "line": span.line,
        "column": span.column,
        "end_line": span.end_line,
        "end_column": span.end_column,
        **({"addresses": list(diagnostic.addresses)} if diagnostic.addresses else {}),
    }
