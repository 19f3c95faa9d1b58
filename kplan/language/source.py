"""YAML text -> `Document`: its data, and where each part of it stands.

One pass over the parser's events, without recursion: deep nesting cannot exhaust the stack, and an alias costs what
its anchor's size says before anything grows. Scalars are read as YAML 1.2 core does; what YAML 1.1 reads differently
is an error with a place instead of a guess.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from functools import cached_property
from typing import Any, Final

import yaml

from kplan.diagnostics import Diagnostic, Span, codes, error
from kplan.diagnostics.codes.code import Code
from kplan.patterns import late_pattern
from kplan.values import dataclass

Path = tuple[str | int, ...]

MAX_DEPTH: Final = 100
FREE_EXPANSION: Final = 100_000  # nodes that aliases may add to a small file
EXPANSION_RATIO: Final = 10  # and to a large one, for each node that is written
MOST_NODES: Final = 1_000_000  # that are written, and as many that aliases add
NODE_CHARACTERS: Final = 100  # a long text counts as one node more for each so many

PLAIN_KEYS = ("on",)  # of connectors: a key is always text, and nobody means `true` by it
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_LINE_BREAK = late_pattern(r"\r\n|\r|\n")
_KEY_ALONE = late_pattern(r"(?:\s|#[^\r\n]*)*[,}]")
_UNREADABLE_ASCII = late_pattern("[^\t\n\r\x20-\x7e]")
_UNREADABLE: Final = "[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
_OTHER_BOMS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\x00\x00\xfe\xff": "UTF-32"}
_CORE_TAG = "tag:yaml.org,2002:"


class Place:
    """Where a node stands, as offsets into the text; `children` and `keys` are there for a map or a list."""

    __slots__ = ("children", "end", "keys", "start")

    def __init__(self, start: int, end: int, children: Any = None, keys: dict[str, Place] | None = None) -> None:
        self.start = start
        self.end = end
        self.children: dict[str, Place] | list[Place] | None = children
        self.keys = keys

    def child(self, step: str | int) -> Place | None:
        """Return the node below `step`, if there is one."""
        if isinstance(self.children, dict):
            return self.children.get(step) if isinstance(step, str) else None
        if isinstance(self.children, list) and isinstance(step, int) and 0 <= step < len(self.children):
            return self.children[step]
        return None

    def steps(self) -> Iterator[tuple[str | int, Place]]:
        if isinstance(self.children, dict):
            yield from self.children.items()
        elif self.children is not None:
            yield from enumerate(self.children)


class Lines:
    """Turns offsets of a text into lines and columns, both from 1."""

    def __init__(self, path: str, text: str, above: int = 0) -> None:
        """`above` is the number of lines of the file that are before the text."""
        self.path = path
        self.text = text
        self.above = above

    @cached_property
    def starts(self) -> list[int]:
        return [0, *(match.end() for match in _LINE_BREAK.finditer(self.text))]

    def position(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self.starts, offset)
        return line, offset - self.starts[line - 1] + 1

    def span(self, start: int, end: int) -> Span:
        (line, column), (end_line, end_column) = self.position(start), self.position(end)
        return Span(self.path, line + self.above, column, end_line + self.above, end_column)


class _Spans(Mapping[Path, Span]):
    """The spans of all values (or of all keys) by path; each is worked out when it is asked for."""

    def __init__(self, root: Place, lines: Lines, *, of_keys: bool) -> None:
        self._root = root
        self._lines = lines
        self._of_keys = of_keys

    def find(self, path: Path) -> Place | None:
        place: Place | None = self._root
        for step in path[:-1] if self._of_keys else path:
            place = place.child(step) if place else None
        if not self._of_keys:
            return place
        last = path[-1] if path else 0
        return place.keys.get(last) if place and place.keys and isinstance(last, str) else None

    def __getitem__(self, path: Path) -> Span:
        place = self.find(path)
        if place is None:
            raise KeyError(path)
        return self._lines.span(place.start, place.end)

    def __iter__(self) -> Iterator[Path]:
        waiting: list[tuple[Path, Place]] = [((), self._root)]
        if not self._of_keys:
            yield ()
        while waiting:
            path, place = waiting.pop()
            for step, child in place.steps():
                below = (*path, step)
                if not self._of_keys or isinstance(step, str):
                    yield below
                waiting.append((below, child))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _SpansWithOthers(Mapping[Path, Span]):
    """Spans in which a path below an entry of a section leads, where the entry has no such key, to other places."""

    def __init__(self, spans: Mapping[Path, Span], section: str, others: Mapping[str | int, Sequence[Path]]) -> None:
        self.spans = spans
        self._section = section
        self._others = others

    def __getitem__(self, path: Path) -> Span:
        span = self.spans.get(path)
        if span is None and len(path) > 2 and path[0] == self._section:
            candidates = (self.spans.get((*other, *path[2:])) for other in self._others.get(path[1], ()))
            span = next((each for each in candidates if each), None)
        if span is None:
            raise KeyError(path)
        return span

    def __iter__(self) -> Iterator[Path]:
        return iter(self.spans)

    def __len__(self) -> int:
        return len(self.spans)


@dataclass(frozen=True, slots=True)
class Document:
    """A file's data with the span of every value and key. An alias shares its anchor's data: do not change it."""

    path: str
    text: str
    data: Any
    spans: Mapping[Path, Span] = field(repr=False)
    key_spans: Mapping[Path, Span] = field(repr=False)

    def at(self, *path: str | int) -> Span:
        """Return the span of the value at `path`, or of the nearest thing around it that is there."""
        for length in range(len(path), -1, -1):
            span = self.spans.get(path[:length])
            if span is not None:
                return span
        return Span(self.path)

    def key_at(self, *path: str | int) -> Span:
        """Return the span of the key at the end of `path`; without one (a list's item) that of the value."""
        return self.key_spans.get(path) or self.at(*path)

    def with_other_places(self, section: str, others: Mapping[str | int, Sequence[Path]]) -> Document:
        """Return the document in which a key that an entry of `section` does not have is where others have it.

        `others` are by the entry's name, the nearest first; they are read at each question, so they may still grow.
        """
        spans, key_spans = (_SpansWithOthers(each, section, others) for each in (self.spans, self.key_spans))
        return replace(self, spans=spans, key_spans=key_spans)

    def has_no_colon(self, *path: str | int) -> bool:
        """Tell whether the key stands without quotes and alone in a flow map: `b` in `{a: 1, b}`."""
        spans = self.key_spans.spans if isinstance(self.key_spans, _SpansWithOthers) else self.key_spans
        place = spans.find(path) if isinstance(spans, _Spans) else None
        if place is None or self.text[place.start] in "\"'":
            return False
        return bool(_KEY_ALONE.match(self.text, place.end))


def load(text: str | bytes, path: str, above: int = 0) -> tuple[Document | None, tuple[Diagnostic, ...]]:
    """Return the document and all that is wrong with its YAML; no document where reading could not go on. Never raises.

    `above` is the number of lines of the file that are before the text.
    """
    decoded, problem = _decode(text, path, above)
    if problem:
        return None, (problem,)
    lines = Lines(path, decoded, above)
    composer = _Composer(lines)
    try:
        composer.compose()
    except _Stop as stop:
        return None, (*composer.problems, stop.problem)
    except yaml.MarkedYAMLError as failure:
        return None, (*composer.problems, _syntax_error(failure, lines))
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as failure:
        return None, (*composer.problems, error(codes.K101, "bad YAML syntax", str(failure), span=Span(path)))
    spans = _Spans(composer.root, lines, of_keys=False)
    keys = _Spans(composer.root, lines, of_keys=True)
    return Document(path, decoded, composer.data, spans, keys), tuple(composer.problems)


def doubtful(document: Document, problems: Iterable[Diagnostic]) -> frozenset[Span]:
    """Return the places of ambiguous values and of their keys: what another check says of them follows from that."""
    wrong = {problem.span for problem in problems if problem.code == codes.K103.number}
    found = set(wrong)
    for path, span in document.spans.items() if wrong else ():
        if span in wrong:
            found.add(document.key_at(*path))
    return frozenset(span for span in found if span)


def events(text: str) -> Iterator[Any]:
    """Yield the parser's events, from the C parser where PyYAML has it. Raises yaml.YAMLError."""
    loader = _LOADER(text)
    try:
        while True:
            event = loader.get_event()
            yield event
            if type(event) is yaml.StreamEndEvent:
                return
    finally:
        loader.dispose()


# Text


def _decode(text: str | bytes, path: str, above: int = 0) -> tuple[str, Diagnostic | None]:
    if isinstance(text, bytes):
        data = text
        try:
            text = data.decode()
        except UnicodeDecodeError as failure:
            return "", _undecodable(data, failure.start, path)
    text = text.removeprefix("\ufeff")
    odd = _UNREADABLE_ASCII.search(text) if text.isascii() else re.search(_UNREADABLE, text)
    if odd:
        place = Lines(path, text, above).span(odd.start(), odd.end())
        return "", _unreadable(f"A YAML file may not contain the character U+{ord(odd[0]):04X} as it is.", place)
    return text, None


def _undecodable(data: bytes, start: int, path: str) -> Diagnostic:
    encoding = next((name for bom, name in _OTHER_BOMS.items() if data.startswith(bom)), "")
    if encoding:
        return _unreadable(f"The file is {encoding}.", Span(path))
    before = data[:start].decode().removeprefix("\ufeff")
    place = Lines(path, before + "?").span(len(before), len(before) + 1)
    return _unreadable(f"Byte 0x{data[start]:02x} is not UTF-8.", place)


def _unreadable(detail: str, span: Span) -> Diagnostic:
    help = 'save the file as UTF-8; write a special character as an escape in double quotes, such as "\\u2028"'
    return error(codes.K107, "the file is not readable text", detail, help=help, span=span)


_SYNTAX_HELP = (
    ("mapping values are not allowed", 'put text that holds ": " in quotes, and check the indentation'),
    ("cannot start any token", "indent with spaces, and put text that begins with a special character in quotes"),
    ("could not find expected ':'", "every line of a map is `key: value`; check the line above, too"),
    ("invalid Unicode character escape", "YAML has no pairs of escapes as JSON has: write the character itself"),
    ("unexpected end of stream", "close the quote or bracket"),
    ("did not find expected", "check the indentation of this line and the brackets above it"),
)  # fmt: skip


# libyaml 0.2.6 and later refuse it themselves, sometimes before they pass on the first event.
_NESTING_REFUSED = "exceeded maximum nesting depth"


def _nested_too_deeply(span: Span) -> Diagnostic:
    detail = f"More than {MAX_DEPTH} maps and lists are inside each other."
    return error(codes.K105, "nested too deeply", detail, help="no stack needs more than a few levels", span=span)


def _syntax_error(failure: yaml.MarkedYAMLError, lines: Lines) -> Diagnostic:
    mark = failure.problem_mark or failure.context_mark
    offset = min(mark.index, len(lines.text)) if mark else 0
    problem = failure.problem or "unknown"
    if problem == _NESTING_REFUSED:
        return _nested_too_deeply(lines.span(offset, min(offset + 1, len(lines.text))))
    context = failure.context or ""
    if failure.context_mark and failure.context_mark.line != (mark.line if mark else -1):
        context += f" that begins in line {failure.context_mark.line + 1 + lines.above}"
    help = next((words for sign, words in _SYNTAX_HELP if sign in f"{context} {problem}"), "")
    if re.search(r"(?:[:-] +|^ *)\{\{", _line_at(lines, offset)):
        help = 'put the template in quotes: "{{ … }}"'
    if tab := re.match(r" *\t", _line_at(lines, offset)):
        start = lines.starts[lines.position(offset)[0] - 1] + tab.end() - 1
        detail, help = "A tab indents this line.", "YAML is indented with spaces alone: replace the tab"
        return error(codes.K101, "bad YAML syntax", detail, help=help, span=lines.span(start, start + 1))
    span = lines.span(offset, min(offset + 1, len(lines.text)))
    return error(codes.K101, "bad YAML syntax", f"{context}: {problem}".removeprefix(": "), help=help, span=span)


def _line_at(lines: Lines, offset: int) -> str:
    number, _ = lines.position(offset)
    end = lines.starts[number] if number < len(lines.starts) else len(lines.text)
    return lines.text[lines.starts[number - 1] : end]


# Scalars

_NULL = {"", "~", "null", "Null", "NULL"}
_CONSTANTS: Mapping[str, Any] = {
    **dict.fromkeys(_NULL),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_OLD_BOOLEANS: Mapping[str, bool] = {
    **{form: True for word in ("y", "yes", "on") for form in (word, word.title(), word.upper())},
    **{form: False for word in ("n", "no", "off") for form in (word, word.title(), word.upper())},
}
_SUSPECT = frozenset("0123456789+-.")
_INTEGER = late_pattern(r"[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = late_pattern(r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+][0-9]+)?")
_QUANTITY = late_pattern("[0-9]+[A-Za-z]+")  # such as 7d: text to every reader
_EXPONENT = r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)[eE][-+]?[0-9]+"
_NOT_FINITE = r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
_LEADING_ZERO = r"[-+]?0[0-9_]+"
_UNDERSCORES = r"[-+]?(?:(?=[0-9._]*_)[0-9][0-9_]*(?:\.[0-9_]*)?|0x[0-9a-fA-F_]+)"
_BINARY = r"[-+]?0b[01_]+|[-+]0x[0-9a-fA-F_]+"
_SEXAGESIMAL = r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"
_DATE = r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?.*)?"
_INT64 = range(-(2**63), 2**64)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a plain scalar stands for; with a `complaint`, what was probably meant, and in `instead` how to say so."""

    value: Any
    complaint: str = ""
    instead: str = ""


def read_plain(text: str) -> Reading:
    """Return a plain scalar's value as YAML 1.2 core has it, or why it may not be written like this."""
    if text in _CONSTANTS:
        return Reading(_CONSTANTS[text])
    if text in _OLD_BOOLEANS:
        meant = _OLD_BOOLEANS[text]
        return Reading(meant, f"is {str(meant).lower()} to some YAML readers and text to others", str(meant).lower())
    return _read_number(text) if text[0] in _SUSPECT else Reading(text)


