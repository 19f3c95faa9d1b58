"""`kplan fmt`: the canonical order of keys and spacing of a file. Comments stay with what they stand at.

The text is taken apart by the parser's own marks and put together again, so scalars keep the form that they were
written in. Nothing is trusted: the result is read again, and must hold the same data and the same comments.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any, Final

import yaml

from kplan.diagnostics import Invalid, KplanError
from kplan.language.mistaken import recognize
from kplan.language.source import Lines, events, load
from kplan.values import dataclass

INDENT: Final = 2
LONG_LINE: Final = 88  # lines longer than this do not push the comments of their neighbours

_SPACE: Final = " \t"  # what YAML takes for space, unlike Python
REST: Final = "…"  # where keys stand that the order does not name

Order = Mapping[tuple[str, ...], tuple[str, ...]]  # keys by the path of their map; * is any key or item of a path


@dataclass(frozen=True, slots=True)
class KeyOrders:
    """The order of keys in the files that a person writes for kplan."""

    stack: Order
    environments: Order
    template: Order

    @property
    def sections(self) -> frozenset[str]:
        """Return the keys of a stack that a blank line sets apart where they hold a block."""
        return frozenset(self.stack[()][HEAD_KEYS:])

    def choose(self, data: Mapping[str, Any]) -> Order:
        """Return the order for a file that holds `data`."""
        if "environments" in data:
            return self.environments
        return self.template if "template" in data and "stack" not in data else self.stack


HEAD_KEYS: Final = 3  # version, stack, description


def format(text: str, path: str, orders: KeyOrders) -> str:
    """Return the text in canonical order and spacing, with the same data and comments; done again it changes nothing.

    Left as it is: JSON and other files that are no block map, `%` directives, and scalars that keep blank lines (`|+`).
    Files with anchors keep their order, for an alias must come after its anchor. Raises Invalid where the file is not
    readable, and KplanError rather than give back other data.
    """
    document, problems = load(text, path)
    stops = document is None or any(problem.is_error for problem in problems)
    if stops or document is None or not _is_own(document.data):
        other = recognize(path, text, document.data if document else None)
        if other is not None:
            raise Invalid([other.not_a_stack(path, text)])
    if stops or document is None:
        raise Invalid(problems)
    text = document.text.replace("\r\n", "\n").replace("\r", "\n")
    try:
        tree = _Tree(text, path)
    except _Unsupported:
        return text
    result = _Printer(tree, {} if tree.anchors else orders.choose(document.data), orders.sections).print()
    again, problems = load(result, path)
    if again is None or problems or again.data != document.data or _comments(result, path) != _count(tree):
        raise KplanError(f"{path} cannot be formatted without a change of what it says", help="format it by hand")
    return result


def _is_own(data: object) -> bool:
    """Whether it is one of the files that a person writes for kplan: a stack, the environments, or a template."""
    return isinstance(data, dict) and bool({"stack", "environments", "template"} & data.keys())


def _comments(text: str, path: str) -> Counter[str] | None:
    try:
        return _count(_Tree(text, path))
    except _Unsupported:
        return None


def _count(tree: _Tree) -> Counter[str]:
    return Counter(comment.text for comment in tree.comments)


class _Unsupported(Exception):
    """A form of YAML that is left alone."""


# Reading

_OPENING = frozenset({yaml.MappingStartEvent, yaml.SequenceStartEvent})
_CLOSING = frozenset({yaml.MappingEndEvent, yaml.SequenceEndEvent})


@dataclass(slots=True, eq=False)
class _Entry:
    """A map's entry or a list's item, with the comments that belong to it."""

    start: int
    column: int
    key: _Node | None
    value: _Node
    owners: tuple[_Node, ...] = ()  # the block collections that it is in, outermost first
    lead: list[_Comment] = field(default_factory=list)
    head: list[_Comment] = field(default_factory=list)  # behind `key:`
    tail: list[_Comment] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Node:
    kind: str  # scalar | map | list
    start: int
    end: int
    flow: bool = False
    style: str = ""
    value: str = ""
    marked: bool = False  # it has an anchor or a tag
    entries: list[_Entry] = field(default_factory=list)
    foot: list[_Comment] = field(default_factory=list)

    @property
    def is_block(self) -> bool:
        return self.kind != "scalar" and not self.flow

    @property
    def column(self) -> int:
        return self.entries[0].column


@dataclass(frozen=True, slots=True)
class _Comment:
    offset: int
    column: int
    alone: bool  # on a line of its own
    text: str


class _Tree:
    """A text's nodes with its comments handed out to them. Raises _Unsupported."""

    def __init__(self, text: str, path: str) -> None:
        self.text = text
        self.lines = Lines(path, text)
        self.anchors = False
        self.document_start = -1  # of an explicit `---`
        self.leaves: list[tuple[int, int]] = []
        self.root = self._read()
        self.comments = [*self._find_comments()]
        _CommentOrder(self).hand_out()

    def column(self, offset: int) -> int:
        return self.lines.position(offset)[1] - 1

    def line(self, offset: int) -> int:
        return self.lines.position(offset)[0]

    def blank_before(self, offset: int) -> bool:
        """Whether the line above that of `offset` is blank, and not a scalar's."""
        number = self.line(offset)
        if number == 1:
            return False
        start, end = self.lines.starts[number - 2], self.lines.starts[number - 1]
        leaf = bisect_right(self.leaves, (start, 0)) - 1
        in_scalar = leaf >= 0 and self.leaves[leaf][1] > start
        return not in_scalar and not self.text[start:end].strip(_SPACE + "\n")

    def _read(self) -> _Node:
        root: list[_Node] = []
        stack: list[tuple[_Node, list[_Node]]] = []
        for event in events(self.text):
            node = self._node(event)
            if node is None and type(event) in _CLOSING:
                node, children = stack.pop()
                self._fill(node, children, event.end_mark.index)
            elif node is not None and type(event) in _OPENING:
                stack.append((node, []))
                continue
            if node is not None:
                (stack[-1][1] if stack else root).append(node)
        if len(root) != 1 or root[0].kind != "map" or root[0].flow or root[0].marked or not root[0].entries:
            raise _Unsupported
        return root[0]

    def _node(self, event: Any) -> _Node | None:
        """Return the node that begins with the event; None for an event that begins none."""
        kind = type(event)
        if kind is yaml.DocumentStartEvent and event.explicit:
            self.document_start = event.start_mark.index
            if event.version or event.tags:
                raise _Unsupported
        if kind is yaml.ScalarEvent or kind is yaml.AliasEvent:
            return self._scalar(event)
        if kind not in _OPENING:
            return None
        self.anchors |= event.anchor is not None
        name = "map" if kind is yaml.MappingStartEvent else "list"
        start, end = event.start_mark.index, event.end_mark.index
        return _Node(name, start, end, flow=event.flow_style, marked=bool(event.anchor or event.tag))

    def _scalar(self, event: Any) -> _Node:
        start, end = event.start_mark.index, event.end_mark.index
        self.anchors |= event.anchor is not None
        node = _Node("scalar", start, end)
        if type(event) is yaml.ScalarEvent:
            node.style, node.value = event.style or "", event.value
        if node.style in ("|", ">"):
            node.end = start + _literal_length(self.text[start:end])
        self.leaves.append((start, node.end))
        return node

    def _fill(self, node: _Node, children: Sequence[_Node], end: int) -> None:
        """Makes entries of a finished collection's children."""
        if node.kind == "map":
            for key, value in zip(children[::2], children[1::2], strict=True):
                if key.kind != "scalar" or "\n" in self.text[key.start : key.end]:
                    raise _Unsupported
                node.entries.append(_Entry(key.start, self.column(key.start), key, value))
        else:
            for value in children:
                start = value.start if node.flow else self._dash(value.start)
                node.entries.append(_Entry(start, self.column(start), None, value))
        if not node.flow:
            end = max((entry.value.end for entry in node.entries), default=node.start)
        node.end = max(end, node.start)

    def _dash(self, before: int) -> int:
        """Return the `-` of a block list's item whose value begins at `before`."""
        offset = before
        while True:
            offset = self.text.rindex("-", 0, offset)
            line = self.text[self.lines.starts[self.line(offset) - 1] : offset]
            if not re.search(r"(?:^|[ \t])#", line) and self.text[offset + 1 : offset + 2] in " \t\n":
                return offset

    def _find_comments(self) -> Iterator[_Comment]:
        """Yield the comments: every `#` after a space or a line's start that is in no scalar."""
        position = 0
        for start, end in [*sorted(self.leaves), (len(self.text), len(self.text))]:
            while position < start:
                match = _COMMENT.search(self.text, position, start)
                if not match:
                    break
                offset = match.start()
                line_end = self.text.find("\n", offset)
                line_end = len(self.text) if line_end < 0 else line_end
                first = self.lines.starts[self.line(offset) - 1]
                alone = not self.text[first:offset].strip(_SPACE)
                yield _Comment(offset, offset - first, alone, self.text[offset:line_end].rstrip(_SPACE))
                position = line_end
            position = max(position, end)