def _read_number(text: str) -> Reading:
    if _INTEGER.fullmatch(text):
        return _read_integer(text)
    if _FLOAT.fullmatch(text):
        return _read_float(text)
    if _QUANTITY.fullmatch(text):
        return Reading(text)
    for pattern, read in _AMBIGUOUS:  # as text: few files have what needs them, and compiling takes its time
        if re.fullmatch(pattern, text):
            return read(text)
    return Reading(text)


def _read_integer(text: str) -> Reading:
    base = {"0x": 16, "0o": 8}.get(text[:2], 10)
    if len(text) < 70 and (value := int(text[2:] if base != 10 else text, base)) in _INT64:
        return Reading(value)
    return Reading(text, "is too large a number")


def _read_float(text: str) -> Reading:
    value = float(text)
    return Reading(value) if math.isfinite(value) else Reading(text, "is too large a number")


def _read_exponent(text: str) -> Reading:
    from decimal import Decimal

    value = float(text)
    if not math.isfinite(value):
        return Reading(text, "is too large a number")
    plain = f"{Decimal(text):f}" if 1e-20 < abs(value) < 1e20 else ""  # 1e-999999999 has as many digits
    return Reading(value, "is a number to some YAML readers and text to others", plain if len(plain) < 25 else "")


def _read_leading_zero(text: str) -> Reading:
    sign = text[0] if text[0] in "+-" else ""
    plain = sign + (text.lstrip("+-").replace("_", "").lstrip("0") or "0")
    sense = "octal" if set(text) <= set("01234567_+-") else "text"
    return Reading(text, f"is {sense} to some YAML readers and decimal to others", plain)