def _literal_length(text: str) -> int:
    """Return the length of a block scalar without the blank lines at its end. Raises _Unsupported where they count."""
    head, *lines = text.split("\n")
    match = _LITERAL.fullmatch(head)
    if match is None:
        raise _Unsupported  # it keeps blank lines: `|+`
    depth = _indentation(lines) if any(line.strip(" ") for line in lines) else len(text)
    while lines and not lines[-1].strip(" ") and len(lines[-1]) <= depth:
        if match[4] and lines[-1]:
            raise _Unsupported
        lines.pop()
    return len("\n".join([head, *lines]))


_COMMENT = re.compile(r"(?<![^ \t\n])#")


class _CommentOrder:
    """Hands each comment to the entry that it stands before or behind, or to the collection whose end it is at."""

    def __init__(self, tree: _Tree) -> None:
        self.tree = tree
        self.entries = [*_block_entries(tree.root, ())]
        self.starts = [entry.start for entry in self.entries]

    def hand_out(self) -> None:
        leading_at = -1  # the entry that the comments since the last one stand before
        for comment in self.tree.comments:
            number = bisect_right(self.starts, comment.offset)
            if number == 0:
                self.entries[0].lead.append(comment)
                continue
            entry = self.entries[number - 1]
            following = self.entries[number] if number < len(self.entries) else None
            if self._inside(entry, comment):
                continue  # of a flow collection: it is printed from there
            if not comment.alone:
                _behind(entry, comment)
            elif comment.offset < entry.value.end and not entry.value.is_block:
                entry.lead.append(comment)
            elif leading_at != number and (target := _closing(entry, following, comment)):
                target.foot.append(comment)
            else:
                leading_at = number
                (following.lead if following else self.tree.root.foot).append(comment)

    def _inside(self, entry: _Entry, comment: _Comment) -> bool:
        return entry.value.flow and entry.value.start < comment.offset < entry.value.end


def _behind(entry: _Entry, comment: _Comment) -> None:
    if entry.value.is_block or comment.offset < entry.value.start:
        entry.head.append(comment)
    else:
        entry.tail.append(comment)


def _block_entries(node: _Node, owners: tuple[_Node, ...]) -> Iterator[_Entry]:
    """Yield the entries of block collections in the order of the text."""
    owners = (*owners, node)
    for entry in node.entries:
        entry.owners = owners
        yield entry
        if entry.value.is_block:
            yield from _block_entries(entry.value, owners)


def _closing(entry: _Entry, following: _Entry | None, comment: _Comment) -> _Node | None:
    """Return the collection at whose end the comment stands, by its indentation; None: it stands before what
    follows.
    """
    column = following.column if following else -1
    still_open = following.owners if following else ()
    ending = [owner for owner in entry.owners if owner not in still_open]
    if comment.column <= column or not ending:
        return None
    fitting = [owner for owner in ending if owner.column <= comment.column]
    return fitting[-1] if fitting else ending[0]


# Printing


@dataclass(slots=True)
class _Line:
    code: str
    comment: str = ""

    @property
    def is_code(self) -> bool:
        return bool(self.code.strip(" "))


_BLANK = _Line("")


class _Printer:
    """Prints a tree; every method gives lines whose indentation is final."""

    def __init__(self, tree: _Tree, order: Order, sections: frozenset[str]) -> None:
        self.tree = tree
        self.text = tree.text
        self.order = order
        self.sections = sections

    def print(self) -> str:
        lines = [*self._header(), *self._block(self.tree.root, 0, ())]
        return "\n".join(_align_comments(_single_blanks(lines))).rstrip("\n") + "\n"

    def _header(self) -> list[_Line]:
        """Return what stays at the top of the file: the first comments up to a blank line, and an editor's own line."""
        first = self.tree.root.entries[0]
        count = 0
        for number, comment in enumerate(first.lead, start=1):
            follows = first.lead[number].offset if number < len(first.lead) else first.start
            if comment.offset < self.tree.document_start or self._stays(comment, follows):
                count = number
        header, first.lead = first.lead[:count], first.lead[count:]
        lines = self._comments(header, 0)
        if self.tree.document_start >= 0:
            above = sum(comment.offset < self.tree.document_start for comment in header)
            lines = [*self._comments(header[:above], 0), _Line("---"), *self._comments(header[above:], 0)]
        return [*lines, _BLANK] if lines and self.tree.blank_before(_top(first)) else lines

    def _stays(self, comment: _Comment, follows: int) -> bool:
        return comment.text.startswith(("# yaml-language-server:", "#!")) or self.tree.blank_before(follows)

    def _comments(self, comments: Iterable[_Comment], indent: int) -> list[_Line]:
        lines: list[_Line] = []
        for comment in comments:
            if lines and comment.alone and self.tree.blank_before(comment.offset):
                lines.append(_BLANK)
            lines.append(_Line(" " * indent, comment.text))
        return lines

    def _order_entries(self, node: _Node, path: tuple[str, ...]) -> list[_Entry]:
        """Return the entries in the order that the format has for `path`; keys that it does not name stay together."""
        keys = next((keys for pattern, keys in self.order.items() if _fits(pattern, path)), ())
        rank = {key: number for number, key in enumerate(keys)}
        rest = rank.get(REST, len(rank))
        return sorted(node.entries, key=lambda entry: rank.get(entry.key.value, rest) if entry.key else 0)

    # Block collections

    def _block(self, node: _Node, indent: int, path: tuple[str, ...]) -> list[_Line]:
        lines: list[_Line] = []
        above: _Entry | None = None
        for entry in self._order_entries(node, path):
            section = not path and entry.key is not None and entry.key.value in self.sections
            apart = entry is not node.entries[0] and self.tree.blank_before(_top(entry))
            if above and (apart or (section and (entry.value.is_block or above.value.is_block))):
                lines.append(_BLANK)
            lines += self._entry(entry, indent, path)
            above = entry
        if node.foot:
            if self.tree.blank_before(node.foot[0].offset):
                lines.append(_BLANK)
            lines += self._comments(node.foot, indent)
        return lines

    def _entry(self, entry: _Entry, indent: int, path: tuple[str, ...]) -> list[_Line]:
        lines = self._comments(entry.lead, indent)
        if entry.lead and self.tree.blank_before(entry.start):
            lines.append(_BLANK)
        below = (*path, entry.key.value if entry.key else "")
        if not entry.value.is_block:
            return [*lines, *self._flat_entry(entry, indent, below)]
        marks = self._marks(entry.value)
        body = self._block(entry.value, indent + INDENT, below)
        if entry.key or marks:
            head = " ".join(filter(None, (self._prefix(entry, indent), marks)))
            return [*lines, *self._comments(entry.head[1:], indent), _Line(head, _first(entry.head)), *body]
        return [*lines, *self._comments(entry.head, indent), *_behind_dash(body, indent)]

    def _flat_entry(self, entry: _Entry, indent: int, path: tuple[str, ...]) -> list[_Line]:
        """Return an entry with a scalar or a flow collection: of several comments only the last stays behind it."""
        above = [*entry.head, *entry.tail]
        behind = [above.pop()] if entry.tail or (above and entry.value.style not in ("|", ">")) else []
        first, *more = self._value(entry, indent, path)
        code = " ".join(filter(None, (self._prefix(entry, indent), first.code)))
        lines = [_Line(code, first.comment), *more]
        if behind:
            lines[-1].comment = behind[0].text
        return [*self._comments(above, indent), *lines]

    def _prefix(self, entry: _Entry, indent: int) -> str:
        if entry.key is None:
            return " " * indent + "-"
        return " " * indent + self._key(entry.key)

    def _key(self, key: _Node) -> str:
        text = self.text[key.start : key.end]
        return f"{text} :" if text.startswith("*") else f"{text}:"

    def _marks(self, node: _Node) -> str:
        """Return a collection's anchor and tag."""
        if not node.marked:
            return ""
        found = _MARKS.match(self.text, node.start)
        return " ".join(found[0].split()) if found else ""

    # Values. The first line is without indentation, for it stands behind a key.

    def _value(self, entry: _Entry, indent: int, path: tuple[str, ...]) -> list[_Line]:
        node = entry.value
        text = self.text[node.start : node.end]
        if node.kind != "scalar":
            return self._break_lines(node, indent, path) if "\n" in text else [_Line(self._inline(node, path))]
        if node.style in ("|", ">"):
            return [_Line(line) for line in self._literal(entry, text, indent)]
        first, *more = text.split("\n")
        pad = " " * (indent + INDENT)
        return [_Line(first), *(_Line(pad + line.lstrip(_SPACE) if line.strip(_SPACE) else "") for line in more)]

    def _literal(self, entry: _Entry, text: str, indent: int) -> Iterator[str]:
        """Yield a block scalar with its lines moved to their new indentation."""
        head, *lines = text.split("\n")
        match = _LITERAL.fullmatch(head)
        assert match  # or the tree would be _Unsupported
        marks, kind, chomp, digit, comment = match[1], match[2], match[3] or match[5] or "", match[4], match[6] or ""
        depth = entry.column + int(digit) if digit else _indentation(lines)
        if not chomp and entry.value.value and not entry.value.value.endswith("\n"):
            chomp = "-"  # the file ended without a line break
        yield f"{marks}{kind}{INDENT if digit else ''}{chomp}{comment.rstrip()}"
        for line in lines:
            content = line[depth:]
            yield " " * (indent + INDENT) + content if content else ""

    def _inline(self, node: _Node, path: tuple[str, ...]) -> str:
        if node.kind == "scalar":
            return self.text[node.start : node.end]
        parts = []
        for entry in self._order_entries(node, path):
            value = self._inline(entry.value, (*path, entry.key.value if entry.key else ""))
            parts.append(self._pair(entry, value))
        return self._put_in_brackets(node, ", ".join(parts))

    def _pair(self, entry: _Entry, value: str) -> str:
        if entry.key is None:
            return value
        return f"{self._key(entry.key)} {value}" if value else self.text[entry.key.start : entry.key.end]

    def _put_in_brackets(self, node: _Node, inside: str) -> str:
        opening, closing = "{}" if node.kind == "map" else "[]"
        return " ".join(filter(None, (self._marks(node), opening + inside + closing)))

    # Flow collections over several lines

    def _break_lines(self, node: _Node, indent: int, path: tuple[str, ...]) -> list[_Line]:
        """Return a flow collection with an entry a line, as it was written over several."""
        self._hand_out(node)
        opening, closing = "{}" if node.kind == "map" else "[]"
        if not node.entries and not node.foot:
            return [_Line(self._put_in_brackets(node, ""))]
        lines = [_Line(" ".join(filter(None, (self._marks(node), opening))))]
        entries = self._order_entries(node, path)
        for entry in entries:
            lines += self._comments(entry.lead, indent + INDENT)
            body = self._broken_entry(entry, indent + INDENT, path)
            body[-1].code += "," * (entry is not entries[-1])
            body[-1].comment = _first(entry.tail)
            lines += body
        return [*lines, *self._comments(node.foot, indent + INDENT), _Line(" " * indent + closing)]

    def _broken_entry(self, entry: _Entry, indent: int, path: tuple[str, ...]) -> list[_Line]:
        below = (*path, entry.key.value if entry.key else "")
        first, *more = self._value(entry, indent, below)
        return [_Line(" " * indent + self._pair(entry, first.code), first.comment), *more]

    def _hand_out(self, node: _Node) -> None:
        """Gives the comments in a flow collection to its entries; those of a nested one are left to it."""
        comments = self.tree.comments
        first = bisect_left(comments, node.start, key=lambda comment: comment.offset)
        last = bisect_left(comments, node.end, key=lambda comment: comment.offset)
        starts = [entry.start for entry in node.entries]
        for comment in comments[first:last]:
            number = bisect_right(starts, comment.offset)
            before = node.entries[number - 1] if number else None
            following = node.entries[number] if number < len(starts) else None
            if before and before.value.flow and before.value.start < comment.offset < before.value.end:
                continue
            if before and comment.offset < before.value.end:
                before.lead.append(comment)
            elif before and not comment.alone and not before.tail:
                before.tail.append(comment)
            else:
                (following.lead if following else node.foot).append(comment)