def _read_underscores(text: str) -> Reading:
    return Reading(text, "is a number to some YAML readers and text to others", text.replace("_", ""))


_AMBIGUOUS = (
    (_NOT_FINITE, lambda text: Reading(text, "is not a number that Kafka accepts")),
    (_EXPONENT, _read_exponent),
    (_LEADING_ZERO, _read_leading_zero),
    (_UNDERSCORES, _read_underscores),
    (_BINARY, lambda text: Reading(text, "is a number to some YAML readers and text to others")),
    (_SEXAGESIMAL, lambda text: Reading(text, "is a number in base 60 to some YAML readers and text to others")),
    (_DATE, lambda text: Reading(text, "is a date to some YAML readers and text to others")),
)


def _quote_text(text: str) -> str:
    return '"' + text + '"'


# Structure


class _Stop(Exception):
    """Reading cannot go on."""

    def __init__(self, problem: Diagnostic) -> None:
        super().__init__(problem.summary)
        self.problem = problem


class _Node:
    """A finished node: its data, its place, how many nodes it stands for and how deep it goes."""

    __slots__ = ("data", "height", "place", "size")

    def __init__(self, data: Any, place: Place, size: int = 1, height: int = 0) -> None:
        self.data = data
        self.place = place
        self.size = size
        self.height = height


class _Open:
    """A map or list that is being read. `key` is the key whose value comes next, in a map."""

    __slots__ = (
        "anchor", "children", "data", "end", "flow", "height", "is_key", "key", "keys", "merged", "size", "start",
    )  # fmt: skip

    def __init__(self, event: Any, *, is_map: bool, is_key: bool) -> None:
        self.data: Any = {} if is_map else []
        self.children: Any = {} if is_map else []
        self.keys: dict[str, Place] | None = {} if is_map else None
        self.anchor: str | None = event.anchor
        self.start: int = event.start_mark.index
        self.end: int = event.end_mark.index
        self.flow: bool = event.flow_style
        self.is_key = is_key
        self.key: str | _Special | None = None
        self.merged: list[_Node] = []
        self.size = 1
        self.height = 0

    @property
    def wants_key(self) -> bool:
        return self.keys is not None and self.key is None


class _Special:
    """A key that stands for no entry."""


class _Again(_Special):
    """A key that its map has already."""

    def __init__(self, key: str) -> None:
        self.key = key


_MERGE: Final = _Special()
_DROP: Final = _Special()  # what follows belongs to no key, for the key was wrong
_OPENING: Final = {yaml.MappingStartEvent: True, yaml.SequenceStartEvent: False}
_CLOSING: Final = frozenset({yaml.MappingEndEvent, yaml.SequenceEndEvent})