_MARKS = re.compile(r"(?:[&!][^ \t\n]*[ \t\n]+)+")
_LITERAL = re.compile(r"((?:[&!][^ \t]*[ \t]+)*)([|>])(-)?([1-9])?(-)?([ \t].*)?")


def _fits(pattern: tuple[str, ...], path: tuple[str, ...]) -> bool:
    return len(pattern) == len(path) and all(part in ("*", step) for part, step in zip(pattern, path, strict=True))


def _top(entry: _Entry) -> int:
    """Return where the entry begins with its comments."""
    return entry.lead[0].offset if entry.lead else entry.start


def _first(comments: Sequence[_Comment]) -> str:
    return comments[0].text if comments else ""


def _behind_dash(body: list[_Line], indent: int) -> list[_Line]:
    """Return a list item's lines with its first one behind the dash; comments that stood first stand before it."""
    count = next(number for number, line in enumerate(body) if line.is_code)
    above = [_Line(" " * indent, line.comment) for line in body[:count] if line.comment]
    first = body[count]
    return [*above, _Line(" " * indent + "- " + first.code.lstrip(" "), first.comment), *body[count + 1 :]]


def _indentation(lines: Iterable[str]) -> int:
    return next((len(line) - len(line.lstrip(" ")) for line in lines if line.strip(" ")), 0)


def _single_blanks(lines: Iterable[_Line]) -> Iterator[_Line]:
    previous: _Line | None = _BLANK
    for line in lines:
        if line is not _BLANK or previous is not _BLANK:
            yield line
        previous = line


def _align_comments(lines: Iterable[_Line]) -> Iterator[str]:
    """Yield the lines as text; comments behind neighbouring lines stand in one column."""
    group: list[_Line] = []
    for line in lines:
        if line.comment and line.is_code:
            group.append(line)
            continue
        yield from _in_one_column(group)
        group = []
        yield line.code + line.comment
    yield from _in_one_column(group)


def _in_one_column(group: Sequence[_Line]) -> Iterator[str]:
    column = max((len(line.code) for line in group if len(line.code) <= LONG_LINE), default=0)
    for line in group:
        yield f"{line.code:<{column}}  {line.comment}"