class _Composer:
    """Builds data and places from events; collects what is wrong."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.problems: list[Diagnostic] = []
        self.data: Any = None
        self.root = Place(0, 0)
        self._stack: list[_Open] = []
        self._anchors: dict[str, _Node | None] = {}  # None: still open
        self._readings: dict[str, Reading] = {}
        self._written = 0
        self._expanded = 0

    def compose(self) -> None:
        """Reads the only document of the text. Raises _Stop or yaml.YAMLError."""
        documents = 0
        for event in events(self.lines.text):
            kind = type(event)
            if kind is yaml.ScalarEvent:
                self._scalar(event)
            elif kind in _OPENING:
                self._open(event, _OPENING[kind])
            elif kind in _CLOSING:
                self._close(event)
            elif kind is yaml.AliasEvent:
                self._alias(event)
            elif kind is yaml.DocumentStartEvent:
                documents += 1
                if documents > 1:
                    self._several(event)
        if not documents:
            help = "a stack begins with `version: 1` and `stack: NAME`"
            raise _Stop(error(codes.K101, "the file is empty", help=help, span=Span(self.lines.path)))

    def _several(self, event: Any) -> None:
        help = "put each document into its own file; a folder may hold many"
        raise _Stop(error(codes.K101, "several documents in one file", help=help, span=self._span(event)))

    def _span(self, event: Any) -> Span:
        return self.lines.span(event.start_mark.index, event.end_mark.index)

    def _problem(self, code: Code, summary: str, detail: str, event: Any, help: str = "") -> None:
        self.problems.append(error(code, summary, detail, help=help, span=self._span(event)))

    def _scalar(self, event: Any) -> None:
        place = Place(event.start_mark.index, event.end_mark.index)
        self._count(event)
        if event.style == '"' and not event.value.isascii():
            self._refuse_surrogates(event)
        if self._stack and self._stack[-1].wants_key:
            self._key(event, place)
            return
        self._add(_Node(self._value(event), place, 1 + len(event.value) // NODE_CHARACTERS), event.anchor)

    def _value(self, event: Any) -> Any:
        if event.implicit[0]:
            reading = self._read(event.value)
            if reading.complaint:
                self._ambiguous(event, reading)
            return read_plain(reading.instead).value if reading.instead else reading.value
        return event.value if event.implicit[1] else self._read_tagged(event)

    def _read(self, text: str) -> Reading:
        reading = self._readings.get(text)
        if reading is None:
            reading = self._readings[text] = read_plain(text)
        return reading

    def _ambiguous(self, event: Any, reading: Reading) -> None:
        choices = [f"`{reading.instead}`"] if reading.instead else []
        help = "write " + ", or ".join([*choices, f"`{_quote_text(event.value)}` for the text"])
        self._problem(codes.K103, "ambiguous plain value", f"`{event.value}` {reading.complaint}.", event, help)

    def _refuse_surrogates(self, event: Any) -> None:
        if any("\ud800" <= char <= "\udfff" for char in event.value):
            self._problem(codes.K107, "the file is not readable text", "An escape stands for half a character.", event)

    def _read_tagged(self, event: Any) -> Any:
        kind = event.tag.removeprefix(_CORE_TAG)
        value = read_plain(event.value).value if event.value not in _OLD_BOOLEANS else event.value
        if kind == "float" and type(value) is int:
            value = float(value)
        wanted = {"str": str, "int": int, "float": float, "bool": bool, "null": type(None)}.get(kind)
        if wanted is str:
            return event.value
        if wanted is None:
            self._bad_tag(event)
        elif type(value) is not wanted:
            self._problem(codes.K101, "a tag that does not fit its value", f"The value is not a `!!{kind}`.", event)
        return value

    def _bad_tag(self, event: Any) -> None:
        detail = f"`{event.tag}` is not a tag that kplan knows."
        self._problem(
            codes.K101, "a tag that is not allowed", detail, event, "leave the tag out; plain YAML needs none"
        )

    def _key(self, event: Any, place: Place) -> None:
        text: str = event.value
        if event.implicit[0]:
            if text == "<<":
                self._take_key(_MERGE, text, place)
                return
            reading = self._read(text)
            if text not in PLAIN_KEYS and (reading.complaint or type(reading.value) is not str):
                self._odd_key(event, reading)
        elif not event.implicit[1]:
            self._read_tagged(event)
        if event.anchor:
            self._anchors[event.anchor] = _Node(text, place)
        self._take_key(text, text, place)

    def _odd_key(self, event: Any, reading: Reading) -> None:
        kinds = {int: "a number", float: "a number", bool: "a boolean", type(None): "nothing"}
        why = reading.complaint or f"is {kinds.get(type(reading.value), 'no text')}, and a key is text"
        help = f"write `{_quote_text(event.value)}:`"
        self._problem(codes.K103, "ambiguous plain value as a key", f"`{event.value}` {why}.", event, help)

    def _take_key(self, key: str | _Special, text: str, place: Place) -> None:
        top = self._stack[-1]
        assert top.keys is not None
        first = top.keys.get(text)
        if first is None:
            top.keys[text] = place
            top.key = key
            return
        top.key = _Again(text)
        line = self.lines.span(first.start, first.start).line
        detail = f"`{text}` is in line {line} of the same map already."
        span = self.lines.span(place.start, place.end)
        help = "remove one of the two, or merge them"
        self.problems.append(error(codes.K102, "duplicate key", detail, help=help, span=span))

    def _count(self, event: Any) -> None:
        self._written += 1
        if self._written > MOST_NODES:
            detail = f"It has more than {MOST_NODES:,} values."
            raise _Stop(error(codes.K105, "the file is too large", detail, help="split it", span=self._span(event)))

    def _open(self, event: Any, is_map: bool) -> None:
        self._count(event)
        if not event.implicit and event.tag not in (None, "!", _CORE_TAG + ("map" if is_map else "seq")):
            self._bad_tag(event)
        is_key = bool(self._stack) and self._stack[-1].wants_key
        if is_key:
            self._collection_as_key(event, self._stack[-1])
        if event.anchor:
            self._anchors[event.anchor] = None
        self._stack.append(_Open(event, is_map=is_map, is_key=is_key))
        if len(self._stack) > MAX_DEPTH:
            raise _Stop(_nested_too_deeply(self._span(event)))

    def _collection_as_key(self, event: Any, parent: _Open) -> None:
        if parent.flow and event.start_mark.index == parent.start + 1 and type(event) is yaml.MappingStartEvent:
            help = 'put the template in quotes: "{{ … }}"'
            self._problem(codes.K101, "a template without quotes", "`{{` begins a map in YAML.", event, help)
        else:
            self._problem(codes.K101, "a key that is not text", "A map or a list cannot be a key.", event)

    def _close(self, event: Any) -> None:
        done = self._stack.pop()
        if done.flow:
            done.end = event.end_mark.index
        for node in done.merged:
            _merge(node, done)
        place = Place(done.start, max(done.start, done.end), done.children, done.keys)
        if done.keys is not None and "<<" not in done.data:
            done.keys.pop("<<", None)
        node = _Node(done.data, place, done.size, done.height)
        if not done.is_key:
            self._add(node, done.anchor)
            return
        if done.anchor:
            self._anchors[done.anchor] = node
        self._stack[-1].key = _DROP

    def _alias(self, event: Any) -> None:
        node = self._anchors.get(event.anchor)
        if node is None:
            self._bad_alias(event)
            node = _Node(None, Place(0, 0))
        self._expanded += node.size
        if self._expanded > min(FREE_EXPANSION + EXPANSION_RATIO * self._written, MOST_NODES):
            detail = f"Aliases would make more than {self._expanded:,} values of {self._written:,} written ones."
            help = "write the values out, or use fewer aliases of aliases"
            raise _Stop(error(codes.K105, "aliases grow too large", detail, help=help, span=self._span(event)))
        if len(self._stack) + node.height > MAX_DEPTH:
            raise _Stop(_nested_too_deeply(self._span(event)))
        start, end = event.start_mark.index, event.end_mark.index
        if self._stack and self._stack[-1].wants_key:
            self._alias_key(event, node, Place(start, end))
            return
        place = Place(start, end, node.place.children, node.place.keys)
        self._add(_Node(node.data, place, node.size, node.height), None)

    def _bad_alias(self, event: Any) -> None:
        if event.anchor in self._anchors:
            detail = f"`*{event.anchor}` is inside `&{event.anchor}` itself."
            help = "write the values out"
            raise _Stop(error(codes.K105, "an alias that contains itself", detail, help=help, span=self._span(event)))
        detail = f"There is no `&{event.anchor}` before this line."
        help = "put text that begins with `*` in quotes"
        self._problem(codes.K101, "an alias without an anchor", detail, event, help)

    def _alias_key(self, event: Any, node: _Node, place: Place) -> None:
        if isinstance(node.data, str):
            self._take_key(node.data, node.data, place)
            return
        self._problem(
            codes.K101, "a key that is not text", f"`*{event.anchor}` refers to something other than text.", event
        )
        self._stack[-1].key = _DROP

    def _add(self, node: _Node, anchor: str | None) -> None:
        if anchor:
            self._anchors[anchor] = node
        if not self._stack:
            self.data, self.root = node.data, node.place
            return
        top = self._stack[-1]
        key = top.key
        top.end = max(top.end, node.place.end)
        if top.keys is None:
            top.data.append(node.data)
            top.children.append(node.place)
        elif type(key) is str:
            top.data[key] = node.data
            top.children[key] = node.place
        elif key is _MERGE:
            self._take_merge(top, node)
        elif type(key) is _Again:
            _unite(top, key.key, node)
        top.key = None
        top.size += node.size + 1
        top.height = max(top.height, node.height + 1)

    def _take_merge(self, top: _Open, node: _Node) -> None:
        items = node.data if isinstance(node.data, list) else [node.data]
        places = [place for _, place in node.place.steps()] if isinstance(node.data, list) else [node.place]
        if not all(isinstance(item, dict) for item in items):
            span = self.lines.span(node.place.start, node.place.end)
            detail = "`<<` takes a map, or a list of maps."
            self.problems.append(error(codes.K101, "a merge of something that is not a map", detail, span=span))
            return
        top.merged += [_Node(item, place) for item, place in zip(items, places, strict=True)]


def _unite(top: _Open, key: str, node: _Node) -> None:
    """Unite the values of a duplicate key: the first value counts; of two maps the entries of both, so nothing seems
    missing.
    """
    first, place = top.data.get(key), top.children.get(key)
    if not isinstance(first, dict) or not isinstance(node.data, dict):
        return
    children, keys = node.place.children, node.place.keys or {}
    assert isinstance(children, dict) and isinstance(place.children, dict)
    top.data[key] = {**node.data, **first}
    top.children[key] = Place(place.start, place.end, {**children, **place.children}, {**keys, **(place.keys or {})})


def _merge(node: _Node, into: _Open) -> None:
    """Adds the entries of `node` that `into` has not itself."""
    place = node.place
    assert isinstance(place.children, dict) and place.keys is not None and into.keys is not None
    for key, value in node.data.items():
        if key not in into.data:
            into.data[key] = value
            into.children[key] = place.children[key]
            into.keys[key] = place.keys.get(key, place)
